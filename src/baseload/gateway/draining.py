"""Replicas that are being taken out of a pool: said once, heard by every worker. Acts (one small file).

    <data_dir>/drained.json    {"pool": ["http://10.0.0.7:8000/v1"]}

A replica that drains gets nothing new while what it has comes to its end. Workers look at the file once a second, as
they do at the keys; it outlives them, so that a restart does not put a server to work that somebody is repairing.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from baseload.errors import BadInput
from baseload.gateway.target import Target, Targets

log = logging.getLogger(__name__)

DRAINED = "drained.json"
"""Its name in `data_dir`."""
LOOK_SECONDS = 1.0

Replicas = dict[str, tuple[str, ...]]
"""Base URLs of what drains, by upstream."""


class Draining:
    """What drains, by the file, and its effect on the targets of this process."""

    def __init__(self, directory: Path, targets: Targets) -> None:
        self._path = directory / DRAINED
        self._targets = targets
        self._seen: object = None
        self._applied: Mapping[str, Target] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Do as the file says from now on. Needs a running loop."""
        self.look()
        self._task = self._task or asyncio.create_task(self._watch())

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def set(self, upstream: str, url: str, *, on: bool) -> None:
        """Drain a replica, or put it to work again, in every worker. Raises BadInput where there is none such."""
        target = self._targets.by_name.get(upstream)
        known = [each.url for each in target.replicas] if target is not None else []
        if url not in known:
            what = f"upstream {upstream!r} has no replica {url!r}" if known else f"there is no upstream {upstream!r}"
            raise BadInput(what, remedy=f"Name one of {', '.join(known or sorted(self._targets.by_name))}.")
        with self._locked():
            found = self._read()
            left = [each for each in found.get(upstream, ()) if each != url]
            found[upstream] = (*left, url) if on else tuple(left)
            draft = self._path.with_suffix(".draft")
            draft.write_bytes(msgspec.json.encode({name: urls for name, urls in found.items() if urls}))
            draft.replace(self._path)
        log.info("replica %s of %s %s", url, upstream, "drains" if on else "works again")
        self.look()

    def look(self) -> None:
        """Apply the file where it, or the upstreams, have changed."""
        stamp, targets = self._stamp(), self._targets.by_name
        if stamp == self._seen and targets is self._applied:
            return
        self._applied = targets
        if stamp is None and self._seen is None:  # nobody has ever drained anything
            return
        self._seen = stamp
        found = self._read()
        for name, target in targets.items():
            for replica in target.replicas:
                target.drain(replica.url, on=replica.url in found.get(name, ()))

    def shown(self, now_ns: int) -> list[dict[str, object]]:
        """Every upstream with its servers, as this worker sees them."""
        return [_shown(name, target, now_ns) for name, target in self._targets.by_name.items()]

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def _read(self) -> Replicas:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Replicas)
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.error("%s cannot be read, so nothing drains: %s", self._path, error)
            return {}

    def _stamp(self) -> tuple[int, int, int] | None:
        with suppress(OSError):
            found = self._path.stat()
            return found.st_ino, found.st_mtime_ns, found.st_size
        return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else changes the file meanwhile."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _shown(name: str, target: Target, now_ns: int) -> dict[str, object]:
    replicas = [
        {
            "url": each.url,
            "draining": each.draining,
            "healthy": each.seen_healthy and now_ns >= each.out_until_ns,
            "in_flight": each.load,
        }
        for each in target.replicas
    ]
    return {
        "name": name,
        "left_out": target.shuts_out(now_ns),
        "resting_keys": target.resting(now_ns),
        "replicas": replicas,
    }
