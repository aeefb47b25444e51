"""What `baseload doctor` finds on this machine: one value per check. Acts (reads files, binds a port for a moment)."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

import msgspec

from baseload.configuration import read_document, read_settings
from baseload.errors import BaseloadError
from baseload.gateway.keyfile import KeyFile
from baseload.gateway.keys import KeyRing, check_open, is_loopback
from baseload.policy.keys import state
from baseload.settings import Settings
from baseload.units import BYTES_PER_GB

Status = Literal["ok", "warn", "fail"]
OLDEST_PYTHON = (3, 11)
# A busy gateway writes about a gigabyte of calls a day; below the second figure a ledger can hardly be checkpointed.
LITTLE_GB, TOO_LITTLE_GB = 1.0, 0.1
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at: what was found, and what to do where that is not well."""

    what: str
    status: Status
    found: str
    remedy: str = ""


def read(config: Path) -> tuple[list[Check], Settings | None]:
    """The interpreter and the configuration; without a configuration there is nothing more to check."""
    checks = [_python()]
    if not config.exists():
        remedy = "Write one with `baseload init`, or name one with --config."
        return [*checks, Check("config", "fail", f"there is no {config}", remedy)], None
    try:
        settings = read_settings(config)
    except BaseloadError as error:
        return [*checks, Check("config", "fail", error.message, error.remedy)], None
    upstreams, routes = len(settings.upstreams), len(settings.policy.routes)
    if not routes:
        found = f"{config} has no route: nothing can be served"
        return [*checks, Check("config", "fail", found, "Add routes to its policy.")], settings
    return [*checks, Check("config", "ok", f"{config}: {upstreams} upstreams, {routes} routes")], settings


def of_place(settings: Settings, config: Path) -> Iterator[Check]:
    """Everything that can be known without asking anybody else."""
    yield from _prices(settings)
    yield from _keys(settings)
    yield from _secrets(settings, config)
    yield from _disk(settings)
    yield _clock()
    yield _port(settings)
    yield _console()


def _python() -> Check:
    version = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return Check("python", "fail", version, "Install Python 3.11 or newer.")
    return Check("python", "ok", f"{version}, {platform.system()} {platform.machine()}")


def _prices(settings: Settings) -> Iterator[Check]:
    """Every route has a price."""
    from baseload.documents import catalog_of, load_deployments
    from baseload.gateway.offers import priced_routes

    try:
        today = datetime.now(UTC).date()
        offers, unpriced = priced_routes(settings, catalog_of(settings), load_deployments(), today)
    except BaseloadError as error:
        yield Check("prices", "fail", error.message, error.remedy)
        return
    for key in unpriced:
        remedy = f"Look for it with `baseload price {key.rpartition('/')[2]}`, or add it to `prices`."
        yield Check("prices", "warn", f"no book has a price for {key}: its calls will be unpriced", remedy)
    if offers:
        oldest = min(offer.source.as_of for offer in offers.values())
        yield Check("prices", "ok", f"{len(offers)} offers are priced, the oldest figure of {oldest}")


def _keys(settings: Settings) -> Iterator[Check]:
    """Whoever may call is known, and nobody else."""
    file = KeyFile(settings.directory)
    try:
        ring = KeyRing(settings)
        check_open(settings, ring)
    except BaseloadError as error:
        yield Check("keys", "fail", error.message, error.remedy)
        return
    now = datetime.now(UTC)
    good = sum(state(key, now).startswith(("in force", "until")) for key in ring.keys)
    if settings.open and not is_loopback(settings.address[0]):
        remedy = "Take `open: true` out and give every client a key."
        yield Check("keys", "warn", f"{settings.listen} is open to everybody", remedy)
    elif not ring.keys:
        yield Check("keys", "ok", "none: whoever is on this machine is served, nobody else can reach it")
    elif not good:
        yield Check("keys", "fail", f"none of {len(ring.keys)} keys is in force", "Make one: baseload key create NAME.")
    else:
        yield Check("keys", "ok", f"{good} of {len(ring.keys)} keys are in force")
    if file.path.exists() and file.path.stat().st_mode & _OTHERS:
        yield Check("keys", "warn", f"{file.path} can be read by others", f"chmod 600 {file.path}")


def _secrets(settings: Settings, config: Path) -> Iterator[Check]:
    """A configuration that holds a key in plain is its owner's alone."""
    secrets = {key.key for upstream in settings.upstreams for key in upstream.keys} | {settings.admin_key}
    plain = secrets & set(_texts(read_document(config)))
    if plain - {""} and config.stat().st_mode & _OTHERS:
        remedy = f"Write ${{NAME}} and export NAME, or chmod 600 {config}."
        yield Check("secrets", "warn", f"{config} holds a key and can be read by others", remedy)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


def _disk(settings: Settings) -> Iterator[Check]:
    """The ledger can be written, and has room."""
    directory = settings.directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"doctor")
            file.flush()
            os.fsync(file.fileno())
        free = shutil.disk_usage(directory).free / BYTES_PER_GB
    except OSError as error:
        remedy = "Give this user the right to write there, or set another data_dir."
        yield Check("data_dir", "fail", f"{directory} cannot be written: {error.strerror}", remedy)
        return
    status: Status = "fail" if free < TOO_LITTLE_GB else "warn" if free < LITTLE_GB else "ok"
    remedy = "Free some space, or set data_dir to a bigger disk." if status != "ok" else ""
    yield Check("data_dir", status, f"{directory} can be written, {free:.1f} GB are free", remedy)


def _clock() -> Check:
    """The clock is not behind the newest figure of the books: prices depend on the day."""
    from baseload.documents import load_catalog

    now = datetime.now(UTC)
    newest: date = max(offer.source.as_of for offer in load_catalog().offers)
    if now.date() < newest:
        found = f"the clock says {now:%Y-%m-%d}, and the price books are of {newest}"
        return Check("clock", "fail", found, "Set the clock: `timedatectl set-ntp true` on most machines.")
    return Check("clock", "ok", f"{now:%Y-%m-%d %H:%M} UTC")


def _port(settings: Settings) -> Check:
    """The address can be listened on, or a gateway does already."""
    host, port = settings.address
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy = "Fine when that is your gateway. Else stop it, or set another `listen`."
            return Check("port", "warn", f"something listens on {settings.listen}", remedy)
        remedy = "Write an address of this machine: 127.0.0.1 for itself alone, 0.0.0.0 for every network."
        return Check("port", "fail", f"cannot listen on {settings.listen}: {error.strerror or error}", remedy)
    return Check("port", "ok", f"{settings.listen} is free")


def _console() -> Check:
    """The console's pages and charts are installed."""
    from importlib import resources

    folder = resources.files("baseload.console")
    missing = [name for name in ("templates", "static", "charts") if not folder.joinpath(name).is_dir()]
    if missing:
        return Check("console", "fail", f"it lacks {', '.join(missing)}", "Install baseload again.")
    return Check("console", "ok", "its pages and charts are installed")
