"""What is tortured: `baseload serve`, its database, disk and clock, and the upstreams before it. Acts (processes)."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from baseload.ledger.hot import FILE, HotStore, open_store
from benchmarks.torture.upstream import Billed, billed

PRICES = {"alpha": (137, 1_113), "beta": (250, 2_000)}
"""Nano-dollars for a token read and a token written, by upstream: USD 0.137 and 1.113 a million, 0.25 and 2."""
MARGIN_BYTES = 64 * 1024
DISK_BYTES = 3 << 30
START_SECONDS = 60.0


def config(directory: Path, ports: dict[str, int], port: int, workers: int, store: str, caps: float) -> dict[str, Any]:
    """A configuration with two upstreams, and budgets of which some are spent within the run; `caps` is how much of
    them, about 1 for each five minutes that the run takes."""
    routes = [
        {
            "name": name,
            "upstream": name,
            "model": name,
            "offer": f"torture/{name}",
            "success": {"judgment": 0.9},
            "on_client_gone": gone,
        }
        for name, gone in (("alpha", "abort"), ("beta", "drain"))
    ]
    upstreams = [
        {
            "name": name,
            "base_url": f"http://127.0.0.1:{ports[name]}/v1",
            "timeouts": {"first_byte": 2, "idle": 2},
            "retries": {"times": 1, "first_seconds": 0.05, "most_seconds": 0.2},
        }
        for name in PRICES
    ]
    prices = [
        {"offer": f"torture/{name}", "input": f"{read / 1000}", "output": f"{written / 1000}"}
        for name, (read, written) in PRICES.items()
    ]
    return {
        "listen": f"127.0.0.1:{port}",
        "data_dir": str(directory),
        "workers": workers,
        "store": store,
        "upstreams": upstreams,
        "prices": prices,
        "policy": {"aliases": {"auto": "judgment"}, "routes": routes, "default_bucket": "judgment"},
        "budgets": [
            {"name": "all", "per": "day", "usd": 1000},
            {"name": "web", "per": "total", "usd": f"{0.03 * caps:.6f}", "match": {"team": "web"}},
            {"name": "batch", "per": "total", "requests": max(20, int(600 * caps)), "match": {"team": "batch"}},
            {"name": "lab", "per": "total", "tokens": max(5_000, int(60_000 * caps)), "match": {"team": "lab"}},
            {"name": "rate", "per": "minute", "requests": 800, "match": {"upstream": "beta"}},
            {"name": "late", "per": "total", "usd": f"{0.002 * caps + 0.0008:.6f}", "match": {"team": "late"}},
        ],
        "stop": {"drain_seconds": 5},
        "log": {"level": "warning"},
    }


class Disk:
    """The disk that the gateway writes to: a tmpfs of its own where that may be mounted, which is made as small as what
    it holds; else a folder, and the processes are told that no file of theirs may grow (RLIMIT_FSIZE)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
        done = subprocess.run(mount, capture_output=True, check=False) if shutil.which("mount") else None
        self.mounted = done is not None and done.returncode == 0

    @property
    def how(self) -> str:
        return "a tmpfs made as small as what it holds" if self.mounted else "RLIMIT_FSIZE of the processes"

    def fill(self, pids: list[int]) -> None:
        if self.mounted:
            used = shutil.disk_usage(self.folder).used
            self._resize(used + MARGIN_BYTES)
        else:
            self._limit(pids, 0)

    def free(self, pids: list[int]) -> None:
        if self.mounted:
            self._resize(DISK_BYTES)
        else:
            self._limit(pids, resource.RLIM_INFINITY)

    def close(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], capture_output=True, check=False)

    def _resize(self, size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.folder)], capture_output=True, check=False)

    def _limit(self, pids: list[int], most: int) -> None:
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


class Clock:
    """The wall clock of the gateway's processes, which jumps where a C compiler is there to make it (`clock.c`)."""

    def __init__(self, folder: Path) -> None:
        self._shim, self._file = folder / "clock.so", folder / "clock"
        self._file.write_bytes(bytes(8))
        compiler = shutil.which("cc")
        source = Path(__file__).with_name("clock.c")
        command = [compiler or "", "-shared", "-fPIC", "-O2", "-o", str(self._shim), str(source)]
        self.jumps = compiler is not None and subprocess.run(command, check=False).returncode == 0

    @property
    def how(self) -> str:
        return "jumps of the wall clock, by LD_PRELOAD" if self.jumps else "not jumped: there is no C compiler"

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._shim), "TORTURE_CLOCK": str(self._file)} if self.jumps else {}

    def set(self, seconds: int) -> None:
        """Move it so far from the time that it is."""
        with self._file.open("r+b") as file:
            file.write(seconds.to_bytes(8, sys.byteorder, signed=True))


