"""The file that holds the keys made by `baseload key` and the admin API: hashes, never a secret. Acts.

    <data_dir>/keys.json        {"schema": "baseload.keys/1", "keys": [...]}
    <data_dir>/keys.json.lock   held with flock while a change is made

A change is made under the lock on what stands in the file at that moment, and replaces it whole: two that change it at
once both count, and whoever reads it sees one state or the other.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import msgspec

from baseload.errors import BadConfig, BadInput
from baseload.ledger.flush import flush
from baseload.policy.keys import ClientKey, check_keys, state

SCHEMA = "baseload.keys/1"
FILE = "keys.json"
GRACE = timedelta(hours=24)
"""How long the former secret of a rotated key is good, unless somebody says otherwise."""

_PREFIX_BYTES, _SECRET_BYTES = 4, 32
_OWNER_ONLY = 0o600
_Made = TypeVar("_Made")


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: str
    keys: tuple[ClientKey, ...]


class Minted(msgspec.Struct, frozen=True):
    """A key and its `token`, the only time that anybody sees it."""

    key: ClientKey
    token: str

    def __repr__(self) -> str:
        return f"Minted({self.key.title!r}, token='***')"


def hash_of(token: str) -> str:
    """What is kept of a token."""
    return f"sha256:{sha256(token.encode()).hexdigest()}"


def mint(template: ClientKey | None = None, *, at: datetime) -> Minted:
    """A new key with the fields of a template, of whose prefix and hash nothing is taken."""
    prefix = secrets.token_hex(_PREFIX_BYTES)
    token = _token(prefix)
    given = msgspec.structs.asdict(template) if template is not None else {}
    return Minted(ClientKey(**{**given, "prefix": prefix, "hash": hash_of(token), "created": at}), token)


class KeyFile:
    """The keys of one data directory."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE

    def read(self) -> tuple[ClientKey, ...]:
        """Every key; none when there is no file. Raises BadConfig naming the file."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise BadConfig(f"cannot read {self.path}: {error.strerror}", remedy="Make it readable.") from error
        try:
            stored = msgspec.json.decode(text, type=_Stored)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._broken(str(error)) from error
        if stored.schema != SCHEMA:
            raise self._broken(f"its schema is {stored.schema!r}, not {SCHEMA!r}")
        check_keys(stored.keys)
        return stored.keys

    def create(self, template: ClientKey, *, at: datetime, beside: Iterable[ClientKey] = ()) -> Minted:
        """Make a key and keep its hash. Raises BadConfig when its name is taken, here or `beside`."""
        minted = mint(template, at=at)

        def change(keys: tuple[ClientKey, ...]) -> tuple[tuple[ClientKey, ...], Minted]:
            check_keys((*beside, *keys, minted.key))
            return (*keys, minted.key), minted

        return self._change(change)

    def revoke(self, name: str) -> ClientKey:
        """Refuse a key from now on. It stays in the file, so that what it did keeps its name."""
        return self._replace(name, lambda key: msgspec.structs.replace(key, disabled=True))

    def rotate(self, name: str, *, at: datetime, grace: timedelta = GRACE) -> Minted:
        """Give a key another secret; the one that was good until now is so for `grace` longer. Raises BadConfig for a
        key that is good no more: no secret of it would be taken."""
        token = ""

        def other(key: ClientKey) -> ClientKey:
            nonlocal token
            if key.disabled or (key.expires is not None and key.expires <= at):
                raise BadConfig(f"the key {key.title!r} is {state(key, at)}", remedy="Make one under another name.")
            token = _token(key.prefix)
            former = {"former_hash": key.hash, "former_until": at + grace} if grace else {}
            gone = {"former_hash": None, "former_until": None}
            return msgspec.structs.replace(key, hash=hash_of(token), **{**gone, **former})

        return Minted(self._replace(name, other), token)

    def _replace(self, name: str, other: Callable[[ClientKey], ClientKey]) -> ClientKey:
        def change(keys: tuple[ClientKey, ...]) -> tuple[tuple[ClientKey, ...], ClientKey]:
            found = named(keys, name, self.path)
            changed = other(found)
            return tuple(changed if key is found else key for key in keys), changed

        return self._change(change)

    def _change(self, change: Callable[[tuple[ClientKey, ...]], tuple[tuple[ClientKey, ...], _Made]]) -> _Made:
        try:
            with self._locked():
                keys, made = change(self.read())
                self._write(keys)
        except OSError as error:
            remedy = "Give this user the right to write there, or name another data_dir."
            raise BadConfig(f"cannot write {self.path}: {error.strerror}", remedy=remedy) from error
        return made

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path.with_name(FILE + ".lock"), os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, keys: tuple[ClientKey, ...]) -> None:
        """Whole or not at all, and on the disk before anybody hears of it."""
        half = self.path.with_name(FILE + ".half")
        text = msgspec.json.format(msgspec.json.encode(_Stored(SCHEMA, keys), order="deterministic"), indent=2)
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text + b"\n")
            file.flush()
            os.fsync(file.fileno())
        half.replace(self.path)
        flush(self.path.parent)

    def _broken(self, why: str) -> BadConfig:
        return BadConfig(f"{self.path} is no file of keys: {why}", remedy="Restore it from a backup, or mend it.")


def named(keys: Iterable[ClientKey], name: str, where: Path) -> ClientKey:
    """The key of that name or prefix. Raises BadInput."""
    prefix = name.removeprefix("bl-")[: 2 * _PREFIX_BYTES] if name.startswith("bl-") else name
    for key in keys:
        if key.title == name or key.prefix == prefix:
            return key
    raise BadInput(f"no key in {where} is called {name!r}", remedy="See them all: baseload key list.")


def _token(prefix: str) -> str:
    return f"bl-{prefix}-{secrets.token_hex(_SECRET_BYTES)}"
