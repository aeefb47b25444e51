"""What gateways write down of the same answers: every shape in which upstreams say usage, cut streams, retries.

    python -m benchmarks.usage_shapes [--litellm PYTHON] [--tensorzero PYTHON] [--install] [--quick] [--json]

One upstream counts what it has really read and written. Each gateway stands before it, with the same prices, and is
asked once for each shape; a figure is what it recorded over what the upstream's own count costs: 1.00 is right, 0 is
nothing recorded. The gateway's record is its ledger; LiteLLM's what its proxy hands a logger (no database, its own
price map switched off); TensorZero's the usage that its embedded gateway returns, priced as configured. `--install`
makes environments for both in a temporary folder with pip; a peer that is not there is said so on stderr.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from baseload.ledger.hot import open_store
from benchmarks.frame import Figure, run
from benchmarks.peers import free_port
from benchmarks.proxies import process
from benchmarks.usage_peers import LITELLM_LOGGER, TENSORZERO, litellm_config, tensorzero_config

PROMPT, CACHED, ANSWER, REASONED, CUT = 1_000, 400, 200, 60, 100
# USD per million tokens.
INPUT, CACHE_READ, OUTPUT = 1, 0.1, 5
# A prompt that tokenizers count as PROMPT, and of which each event brings one token.
WORDS = "word " * (PROMPT - 7)
# LiteLLM ends a stream that repeats itself, so no event is like the one before.
SAID = ("the ", "grid ", "needs ", "a ", "base ", "load ", "and ", "peaks ")
SHAPES = {
    "whole": "one JSON answer, cached and reasoning tokens nested",
    "last-empty": "stream, usage in a last event without choices",
    "last-choice": "stream, usage in the event that ends the choice",
    "every": "stream, usage so far in every event",
    "none": "stream, no usage at all",
    "cut": "stream, cut after half of the answer",
    "retried": "one JSON answer after a 500",
    "unpriced": "one JSON answer of a model without a price",
}
SETTLE_SECONDS = 12.0
Told = dict[str, float | None]
"""USD recorded by shape; None where it was recorded as unknown."""


def _usage(completion: int) -> dict[str, object]:
    return {
        "prompt_tokens": PROMPT,
        "completion_tokens": completion,
        "total_tokens": PROMPT + completion,
        "prompt_tokens_details": {"cached_tokens": CACHED},
        "completion_tokens_details": {"reasoning_tokens": min(REASONED, completion)},
    }


def usd(completion: int) -> float:
    """What the upstream's own count of an answer costs."""
    return ((PROMPT - CACHED) * INPUT + CACHED * CACHE_READ + completion * OUTPUT) / 1e6


@dataclass
class Upstream:
    """An upstream that answers in the shape that the model's name asks for, and counts tokens and answers."""

    port: int = 0
    counted: dict[str, float] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def count(self, shape: str, completion: int) -> None:
        self.counted[shape] = self.counted.get(shape, 0.0) + usd(completion)

    def refuses(self, shape: str) -> bool:
        """Whether this is the first request of the shape that is to be repeated."""
        first = shape == "retried" and shape not in self.refused
        self.refused.add(shape)
        return first


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: Upstream

    def log_message(self, *_: object) -> None:
        """Nothing is told on stderr."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        shape = asked["model"].rpartition("/")[2]
        if self.upstream.refuses(shape):
            self._send(500, {"error": {"message": "once", "type": "server_error"}})
        elif not asked.get("stream"):
            self.upstream.count(shape, ANSWER)
            choice = {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "word " * ANSWER},
            }
            self._send(200, self._named("chat.completion", shape) | {"choices": [choice], "usage": _usage(ANSWER)})
        else:
            self._stream(shape)

    def _named(self, kind: str, shape: str) -> dict[str, object]:
        return {"id": "chatcmpl-1", "object": kind, "created": int(time.time()), "model": shape}

    def _send(self, status: int, body: dict[str, object]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self, shape: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        written = CUT if shape == "cut" else ANSWER
        self.upstream.count(shape, written)
        for place in range(1, written + 1):
            said = {"role": "assistant", "content": SAID[place % len(SAID)]}
            delta = {"index": 0, "delta": said, "finish_reason": None}
            self._event(shape, [delta], place if shape == "every" else None)
        if shape == "cut":
            time.sleep(0.5)
            self.close_connection = True
            return
        ended = {"index": 0, "delta": {}, "finish_reason": "stop"}
        self._event(shape, [ended], ANSWER if shape in ("last-choice", "every") else None)
        if shape == "last-empty":
            self._event(shape, [], ANSWER)
        self._chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, shape: str, choices: list[dict[str, object]], completion: int | None) -> None:
        event = self._named("chat.completion.chunk", shape) | {"choices": choices}
        if completion is not None:
            event["usage"] = _usage(completion)
        self._chunk(b"data: " + json.dumps(event).encode() + b"\n\n")

    def _chunk(self, raw: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(raw), raw))


@contextmanager
def upstream() -> Iterator[Upstream]:
    """The upstream on a port of its own, until the block ends."""
    found = Upstream()
    handler = type("Handler", (_Handler,), {"upstream": found})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        found.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


def body(shape: str) -> dict[str, object]:
    """The request that asks for a shape."""
    streamed = shape not in ("whole", "retried", "unpriced")
    asked = {"model": shape, "messages": [{"role": "user", "content": WORDS}], "max_tokens": 1_000}
    return asked | ({"stream": True, "stream_options": {"include_usage": True}} if streamed else {})


def _ask(port: int, key: str = "") -> None:
    """Every shape, one after the other; what comes back is read, however it ends."""
    for shape in SHAPES:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            json.dumps(body(shape)).encode(),
            {"content-type": "application/json", "authorization": f"Bearer {key}"},
        )
        with suppress(OSError, ValueError), urllib.request.urlopen(asked, timeout=60) as answer:
            answer.read()


def of_baseload(up: Upstream) -> Told:
    """What the gateway's ledger holds."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        routes = [{"name": s, "upstream": "up", "model": s, "offer": f"acme/{s}"} for s in SHAPES]
        config = {
            "listen": f"127.0.0.1:{port}",
            "data_dir": folder,
            "upstreams": [{"name": "up", "base_url": f"http://127.0.0.1:{up.port}/v1", "retries": {"times": 1}}],
            "prices": [
                {"offer": f"acme/{s}", "input": str(INPUT), "output": str(OUTPUT), "cache_read": str(CACHE_READ)}
                for s in SHAPES
                if s != "unpriced"
            ],
            "policy": {"routes": [each | {"success": {"judgment": 0.9}} for each in routes]},
        }
        path = Path(folder) / "baseload.yaml"
        path.write_text(json.dumps(config))
        command = [sys.executable, "-m", "baseload", "serve", "--config", str(path), "--no-console"]
        with process(command, port, folder):
            time.sleep(1.0)  # the port is open before the worker has its last word
            _ask(port)
        store = open_store(Path(folder), read_only=True)
        try:
            return {
                call.facts.model: None if call.cost_nanousd is None else call.cost_nanousd / 1e9
                for call in store.calls()
            }
        finally:
            store.close()


