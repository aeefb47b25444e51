"""Other gateways, as packages for Python or Node: installed into folders of their own, started, asked. Acts.

Each has an environment of its own, so that nothing of it reaches ours; what cannot be had is said and left out. None of
them sends anything home: TensorZero's usage analytics are switched off.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import venv
from pathlib import Path

NO_ANALYTICS = {"TENSORZERO_DISABLE_PSEUDONYMOUS_USAGE_ANALYTICS": "1", "DO_NOT_TRACK": "1"}
INSTALL_SECONDS = 600

PORTKEY = "portkey"
PACKAGES = {"litellm": "litellm[proxy]"}
"""What is asked for, where that is not the name alone."""
NODE = {"@portkey-ai/gateway": "*"}
# Newer ones of these do not start it.
NODE_BELOW = {"@hono/node-server": "1.13.5", "hono": "4.9.7", "@hono/node-ws": "1.2.0"}

LITELLM = """
model_list:
  - {{model_name: auto, litellm_params: {{model: openai/m, api_base: "http://127.0.0.1:{up}/v1", api_key: x}}}}
litellm_settings: {{num_retries: 0, request_timeout: 60}}
"""

TENSORZERO = """
gateway.disable_pseudonymous_usage_analytics = true
gateway.observability.enabled = false
[models.m]
routing = ["up"]
[models.m.providers.up]
type = "openai"
model_name = "m"
api_base = "http://127.0.0.1:{up}/v1/"
api_key_location = "none"
"""
# The package brings no server, but its client starts one on a port of its own choice; this process says which.
SERVE_TENSORZERO = """
import asyncio, sys, tensorzero
async def main():
    gateway = await tensorzero._start_http_gateway(
        config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=True)
    print(gateway.base_url, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def environment(name: str, folder: Path) -> Path | None:
    """Where a peer is installed: the programs of its Python environment, or its Node modules. Made when it is not
    there; None, and said, where it cannot be."""
    place = folder / name
    if not (place / "ready").exists():
        sys.stderr.write(f"installing {name} into {place}\n")
        try:
            _install_for_node(place) if name == PORTKEY else _install_for_python(PACKAGES.get(name, name), place)
        except (OSError, subprocess.SubprocessError) as error:
            lines = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
            sys.stderr.write(f"{name} cannot be installed, its figures are left out: {lines[-1] if lines else ''}\n")
            return None
        (place / "ready").touch()
    return place / ("node_modules" if name == PORTKEY else "bin")


def _install_for_python(package: str, place: Path) -> None:
    venv.create(place, with_pip=True, clear=True)
    command = [str(place / "bin/python"), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", package]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)


def _install_for_node(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / "package.json").write_text(json.dumps({"dependencies": NODE, "overrides": NODE_BELOW}))
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(command, cwd=place, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)


def version(name: str, programs: Path) -> str:
    """The version that was installed."""
    if name == PORTKEY:
        return str(json.loads((programs / "@portkey-ai/gateway/package.json").read_text())["version"])
    asking = f"import importlib.metadata as m; print(m.version({name!r}))"
    done = subprocess.run([str(programs / "python"), "-c", asking], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def litellm(programs: Path, up: int, port: int, folder: Path) -> list[str]:
    """LiteLLM's proxy with one worker and no database: https://github.com/BerriAI/litellm."""
    config = folder / "config.yaml"
    config.write_text(LITELLM.format(up=up))
    return [str(programs / "litellm"), "--config", str(config), "--port", str(port), "--num_workers", "1"]


def portkey(modules: Path, port: int) -> list[str]:
    """Portkey's gateway: https://github.com/Portkey-AI/gateway. Where it sends a request stands in its headers."""
    script = modules / "@portkey-ai/gateway/build/start-server.js"
    return ["node", str(script), f"--port={port}", "--headless"]


def smg(programs: Path, up: int, port: int, folder: Path) -> list[str]:
    """Shepherd Model Gateway, the router of SGLang: https://github.com/lightseekorg/smg."""
    return [str(programs / "smg"), "launch", *_router(up, port, folder)]


def vllm_router(programs: Path, up: int, port: int, folder: Path) -> list[str]:
    """vLLM's router: https://github.com/vllm-project/router."""
    return [str(programs / "vllm-router"), *_router(up, port, folder)]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _router(up: int, port: int, folder: Path) -> list[str]:
    workers = ["--worker-urls", f"http://127.0.0.1:{up}"]
    where = ["--host", "127.0.0.1", "--port", str(port), "--log-dir", str(folder), "--log-level", "error"]
    counted = ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())]
    return [*workers, *where, *counted, "--policy", "round_robin"]


def tensorzero(programs: Path, up: int, folder: Path) -> list[str]:
    """TensorZero, without a database: https://github.com/tensorzero/tensorzero. It prints where it listens."""
    config = folder / "tensorzero.toml"
    config.write_text(TENSORZERO.format(up=up))
    return [str(programs / "python"), "-c", SERVE_TENSORZERO, str(config)]


ROUTERS = {"smg": smg, "vllm-router": vllm_router}