@dataclass
class Gateway:
    """`baseload serve`, started again and again on one port."""

    folder: Path
    port: int
    clock: Clock
    process: subprocess.Popen[str] | None = None
    ended: list[int] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "baseload.yaml"

    @property
    def log(self) -> Path:
        return self.folder / "serve.log"

    def start(self) -> None:
        """Start it; returns when it serves."""
        command = [sys.executable, "-m", "baseload", "serve", "-c", str(self.file), "--no-console", "--json"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | self.clock.environment
            )
        stdout = self.process.stdout
        assert stdout is not None
        line = "."
        while line and line != "}\n":
            line = stdout.readline()
        if not line:
            self.process.wait()
            raise RuntimeError(f"baseload serve did not start, see {self.log}")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def workers(self) -> list[int]:
        """Process ids of those that serve."""
        found = []
        for task in Path(f"/proc/{self.pid}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):
                found += [int(pid) for pid in task.read_text().split()]
        return sorted(pid for pid in found if _is_worker(pid))

    def kill(self, *, all_of_it: bool) -> None:
        """Kill the supervisor, and its workers where the whole machine is to fail; wait until nobody is left."""
        workers = self.workers
        for pid in (self.pid, *(workers if all_of_it else ())):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._gone()
        deadline = time.monotonic() + 30
        while any(_is_worker(pid) for pid in workers) and time.monotonic() < deadline:
            time.sleep(0.05)

    def stop(self) -> int:
        """End it as an operator does; its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._gone()
        return self.process.returncode

    def _gone(self) -> None:
        assert self.process is not None
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A verb of `baseload`, by a clock that is days ahead, when every hour is over."""
        self.clock.set(200_000)
        return self.beside(*words)

    def beside(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A verb of `baseload`, whatever the gateway does meanwhile."""
        command = [sys.executable, "-m", "baseload", *words, "--config", str(self.file)]
        return subprocess.run(
            command, capture_output=True, text=True, env=os.environ | self.clock.environment, timeout=600, check=False
        )


def _is_worker(pid: int) -> bool:
    try:
        return b"gateway.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


class Database:
    """The hot store. SQLite lies beside the spool; PostgreSQL is a server of its own, on a disk of its own."""

    def __init__(self, kind: str, data: Path) -> None:
        self.kind, self.url = kind, ""
        self._data = data
        self._server: Any = None
        if kind == "postgres":
            from tests.postgres_server import Server

            self._server = Server()
            self._server.start()
            self.url = self._server.database()

    def open(self) -> HotStore:
        return open_store(self._data, self.url, read_only=True)

    def lock(self, seconds: float) -> None:
        """Hold everything locked. Returns after it."""
        with suppress(Exception):
            if self._server is None:
                with closing(sqlite3.connect(self._data / FILE, timeout=2, isolation_level=None)) as other:
                    other.execute("BEGIN EXCLUSIVE")
                    time.sleep(seconds)
                    other.execute("COMMIT")
                return
            import psycopg

            with psycopg.connect(self.url) as other:
                other.execute("LOCK TABLE calls, budget_accounts, budget_leases IN ACCESS EXCLUSIVE MODE")
                time.sleep(seconds)

    def kill(self, seconds: float) -> None:
        """Kill the server, and start it again after a while."""
        self._server.kill()
        time.sleep(seconds)
        self._server.start()

    def freeze(self, seconds: float) -> None:
        """Let no process of the server run."""
        self._server.signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._server.signal(signal.SIGCONT)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


class Stage:
    """Everything, in a folder of its own that goes with it."""

    def __init__(self, kind: str, workers: int, seed: int, caps: float) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="torture-"))
        self.disk = Disk(self.folder / "disk")
        self.data = self.disk.folder / "data"
        self.clock = Clock(self.folder)
        self._upstreams: list[subprocess.Popen[str]] = []
        self.ports = {name: self._upstream(name, seed) for name in PRICES}
        self.database = Database(kind, self.data)
        self.gateway = Gateway(self.folder, _free_port(), self.clock)
        document = config(self.data, self.ports, self.gateway.port, workers, self.database.url, caps)
        self.gateway.file.write_text(json.dumps(document))
        self.changing = threading.Lock()  # what would keep a gateway from starting, one after the other
        self.starting = threading.Lock()

    def _upstream(self, name: str, seed: int) -> int:
        read, written = PRICES[name]
        words = [name, name, str(read), str(written), str(seed), str(self.folder / f"{name}.billed"), "0"]
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.torture.upstream", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._upstreams.append(process)
        assert process.stdout is not None
        return int(process.stdout.readline())

    def billed(self) -> dict[str, list[Billed]]:
        """What each upstream counts as served."""
        return {name: billed(self.folder / f"{name}.billed") for name in PRICES}

    @property
    def spool(self) -> Path:
        return self.data / "spool"

    @property
    def processes(self) -> list[int]:
        return [self.gateway.pid, *self.gateway.workers]

    def close(self, *, keep: bool = False) -> None:
        process = self.gateway.process
        if process is not None and process.poll() is None:
            self.gateway.kill(all_of_it=True)
        for upstream in self._upstreams:
            upstream.kill()
            upstream.communicate()
        self.database.close()
        if not keep:
            self.disk.close()
            shutil.rmtree(self.folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
