"""Where requests can go: the settings of one upstream, and the presets that fill them in. Acts (reads key files, data).

- {name: groq, preset: groq}
- {name: acme, base_url: "https://api.acme.example/v1", api_keys: [{key: "${ONE}"}, {file: /run/secrets/two}]}
- {name: pool, kind: own, replicas: ["http://10.0.0.7:8000/v1", "http://10.0.0.8:8000/v1"]}
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from baseload.catalog.providers import Auth, Provider, filled
from baseload.catalog.sheets import check_price
from baseload.errors import BadConfig
from baseload.load.facts import Operation
from baseload.policy.policy import Name
from baseload.wire.passage import Dialect

Seconds = Annotated[float, msgspec.Meta(gt=0)]
SomeSeconds = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(gt=0)]
Number = Annotated[int, msgspec.Meta(ge=0)]
# More than this many tries of one request are a storm, not patience.
Times = Annotated[int, msgspec.Meta(ge=0, le=10)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Weight = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]

_SERVED = {
    Dialect.OPENAI: frozenset({Operation.CHAT}),
    Dialect.ANTHROPIC: frozenset({Operation.MESSAGES, Operation.COUNT_TOKENS}),
}


class Timeouts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds to `connect`, to the `first_byte` of an answer, and `idle` between two bytes of it."""

    connect: Seconds = 3.0
    first_byte: Seconds = 60.0
    idle: Seconds = 30.0


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several keys: `key` itself, or a `file` that holds it. Of two keys, the one with twice the `weight` takes
    twice the attempts."""

    key: str = ""
    file: str = ""
    weight: Weight = 1.0

    def __post_init__(self) -> None:
        _check_secret("api_keys", self.key)

    def __repr__(self) -> str:
        return f"Key(***, weight={self.weight:g})"


class Retries(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an attempt whose answer had not begun is repeated at the same upstream before the next route is tried.

    It is repeated up to `times` after 408, 429, 5xx, a broken connection or no answer in time. The pause is random up
    to `first_seconds`, doubled each time up to `most_seconds`; a `retry-after` of the upstream stands instead, and when
    that is longer than `most_seconds` the attempt is not repeated. The default is 0, because another route is better
    than patience and the official clients repeat a request twice by themselves.
    """

    times: Times = 0
    first_seconds: Seconds = 0.5
    most_seconds: Seconds = 8.0


class Circuit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an upstream is left out for failing: after `failures` within `window_seconds` that are at least that `share`
    of all attempts, for `open_seconds`; then one attempt finds out whether it is back.

    A failure is no connection, no answer in time, a broken one or a 5xx. A client's own 4xx never counts, and a 429
    only rests the key as long as its `retry-after` says. An upstream that is the only one left is tried all the same.
    """

    failures: Count = 3
    share: Share = 0.5
    window_seconds: Seconds = 30.0
    open_seconds: Seconds = 5.0


class Pool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the `replicas` of an upstream share its work.

    A request goes to the replica that served the same beginning of a prompt before (its first `prefix_bytes`; 0 turns
    this off), so that the replica's prefix cache is of use, unless that one has more than `slack` requests in flight
    above the least loaded; then to the least loaded. `replica_slots` are the most requests in flight at one of them;
    absent, there is no limit. Every `health_seconds` (0: never) each replica is asked for `health_path`, and for its
    model list where that path is unknown; one that fails is left out until it answers again. Every `metrics_seconds`
    (0: never) its `/metrics` is read, for what it has running and waiting.
    """

    prefix_bytes: Number = 1_024
    slack: Number = 4
    replica_slots: Count | None = None
    health_seconds: SomeSeconds = 5.0
    health_path: str = "/health"
    metrics_seconds: SomeSeconds = 0.0


