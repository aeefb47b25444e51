"""Who asks: the key of a request, found in constant time among those that are known. Acts (reads the key file).

A key is `bl-<prefix>-<secret>`, sent as `Authorization: Bearer` or `x-api-key`. The prefix finds the entry, the hash of
the whole is compared in constant time, and for an unknown prefix the same work is done. Every worker has a ring of its
own and looks at most once a second whether the file has changed.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest

import msgspec

from baseload.clock import Clock, SystemClock, to_ns
from baseload.errors import BadConfig
from baseload.gateway.keyfile import KeyFile
from baseload.gateway.request import Request
from baseload.policy.keys import ClientKey, Scope, check_keys
from baseload.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often the file is looked at."""

_MARK = b"bl-"
_PREFIX = slice(3, 11)
_BEARER = b"bearer "
_NEVER = 1 << 63
_NOBODY = bytes(32)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A key as it is compared: digests and nanoseconds."""

    key: ClientKey | None
    digest: bytes
    former: bytes
    former_until_ns: int
    expires_ns: int


_UNKNOWN = _Entry(None, _NOBODY, _NOBODY, 0, _NEVER)


class Unknown(msgspec.Struct, frozen=True):
    """Nobody is known by what was sent: why, and what to do. Never what was sent."""

    message: str


class KeyRing:
    """The keys that one process knows. Without any, everybody is let in: `check_open` says where that may be."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._file = KeyFile(settings.directory)
        self._clock = clock or SystemClock()
        self._entries: dict[bytes, _Entry] = {}
        self._configured: tuple[ClientKey, ...] = ()
        self._open = False
        self._seen: object = None
        self._looked = 0.0
        self.required = False
        self.reload(settings)

    @property
    def keys(self) -> tuple[ClientKey, ...]:
        """Every key, those of the configuration first."""
        return tuple(entry.key for entry in self._entries.values() if entry.key is not None)

    @property
    def entries(self) -> object:
        """What keys are looked up in: another object once other keys are in force."""
        return self._entries

    @property
    def configured(self) -> tuple[ClientKey, ...]:
        """Those of the configuration."""
        return self._configured

    @property
    def file(self) -> KeyFile:
        """Where the others stand."""
        return self._file

    def reload(self, settings: Settings | None = None) -> None:
        """Read the file again, and take the keys of a configuration. Raises BadConfig and then keeps what was known."""
        configured = self._configured if settings is None else settings.keys
        seen = self._stamp()
        keys = (*configured, *self._file.read())
        check_keys(keys)
        self._entries = {key.prefix.encode(): _entry(key) for key in keys}
        self._configured, self._seen = configured, seen
        if settings is not None:
            self._open = settings.open
        # Once keys are asked for they are until the process ends: a file that vanishes opens nothing.
        self.required = (self.required or bool(keys)) and not self._open

    def caller(self, request: Request) -> ClientKey | Unknown | None:
        """The key of a request; None for somebody without one where none is required."""
        self._look()
        if not self._entries and not self.required:
            return None
        known: tuple[object, _Entry, bool] | None = request.head.known.get("key")
        if known is not None and known[0] is self._entries:  # the same bytes were compared before, in constant time
            return self._in_force(known[1], current=known[2])
        found = tokens(request)
        ours = next((token for token in found if token.startswith(_MARK)), None)
        if ours is None and not self.required:
            return None
        if not found:
            return Unknown(_NO_KEY)
        entry, current = self._compared(ours or found[0])
        if entry is None:
            return _NOT_KNOWN
        request.head.known["key"] = (self._entries, entry, current)
        return self._in_force(entry, current=current)

    def find(self, token: bytes) -> ClientKey | Unknown:
        """The key that a token is of."""
        entry, current = self._compared(token)
        return self._in_force(entry, current=current) if entry is not None else _NOT_KNOWN

    def _compared(self, token: bytes) -> tuple[_Entry | None, bool]:
        """The entry that a token is of, and whether by its current secret and not by its former one."""
        digest = sha256(token).digest()
        entry = self._entries.get(token[_PREFIX], _UNKNOWN)
        current = compare_digest(digest, entry.digest)
        former = compare_digest(digest, entry.former)
        return (entry if entry.key is not None and (current or former) else None), current

    def _in_force(self, entry: _Entry, *, current: bool) -> ClientKey | Unknown:
        """The key of an entry, unless its time is over."""
        key, now = entry.key, self._clock.time_ns()
        if key is None:
            return _NOT_KNOWN
        if key.disabled:
            return Unknown(f"The key `{key.title}` was revoked. Have another one made.")
        if now >= entry.expires_ns:
            return Unknown(f"The key `{key.title}` has expired. Have another one made.")
        if not current and now >= entry.former_until_ns:
            return Unknown(f"The secret of the key `{key.title}` was changed. Use the new one.")
        return key

    def administers(self, token: bytes) -> bool:
        """Whether a token is of a key that may administer."""
        found = self.find(token) if token.startswith(_MARK) else None
        return isinstance(found, ClientKey) and Scope.ADMIN in found.scopes

    def _look(self) -> None:
        """Read the file again when it has changed. One that cannot be read changes nothing but is said once."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        stamp = self._stamp()
        if stamp == self._seen:
            return
        try:
            self.reload()
        except BadConfig as error:
            self._seen = stamp
            log.error("the keys known so far stay in force: %s", error)

    def _stamp(self) -> object:
        try:
            found = self._file.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


_NOT_KNOWN = Unknown("The API key is not known here. Check it, or have one made with `baseload key create`.")
_NO_KEY = "No API key was sent. Send yours as `Authorization: Bearer bl-...` or `x-api-key: bl-...`."


def tokens(request: Request) -> list[bytes]:
    """Every key that a request carries."""
    found = []
    for name, value in request.headers:
        if name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
            found.append(value[len(_BEARER) :].strip())
        elif name == b"x-api-key":
            found.append(value.strip())
    return [token for token in found if token]


def check_open(settings: Settings, ring: KeyRing) -> None:
    """Raise BadConfig where everybody on a network would be let in and nobody said that they should."""
    host, _ = settings.address
    if ring.keys or settings.open or is_loopback(host):
        return
    raise BadConfig(
        f"{settings.listen} can be reached from other machines, and no key is defined: anybody there could spend",
        remedy="Make a key with `baseload key create NAME`, listen on 127.0.0.1, or write `open: true` to let all in.",
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _entry(key: ClientKey) -> _Entry:
    return _Entry(
        key,
        _digest(key.hash),
        _digest(key.former_hash) if key.former_hash else _NOBODY,
        to_ns(key.former_until) if key.former_until else 0,
        to_ns(key.expires) if key.expires else _NEVER,
    )


def _digest(stored: str) -> bytes:
    return bytes.fromhex(stored.removeprefix("sha256:"))
