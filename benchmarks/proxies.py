"""The gateway as `baseload serve` runs it beside nginx and other gateways: CPU, throughput, latency, many streams.

Each stands in turn between the same load and the same upstream, with one worker. nginx relays with `proxy_pass` and
meters nothing; where it is not installed its figures are left out, and said so on stderr. The gateway has four routes,
keys off, prices and the ledger on; its CPU is the worker's, and what supervisor and drain take stands beside it.
`--peers FOLDER` installs LiteLLM, Portkey, TensorZero, smg (SGLang's router) and vLLM's router there, each in an
environment of its own: all with one process, and none writes anything down (LiteLLM's database mode cannot be installed
from a registry alone). The last three are compiled and have threads; all share the one core here.

Latency is what a proxy adds to the same requests without one, at a fixed rate. The events of streams come 20 a second
in each. Everything runs on one machine: its first core is for the proxies, the load and the upstream have the others,
and with them what belongs to a proxy beside its work.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import uvloop

from benchmarks import peers
from benchmarks.frame import Figure, run
from benchmarks.gateway import ANSWER, CHUNK, LAST, QUESTION, cpu_seconds, until_idle
from benchmarks.peers import free_port
from benchmarks.traffic import at_rate, message, percentile, saturate, spread, stream, upstream

RATE = 1_500
STREAMS = (600, 1_000)
STREAMED = QUESTION[:-1] + b',"stream":true}'
WARM_SECONDS = 240.0
"""How long a proxy may take to start."""


@dataclass(frozen=True)
class Proxy:
    """Who is asked, at which port; the processes that do the work, and those that belong to it beside."""

    name: str
    port: int
    pids: tuple[int, ...] = ()
    beside: tuple[int, ...] = ()
    headers: bytes = b""
    path: bytes = b"/v1/chat/completions"
    model: bytes = b"auto"

    def request(self, body: bytes) -> bytes:
        """A request as it is asked."""
        return message(body.replace(b'"auto"', b'"%b"' % self.model, 1), self.headers, self.path)

    @property
    def cpu(self) -> float:
        return sum(map(cpu_seconds, self.pids))

    @property
    def megabytes(self) -> float:
        return sum(map(_megabytes, self.pids))


def _megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1_000


@contextmanager
def apart() -> Iterator[Callable[[Proxy], None]]:
    """Keep this process and what it starts off the first core, and put there the proxies that are handed over. On a
    machine of one core all share it."""
    cores = os.sched_getaffinity(0)
    first = min(cores)
    if len(cores) > 1:
        os.sched_setaffinity(0, cores - {first})

    def pin(proxy: Proxy) -> None:
        for pid in proxy.pids:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    os.sched_setaffinity(int(thread.name), {first})

    try:
        yield pin
    finally:
        os.sched_setaffinity(0, cores)


def tree(pid: int) -> tuple[int, ...]:
    """A process and all that it started."""
    parents = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(each.parent.name)] = int(each.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return tuple(found)


@contextmanager
def process(command: list[str], port: int, folder: str, **environment: str) -> Iterator[int]:
    """A process that listens on a port, as soon as it does; its id."""
    with (
        (Path(folder) / "log").open("wb") as log,
        subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log, cwd=folder) as started,
    ):
        try:
            until = time.monotonic() + WARM_SECONDS
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                if started.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{command[0]} does not listen: {(Path(folder) / 'log').read_text()[-500:]}")
                time.sleep(0.1)
            yield started.pid
        finally:
            started.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(10)
            started.kill()


@contextmanager
def _upstream(seconds: float) -> Iterator[Proxy]:
    command = [sys.executable, "-m", "benchmarks.proxies", "--upstream", str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Proxy("no proxy", int(process.stdout.readline()))
        process.stdin.close()


def _configuration(up: int, port: int, folder: str) -> dict[str, object]:
    routes = [
        {"name": f"r{n}", "upstream": f"u{n}", "model": f"m{n}", "offer": f"acme/m{n}", "success": {"judgment": 0.9}}
        for n in range(4)
    ]
    routes[0] |= {"own": True, "slots": 2_000}
    return {
        "listen": f"127.0.0.1:{port}",
        "data_dir": folder,
        "upstreams": [{"name": f"u{n}", "base_url": f"http://127.0.0.1:{up}/v1", "api_key": f"k{n}"} for n in range(4)],
        "prices": [{"offer": f"acme/m{n}", "input": 1, "output": 5, "cache_read": 0.1} for n in range(4)],
        "policy": {"routes": routes},
    }


@contextmanager
def _baseload(up: int, folder: str) -> Iterator[Proxy]:
    port = free_port()
    config = Path(folder) / "baseload.yaml"
    config.write_bytes(msgspec.json.encode(_configuration(up, port, folder)))
    command = [sys.executable, "-m", "baseload", "serve", "--config", str(config), "--no-console"]
    with process(command, port, folder) as supervisor:
        time.sleep(1.0)  # the port is open before the worker has its last word
        pids = tree(supervisor)
        workers = tuple(pid for pid in pids if b"gateway.worker" in Path(f"/proc/{pid}/cmdline").read_bytes())
        yield Proxy("baseload", port, workers, tuple(set(pids) - set(workers)))


NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error; worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 10000000; client_body_buffer_size 64k;
  upstream up {{ server 127.0.0.1:{up}; keepalive 64; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


@contextmanager
def _nginx(up: int, folder: str) -> Iterator[Proxy]:
    port, config = free_port(), Path(folder) / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, up=up, port=port))
    command = [shutil.which("nginx") or "/usr/sbin/nginx", "-p", folder, "-c", str(config)]
    with process(command, port, folder) as pid:
        yield Proxy("nginx", port, (pid,))


@contextmanager
def _litellm(programs: Path, up: int, folder: str) -> Iterator[Proxy]:
    port = free_port()
    command = peers.litellm(programs, up, port, Path(folder))
    with process(command, port, folder, LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_MASTER_KEY="sk-x") as pid:
        yield Proxy("litellm", port, tree(pid), headers=b"authorization: Bearer sk-x\r\n")


@contextmanager
def _portkey(modules: Path, up: int, folder: str) -> Iterator[Proxy]:
    port = free_port()
    headers = b"authorization: Bearer x\r\nx-portkey-provider: openai\r\n"
    headers += b"x-portkey-custom-host: http://127.0.0.1:%d/v1\r\n" % up
    with process(peers.portkey(modules, port), port, folder) as pid:
        yield Proxy("portkey", port, tree(pid), headers=headers)


class _Found(defaultdict[str, list[tuple[float, str]]]):
    """What was measured, by name, with its unit."""

    def __init__(self) -> None:
        super().__init__(list)

    def add(self, name: str, value: float, unit: str) -> None:
        self[name].append((value, unit))

    def figures(self) -> Iterator[Figure]:
        """Medians, of ratios too: those were taken round by round."""
        for name, found in self.items():
            value = statistics.median(value for value, _ in found)
            yield Figure(name, max(value, 1e-9), found[0][1], len(found))


def _whole(proxies: list[Proxy], seconds: float, found: _Found) -> dict[str, float]:
    """One round of whole answers as fast as they go; answers per second by name."""
    cpu, speed = {}, {}
    for proxy in proxies:
        request = proxy.request(QUESTION)
        before, beside = proxy.cpu, sum(map(cpu_seconds, proxy.beside))
        answered = uvloop.run(saturate(proxy.port, request, seconds))
        if not answered:
            sys.stderr.write(f"{proxy.name} answered nothing in one round\n")
            continue
        speed[proxy.name] = answered
        answers = speed[proxy.name] * seconds
        cpu[proxy.name] = max(proxy.cpu - before, 1e-6) / answers
        found.add(f"whole answer: {proxy.name}", cpu[proxy.name] * 1e6, "us CPU")
        found.add(f"at saturation: {proxy.name}", speed[proxy.name], "per s")
        if proxy.beside:
            for pid in proxy.beside:  # until the ledger has them: what is behind would disturb the next
                until_idle(pid)
            more = sum(map(cpu_seconds, proxy.beside)) - beside
            found.add(f"whole answer: {proxy.name}, supervisor and drain", more / answers * 1e6, "us CPU")
    for name, theirs in speed.items():
        if name != "baseload" and "baseload" in speed:
            found.add(f"whole answer: baseload / {name}", cpu["baseload"] / cpu[name], "ratio")
            found.add(f"at saturation: baseload / {name}", speed["baseload"] / theirs, "ratio")
    return speed


def _latency(proxies: list[Proxy], seconds: float, rate: float, found: _Found) -> None:
    """One round at a fixed rate. The first is no proxy: what the others add to it is measured."""
    direct: dict[str, float] = {}
    for proxy in proxies:
        took = uvloop.run(at_rate(proxy.port, proxy.request(QUESTION), rate, seconds))
        for name, value in spread(took):
            if not proxy.pids:
                direct[name] = value
            else:
                found.add(f"{rate:,.0f} a second: {proxy.name} adds to {name}", (value - direct[name]) * 1e6, "us")


def _streams(proxies: list[Proxy], streams: int, seconds: float, idle: dict[str, float], found: _Found) -> None:
    """One round of that many streams at once through each."""
    direct, name = 0.0, f"{streams:,} streams"
    cpu: dict[str, float] = {}
    for proxy in proxies:
        during, before = [], proxy.cpu
        request = proxy.request(STREAMED)
        came = uvloop.run(
            stream(proxy.port, request, streams, seconds, lambda p=proxy, d=during: d.append(p.megabytes))
        )
        p99 = percentile(came.seconds, 0.99) if came.seconds else float("inf")
        if not proxy.pids:
            direct = p99
            found.add(f"{name}: no proxy, p99 of an event", p99 * 1e6, "us")
            continue
        cpu[proxy.name] = (proxy.cpu - before) / max(len(came.seconds), 1)
        found.add(f"{name}: {proxy.name} adds to p99 of an event", (p99 - direct) * 1e6, "us")
        found.add(f"{name}: {proxy.name}, an event", cpu[proxy.name] * 1e6, "us CPU")
        found.add(f"{name}: {proxy.name}, a stream", max(during[0] - idle[proxy.name], 0.0) * 1e3 / streams, "kB")
        found.add(
            f"{name}: {proxy.name}, events that came", 1 - came.lacking / (came.lacking + len(came.seconds)), "share"
        )
        found.add(f"{name}: {proxy.name}, streams that ended well", 1 - came.broken / streams, "share")
    if "nginx" in cpu:
        found.add(f"{name}: baseload / nginx, an event", cpu["baseload"] / max(cpu["nginx"], 1e-9), "ratio")


@contextmanager
def _router(name: str, programs: Path, up: int, folder: str) -> Iterator[Proxy]:
    port = free_port()
    with process(peers.ROUTERS[name](programs, up, port, Path(folder)), port, folder) as pid:
        yield Proxy(name, port, tree(pid))


@contextmanager
def _tensorzero(programs: Path, up: int, folder: str) -> Iterator[Proxy]:
    command = peers.tensorzero(programs, up, Path(folder))
    environment, place = {**os.environ, **peers.NO_ANALYTICS}, Path(folder) / "log"
    with (  # not a pipe: it says so much there that it would wait for us
        place.open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder) as started,
    ):
        try:
            until, base = time.monotonic() + WARM_SECONDS, ""
            while not base:
                lines = place.read_text(errors="replace").splitlines(keepends=True)
                base = next((line.strip() for line in lines if line.startswith("http://") and line.endswith("\n")), "")
                if started.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"TensorZero does not start: {place.read_text(errors='replace')[-500:]}")
                time.sleep(0.1)
            url = urlsplit(base)
            path = f"{url.path.rstrip('/')}/chat/completions".encode()
            yield Proxy("tensorzero", url.port, (started.pid,), path=path, model=b"tensorzero::model_name::m")
        finally:
            started.kill()


def _answers(proxy: Proxy) -> bool:
    """Whether it has an answer within a while: some look for their servers only after they listen."""
    until = time.monotonic() + WARM_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(RuntimeError, OSError):
            if uvloop.run(saturate(proxy.port, proxy.request(QUESTION), 0.2)):
                return True
        time.sleep(1.0)
    return False


def _peers(stack: ExitStack, up: int, place: Path) -> Iterator[Proxy]:
    """Those that a registry has, installed where they are not."""
    kinds = {"litellm": _litellm, "portkey": _portkey, "tensorzero": _tensorzero}
    kinds |= {name: partial(_router, name) for name in peers.ROUTERS}
    for name, made in kinds.items():
        programs = peers.environment(name, place)
        if programs is None:
            continue
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        try:
            proxy = stack.enter_context(made(programs, up, folder))
        except RuntimeError as error:
            sys.stderr.write(f"{name} does not start, its figures are left out: {error}\n")
            continue
        if _answers(proxy):
            sys.stderr.write(f"{name} {peers.version(name, programs)}\n")
            yield proxy
        else:
            sys.stderr.write(f"{name} does not answer, its figures are left out\n")


def _standing(stack: ExitStack, up: int, place: Path | None) -> Iterator[Proxy]:
    """Every proxy that can be had here."""
    yield stack.enter_context(_baseload(up, stack.enter_context(tempfile.TemporaryDirectory())))
    if shutil.which("nginx") or Path("/usr/sbin/nginx").exists():
        yield stack.enter_context(_nginx(up, stack.enter_context(tempfile.TemporaryDirectory())))
    else:
        sys.stderr.write("nginx is not installed: its figures are left out\n")
    if place is not None:
        yield from _peers(stack, up, place)


def measure(quick: bool, place: Path | None = None) -> Iterator[Figure]:
    rounds, seconds, rate, stream_seconds = (1, 0.5, 200, 1.0) if quick else (3, 3.0, RATE, 4.0)
    found, idle = _Found(), {}
    with apart() as pin, _upstream(stream_seconds) as direct, ExitStack() as stack:
        proxies = list(_standing(stack, direct.port, place))
        for proxy in proxies:
            pin(proxy)
            uvloop.run(saturate(proxy.port, proxy.request(QUESTION), 0.5))  # the first requests load and learn
            idle[proxy.name] = proxy.megabytes
            found.add(f"idle: {proxy.name}", idle[proxy.name], "MB")
        for _ in range(rounds):
            speed = _whole(proxies, seconds, found)
        # A peer that cannot keep that rate at all would only fill queues.
        fast = [
            each for each in proxies if each.name in ("baseload", "nginx") or speed.get(each.name, 0.0) > 1.5 * rate
        ]
        for _ in range(rounds):
            _latency([direct, *fast], seconds, rate, found)
        for streams in (20,) if quick else STREAMS:
            for _ in range(rounds):
                _streams([direct, *fast], streams, stream_seconds, idle, found)
    yield from found.figures()


async def _be_upstream(seconds: float) -> None:
    print(await upstream(ANSWER, CHUNK, LAST, seconds), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--upstream"]:
        uvloop.run(_be_upstream(float(sys.argv[2])))
    else:
        parser = argparse.ArgumentParser(add_help=False)
        parser.add_argument("--peers", type=Path)
        asked, sys.argv[1:] = parser.parse_known_args()
        run(__doc__, lambda quick: measure(quick, asked.peers and asked.peers.resolve()))