class Upstream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where requests go. Routes call it by `name`.

    `base_url` ends where the paths of its API begin, as in `https://api.acme.example/v1`; a pool of equal servers lists
    theirs in `replicas` instead. `preset` names a provider that Baseload knows and fills in what is not said here.
    `kind` is `api` for what is bought by the token and `own` for a pool of yours. `dialect` is what it speaks, and
    `operations` what it serves without translation; left out, that is `chat`, or what Anthropic serves.

    The key is `api_key`, or stands in `api_key_file`, or there are several in `api_keys`; without one none is sent.
    `auth` says how: as a bearer token, bare in the header `x-api-key` or `api-key`, or not at all; left out, as its
    dialect has it. `headers` go along with every request. `ca_file` is a file of certificates to trust in place of the
    machine's own.

    An own pool names the catalog `deployment` that serves it, and `usd_per_gpu_hour` is what one of its GPUs costs an
    hour. `timeouts` say when an attempt is given up and the next route is tried, `retries` whether it is first repeated
    here, `circuit` when an upstream that fails is left out, `pool` how replicas share the work.
    """

    name: Name
    preset: str = ""
    base_url: str = ""
    replicas: tuple[str, ...] = ()
    kind: Literal["api", "own"] = "api"
    dialect: Dialect = Dialect.OPENAI
    operations: frozenset[Operation] = frozenset()
    auth: Auth | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    api_key: str = ""
    api_key_file: str = ""
    api_keys: tuple[Key, ...] = ()
    ca_file: str = ""
    deployment: str = ""
    usd_per_gpu_hour: Decimal | None = None
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    circuit: Circuit = Circuit()
    pool: Pool = Pool()

    def __post_init__(self) -> None:
        check_price("usd_per_gpu_hour", self.usd_per_gpu_hour)
        if bool(self.base_url) == bool(self.replicas):
            raise ValueError(f"upstream {self.name} needs `base_url`, or `replicas`, and not both")
        for url in self.urls:
            _check_url(url)
        if len(set(self.replicas)) < len(self.replicas):
            raise ValueError(f"upstream {self.name} lists a replica twice")
        _check_secret("api_key", self.api_key)
        for name, value in self.headers.items():
            _check_header(name, value)
        if not self.pool.health_path.startswith("/"):
            raise ValueError("health_path begins with /")

    @property
    def serves(self) -> frozenset[Operation]:
        """What it serves without translation."""
        return self.operations or _SERVED[self.dialect]

    @property
    def sends_key_as(self) -> Auth:
        """How a key is sent."""
        return self.auth or ("x-api-key" if self.dialect is Dialect.ANTHROPIC else "bearer")

    @property
    def urls(self) -> tuple[str, ...]:
        """The base URL of each of its servers."""
        return self.replicas or (self.base_url,)

    @property
    def keys(self) -> tuple[Key, ...]:
        """Every key, with its weight; none when it is asked without."""
        return self.api_keys or ((Key(key=self.api_key),) if self.api_key else ())

    def __repr__(self) -> str:
        return f"Upstream({self.name!r}, {', '.join(self.urls)}, keys={['***' for _ in self.keys]})"


@cache
def load_providers() -> Mapping[str, Provider]:
    """Every preset by name."""
    from ruamel.yaml import YAML  # only a configuration with a preset needs it twice

    text = (resources.files("baseload.catalog") / "data" / "providers.yaml").read_text(encoding="utf-8")
    return msgspec.convert(YAML(typ="safe", pure=True).load(text)["providers"], dict[str, Provider])


def resolved(document: object, environment: Mapping[str, str]) -> object:
    """A configuration's document with presets filled in and key files read. Raises BadConfig."""
    if not isinstance(document, Mapping) or not isinstance(document.get("upstreams"), list):
        return document  # its shape is refused where it is checked
    return {**document, "upstreams": [_resolved(each, environment) for each in document["upstreams"]]}


def _resolved(upstream: object, environment: Mapping[str, str]) -> object:
    if not isinstance(upstream, Mapping):
        return upstream
    found = filled(upstream, load_providers(), environment) if upstream.get("preset") else dict(upstream)
    if found.get("api_key_file") and not found.get("api_key"):
        found["api_key"] = _secret(found["api_key_file"], found.get("name"))
    keys = found.get("api_keys")
    if isinstance(keys, list):
        found["api_keys"] = [
            {**each, "key": _secret(each["file"], found.get("name"))}
            if isinstance(each, Mapping) and each.get("file") and not each.get("key")
            else each
            for each in keys
        ]
    return found


def _secret(path: object, upstream: object) -> str:
    try:
        text = Path(str(path)).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError, RuntimeError, ValueError) as error:
        raise BadConfig(
            f"upstream {upstream}: its key cannot be read from {path}: {error}",
            remedy="Name a file that holds the key and nothing else, and that this user may read.",
        ) from error
    if not text:
        raise BadConfig(f"upstream {upstream}: {path} holds no key", remedy="Write the key into it.")
    return text


def _check_url(address: str) -> None:
    """What can be taken apart as an address, and sent in the head of a request."""
    try:
        url = urlsplit(address)
        _ = url.port
    except ValueError as error:
        raise ValueError(f"base_url {address!r} is no address: {error}") from error
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(f"base_url {address!r} is no address: write it as in https://api.example.com/v1")
    if url.query or url.fragment:
        raise ValueError(f"base_url {address!r} goes on after its path: end it there, for nothing behind it is sent")
    if not all("!" <= character <= "~" for character in address):
        raise ValueError(f"base_url {address!r} holds a space or a character that an address must write as %XX")


def _check_secret(field: str, secret: str) -> None:
    if not (secret.isascii() and secret.isprintable()):
        raise ValueError(f"{field} holds a character that no header carries")


# The connection's own: to set them from outside would break the framing of a request.
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


def _check_header(name: str, value: str) -> None:
    if not name or not set(name.lower()) <= _TOKEN or name.lower() in _FRAMING:
        raise ValueError(f"headers: {name!r} is not a header that can be set")
    if not (value.isascii() and value.isprintable()):
        raise ValueError(f"headers: {name} holds a character that no header carries")