def of_litellm(python: str, up: Upstream) -> Told:
    """What LiteLLM's proxy hands its logger."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "told.py").write_text(LITELLM_LOGGER)
        Path(folder, "config.yaml").write_text(json.dumps(litellm_config(up.port, SHAPES, INPUT, CACHE_READ, OUTPUT)))
        script = str(Path(python).parent / "litellm")
        command = [script, "--config", "config.yaml", "--port", str(port), "--num_workers", "1"]
        with process(command, port, folder, LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_MASTER_KEY="sk-x"):
            time.sleep(2.0)
            _ask(port, "sk-x")
            time.sleep(SETTLE_SECONDS)  # it logs in the background
        return _lines(Path(folder, "told.jsonl"))


def of_tensorzero(python: str, up: Upstream) -> Told:
    """What TensorZero's embedded gateway returns of usage and cost."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tensorzero.toml").write_text(tensorzero_config(up.port, SHAPES, INPUT, CACHE_READ, OUTPUT))
        Path(folder, "asked.json").write_text(json.dumps({shape: body(shape) for shape in SHAPES}))
        environment = {"TENSORZERO_DISABLE_PSEUDONYMOUS_USAGE_ANALYTICS": "1", "KEY": "x"}
        command = [python, "-c", TENSORZERO]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-500:])
        return _lines(Path(folder, "told.jsonl"))


def _lines(path: Path) -> Told:
    found: Told = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        said = json.loads(line)
        found[said["shape"]] = said["usd"]
    return found


def _installed(stack: ExitStack, name: str, package: str) -> str | None:
    """A new environment with a package in it; None, and why on stderr, where it cannot be had."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{name}-")))
    python = str(folder / "bin" / "python")
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
        subprocess.run([python, "-m", "pip", "install", "-q", package], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{name} cannot be installed: {error.stderr.decode()[-200:]}\n")
        return None
    return python


def measure(quick: bool, litellm: str | None, tensorzero: str | None, install: bool) -> Iterator[Figure]:
    with ExitStack() as stack:
        if install and not quick:
            litellm = litellm or _installed(stack, "litellm", "litellm[proxy]")
            tensorzero = tensorzero or _installed(stack, "tensorzero", "tensorzero")
        asked: dict[str, Callable[[Upstream], Told]] = {"baseload": of_baseload}
        for name, python, told in (("litellm", litellm, of_litellm), ("tensorzero", tensorzero, of_tensorzero)):
            if python and shutil.which(python):
                asked[name] = lambda up, python=python, told=told: told(python, up)
            else:
                sys.stderr.write(f"{name} is not installed: what it records is left out\n")
        for name, record in asked.items():
            with upstream() as up:
                recorded = record(up)
            yield from _beside(name, up.counted, recorded)


def _beside(name: str, counted: dict[str, float], recorded: Told) -> Iterator[Figure]:
    """Recorded over counted, shape by shape; what is unknown is said in words."""
    for shape, words in SHAPES.items():
        title = f"{name}: {words}"
        if shape in recorded and recorded[shape] is None:
            yield Figure(f"{title} (said to be unknown)", 1.0, "known", 1)
        else:
            said = recorded.get(shape) or 0.0
            yield Figure(title, max(said / counted[shape], 1e-9) if counted.get(shape) else 1e-9, "ratio", 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--litellm")
    parser.add_argument("--tensorzero")
    parser.add_argument("--install", action="store_true")
    found, sys.argv[1:] = parser.parse_known_args()
    run(__doc__, lambda quick: measure(quick, found.litellm, found.tensorzero, found.install))
