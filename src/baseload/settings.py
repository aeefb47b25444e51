"""Configuration: one frozen `Settings`, read once at the edge. Acts (reads one file and the environment).

    listen: 127.0.0.1:8790
    data_dir: ~/.local/share/baseload
    upstreams:
      - {name: acme, base_url: "https://api.acme.example/v1", api_key: "${ACME_API_KEY}"}
      - {name: pool, base_url: "http://10.0.0.7:8000/v1", kind: own, deployment: qwen3-32b-2xh100-vllm0.12,
         usd_per_gpu_hour: "2.40"}
    policy:
      aliases: {auto: judgment}
      routes:
        - {name: pool, upstream: pool, model: qwen3-32b, offer: own/qwen3-32b, own: true, slots: 128,
           success: {judgment: 1}}

`${NAME}` in a string is taken from the environment. An error names the file and the field.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from baseload.catalog.gpus import Hardware, OwnLease
from baseload.catalog.sheets import Exchange, OwnPrice
from baseload.clock import Clock, ScaledClock, SystemClock
from baseload.errors import BadConfig
from baseload.home import home
from baseload.policy.budget import Budget, check_budgets
from baseload.policy.keys import ClientKey, check_keys
from baseload.policy.policy import Policy
from baseload.upstreams import Count, Seconds, SomeSeconds, Timeouts, Upstream, resolved
from baseload.wire.carried import unserved

__all__ = ["BookFile", "Limits", "ReplayTime", "Settings", "Timeouts", "Upstream"]

# A configuration has a few hundred values; one whose aliases multiply into more than this is a bomb.
MOST_VALUES = 100_000
# A clock that is replayed beyond these years is a slip, and its dates would leave the calendar.
FIRST_YEAR, LAST_YEAR = 1970, 2200
# Shorter ones can be guessed.
LEAST_ADMIN_KEY = 16

# What hides what it holds, and where an address may hold a password.
_SECRET = re.compile(r"(?:.*_)?(?:key|hash|secret|token|password|webhook)")
_IN_ADDRESS = re.compile(r"(://)[^/@\s]+(@)")
# What an error quotes of a document. A field may be named, and a single character, and what a parser calls by <name>.
_QUOTED = re.compile(r"""(['"])(?!<)(?:(?!\1).){2,}\1""")
_DOUBLED = re.compile(r'found duplicate key "[A-Za-z0-9_-]{1,64}"')
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


# A replay that is faster than this passes a year in half a minute.
Times = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
# More processes than this on one machine are a slip.
Workers = Annotated[int, msgspec.Meta(gt=0, le=64)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


_Document = TypeVar("_Document", bound=msgspec.Struct)


class BookFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price book that you keep as a file: `kind` says whose shape it has, `path` where it lies.

    `as_of` is the day it was taken, which only a flat file of models.dev says itself; `name` is what its rows are
    called, its kind and day when left out. It stands with the market book: of two books the newer one is first.
    """

    kind: Literal["litellm", "models.dev", "genai-prices"]
    path: str
    as_of: date | None = None
    name: str = ""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client may send: `head_bytes` and `head_fields` of headers within `head_seconds`, then a body of
    `body_bytes` that never stands still for `body_seconds`. All bodies that one worker holds at a time have no more
    than `bodies_bytes`: what comes beyond that is told to come again."""

    head_bytes: Count = 32 * 1024
    head_fields: Count = 100
    body_bytes: Count = 32 * 1024 * 1024
    bodies_bytes: Count = 1024 * 1024 * 1024
    head_seconds: Seconds = 10.0
    body_seconds: Seconds = 20.0

    def __post_init__(self) -> None:
        if self.bodies_bytes < self.body_bytes:
            raise ValueError("bodies_bytes is less than body_bytes: one body could be too much")


class Stop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the gateway ends when it is told to: `/readyz` says no for `grace_seconds` while requests are still taken, so
    that a load balancer looks elsewhere; then none is taken, and answers in the making have `drain_seconds` to end."""

    grace_seconds: SomeSeconds = 0.0
    drain_seconds: SomeSeconds = 30.0


class Log(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is written to stderr: `format` is one line of text or one JSON object for each event, `level` the least
    that is said. At `info` each call has a line of its own; prompts, answers and keys are in none."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "warning"


class Otel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where spans are sent by OTLP over HTTP: `endpoint` as in `http://127.0.0.1:4318/v1/traces`, with `headers` such
    as a key, under the name `service`. Needs the extra `otel`."""

    endpoint: str
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    service: str = "baseload"

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"otel endpoint {self.endpoint!r} is no http address")

    def __repr__(self) -> str:
        return f"Otel({self.endpoint!r}, headers={dict.fromkeys(self.headers, '***')}, service={self.service!r})"


class Alerts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When somebody is to hear of a budget: as its spending, or the spending that its pace leads to, reaches each of
    `percents` of the cap, once in each window. It is logged, and sent as JSON by POST to the address in `webhook`,
    where there is one. Own pools whose hourly cost is known are told of when they served nothing for `idle_minutes`,
    with what that has cost; 0 for never."""

    webhook: str = ""
    percents: tuple[Annotated[int, msgspec.Meta(gt=0, le=10_000)], ...] = (50, 80, 100, 120)
    idle_minutes: Annotated[float, msgspec.Meta(ge=0, le=525_600)] = 60.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.webhook)
        if self.webhook and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError(f"alerts.webhook {self.webhook!r} is no http address")


class ReplayTime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Time while a trace is replayed: from `start` at `speed` times real time, at real pace after `until`.

    Both moments name their zone, as in `2026-11-19T18:15:46Z`.
    """

    start: Moment
    until: Moment
    speed: Times

    def __post_init__(self) -> None:
        if not (self.start <= self.until and self.start.year >= FIRST_YEAR and self.until.year <= LAST_YEAR):
            raise ValueError(f"`until` comes after `start`, both from {FIRST_YEAR} to {LAST_YEAR}")


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long calls are kept, in whole days after they arrived. Calls older than `hot_days` leave the hot store once
    they are in the lake and that was looked through; what the lake holds of days older than `lake_days` is removed for
    good. Left out, everything is kept."""

    hot_days: Annotated[int, msgspec.Meta(ge=2, le=36_500)] | None = None
    lake_days: Annotated[int, msgspec.Meta(ge=2, le=36_500)] | None = None

    def __post_init__(self) -> None:
        if self.lake_days is not None and (self.hot_days is None or self.lake_days < self.hot_days):
            raise ValueError("retention.lake_days needs hot_days, and as many of them at the most")


# Well-known ones from frontier to small, so that a first look has something to stand beside; `compare` replaces them.
COMPARED = (
    "anthropic/claude-opus-5-5",
    "anthropic/claude-sonnet-5-5",
    "openai/gpt-5.5",
    "openai/gpt-4o",
    "openai/gpt-5-mini",
    "openai/gpt-5-nano",
    "google/gemini-3.1-pro-preview",
    "google/gemini-3.8-flash",
    "moonshotai/kimi-k3",
    "deepseek/deepseek-v4-pro",
    "deepseek/deepseek-v4-flash",
    "groq/qwen/qwen3-32b",
)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration.

    `upstreams` are where requests can go, `policy` says which of them a request goes to. `listen` is the host and port
    of gateway and console; where that is this machine alone, it answers to localhost and to the names in `hosts`, as a
    proxy before it may use. `data_dir` holds the ledger, and the spool in which calls are safe until it has them;
    `store` puts the ledger's calls into a database that several gateways may share, as in
    `postgresql://baseload@db.example:5432/baseload` (extra `postgres`). `lake` is where `serve` seals hours that are
    over: a folder, or an object store as in `s3://bucket/ledger` (extra `lake`); left out, hours are sealed by hand
    alone. `retention` says how long calls are kept. `prices` are your own and stand before every
    book; `compare` names the offers that metered traffic is priced on beside those of the policy's routes. `books` are
    files of prices, `exchange` holds the rates at which prices in other currencies are turned into USD; `leases` and
    `hardware` are machines that you rent or own. `limits` bound what a client may send. `replay_time` is for the replay
    of a trace: leave it out and time is the machine's own.

    `workers` are the processes that share the port; `stop` says how they end, `log` what is written to stderr, and
    `otel` where spans of calls are sent, nowhere when left out.

    `budgets` are caps on what is spent, beside those that `baseload budget` and the admin API keep in `data_dir`;
    `alerts` says who hears of them, and when.

    `keys` are clients' keys by their hashes, beside those that `baseload key` and the admin API keep in `data_dir`.
    Without any key whoever reaches the gateway is served, which it allows on this machine alone; `open` allows it
    everywhere. `admin_key`, or the first line of `admin_key_file`, opens the admin API; left out, BASELOAD_ADMIN_KEY
    and BASELOAD_ADMIN_KEY_FILE of the environment are taken, and without those only a key of scope `admin` opens it.
    """

    upstreams: tuple[Upstream, ...]
    policy: Policy
    listen: str = "127.0.0.1:8790"
    hosts: tuple[str, ...] = ()
    data_dir: str = ""
    store: str = ""
    lake: str = ""
    retention: Retention = Retention()
    prices: tuple[OwnPrice, ...] = ()
    books: tuple[BookFile, ...] = ()
    exchange: tuple[Exchange, ...] = ()
    leases: tuple[OwnLease, ...] = ()
    hardware: tuple[Hardware, ...] = ()
    limits: Limits = Limits()
    replay_time: ReplayTime | None = None
    compare: tuple[str, ...] = COMPARED
    budgets: tuple[Budget, ...] = ()
    alerts: Alerts = Alerts()
    keys: tuple[ClientKey, ...] = ()
    open: bool = False
    workers: Workers = 1
    stop: Stop = Stop()
    log: Log = Log()
    otel: Otel | None = None
    admin_key: str = ""
    admin_key_file: str = ""

    def __post_init__(self) -> None:
        check_keys(self.keys)
        check_budgets(self.budgets)
        for budget in self.budgets:
            check_zone(budget)
        if self.store and not self.store.startswith(("postgresql://", "postgres://")):
            raise ValueError("store is no address such as postgresql://user@host:5432/database")
        if self.retention.hot_days is not None and not self.lake:
            raise ValueError("retention needs a lake: nothing leaves the hot store that is not sealed")
        if self.admin_key and len(self.admin_key) < LEAST_ADMIN_KEY:
            raise ValueError(f"admin_key is shorter than {LEAST_ADMIN_KEY} characters")

    def __repr__(self) -> str:
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        fields["admin_key"] = "***" if self.admin_key else ""
        fields["store"] = self.store_shown
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in fields.items())})"

    @property
    def directory(self) -> Path:
        return Path(self.data_dir).expanduser() if self.data_dir else home()

    @property
    def store_shown(self) -> str:
        """The address of the store without its password."""
        return shown_address(self.store)

    @property
    def clock(self) -> Clock:
        """The machine's own time, or the time of the trace that is being replayed."""
        return self.clock_since(None)

    def clock_since(self, began_ns: int | None) -> Clock:
        """The same, where the replay began at that moment of the machine's monotonic clock."""
        replayed = self.replay_time
        if replayed is None:
            return SystemClock()
        return ScaledClock(replayed.start, replayed.until, replayed.speed, began_ns)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        return parse_address(self.listen)


def check_zone(budget: Budget) -> None:
    """Raise BadConfig where a budget's days begin nobody knows when."""
    try:
        ZoneInfo(budget.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        remedy = "Use a name such as UTC or Europe/Berlin."
        raise BadConfig(f"budget {budget.name}: there is no time zone {budget.zone!r}", remedy=remedy) from error


def parse_address(listen: str) -> tuple[str, int]:
    """Host and port of `host:port`, an IPv6 host in brackets. Raises BadConfig."""
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > 65_535:
        raise BadConfig(f"{listen!r} is no address to listen on", remedy="Write host:port, as in 127.0.0.1:8790.")
    return host.strip("[]"), int(port)


NO_CONFIGURATION = "Write one with `baseload init`, or name one that is there."
"""What to do where a configuration is missing."""


def read_settings(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read and check a configuration file. Raises BadConfig naming the file, the field and the remedy."""
    return parse_settings(read_document(path, missing=NO_CONFIGURATION), environment, origin=str(path))


def read_document(path: Path, *, missing: str = "Name a file that is there.") -> object:
    """What a YAML file holds, unchecked; `missing` is the remedy where there is none. Raises BadConfig naming the file
    and the remedy."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BadConfig(f"there is no {path}", remedy=missing) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"cannot read {path}: {error}", remedy="Name a file that can be read.") from error
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:  # a tag on what it does not fit
        raise BadConfig(f"{path} is not YAML: {_without_text(error)}", remedy="Mend the line it names.") from error
    except RecursionError as error:
        raise BadConfig(
            f"{path} is nested without end", remedy="Write it flatter, without brackets in excess."
        ) from error


def _without_text(error: Exception) -> str:
    """What is wrong with a document, and where, without a word of its text: that may be a key, and `/healthz` says to
    everybody why a configuration was not taken."""
    if not isinstance(error, MarkedYAMLError):
        return _QUOTED.sub("...", str(error).partition("\n")[0])
    doubled = _DOUBLED.search(error.problem or "")
    why = doubled[0] if doubled is not None else _QUOTED.sub("...", error.problem or "it cannot be read")
    found, began = error.problem_mark, error.context_mark
    where = f", line {found.line + 1}, column {found.column + 1}" if found is not None else ""
    since = f", in what begins on line {began.line + 1}" if began is not None else ""
    return f"{why}{where}{since}"


def parse_settings(document: object, environment: Mapping[str, str], *, origin: str) -> Settings:
    """Check a parsed document. `origin` is named in errors."""
    settings = _with_admin_key(_converted(document, environment, Settings, origin), environment, origin)
    _check_names(settings, origin)
    _check_place(settings, origin)
    try:
        parse_address(settings.listen)
    except BadConfig as error:
        raise BadConfig(f"{origin}: {error.message}", remedy=error.remedy) from error
    return settings


def parse_policy(document: object, environment: Mapping[str, str], *, origin: str) -> Policy:
    """Check a document that is a policy and nothing else. `origin` is named in errors."""
    return _converted(document, environment, Policy, origin)


def _converted(document: object, environment: Mapping[str, str], kind: type[_Document], origin: str) -> _Document:
    try:
        return msgspec.convert(resolved(_substitute(document, environment), environment), kind, strict=False)
    except msgspec.ValidationError as error:
        said = shown_address(str(error))
        raise BadConfig(f"{origin}: {said}", remedy="Mend that field; `$` is the top of the file.") from error
    except RecursionError as error:
        raise BadConfig(
            f"{origin} contains itself", remedy="Take out the alias (`*name`) that closes the circle."
        ) from error
    except BadConfig as error:
        raise BadConfig(f"{origin}: {error.message}", remedy=error.remedy) from error


def _with_admin_key(settings: Settings, environment: Mapping[str, str], origin: str) -> Settings:
    """The admin key in its place, wherever it was said."""
    key, file = settings.admin_key, settings.admin_key_file
    if not key and not file:
        key, file = environment.get("BASELOAD_ADMIN_KEY", ""), environment.get("BASELOAD_ADMIN_KEY_FILE", "")
    try:
        said = key or (Path(file).expanduser().read_text(encoding="utf-8").partition("\n")[0] if file else "")
        return msgspec.structs.replace(settings, admin_key=said.strip())
    except (OSError, RuntimeError, ValueError) as error:
        remedy = f"Put a key of {LEAST_ADMIN_KEY} characters or more there: openssl rand -hex 32."
        raise BadConfig(f"{origin}: the admin key cannot be read: {error}", remedy=remedy) from error


class Place(msgspec.Struct, frozen=True):
    """The part of a configuration that says where its ledger, keys and budgets are."""

    data_dir: str = ""
    store: str = ""
    lake: str = ""
    keys: tuple[ClientKey, ...] = ()
    budgets: tuple[Budget, ...] = ()

    @property
    def directory(self) -> Path:
        return Path(self.data_dir).expanduser() if self.data_dir else home()


def read_place(path: Path, environment: Mapping[str, str] = os.environ) -> Place:
    """Where a configuration keeps its data; the rest of it is not looked at. Raises BadConfig."""
    document = read_document(path, missing=NO_CONFIGURATION)
    found = document if isinstance(document, dict) else {}
    wanted = {name: found[name] for name in Place.__struct_fields__ if name in found}
    place = _converted(wanted, environment, Place, str(path))
    _check_place(place, str(path))
    return place


def shown_address(address: str) -> str:
    """The address of a database without its password."""
    return _IN_ADDRESS.sub(r"\1***\2", address)


def masked(settings: Settings) -> object:
    """Everything that is set, as plain values, with every secret as `***`."""
    return _masked(msgspec.to_builtins(settings, order="deterministic"), secret=False)


def _masked(value: object, *, secret: bool) -> object:
    if isinstance(value, dict):
        return {
            name: _masked(each, secret=secret or name == "headers" or bool(_SECRET.fullmatch(str(name))))
            for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_masked(each, secret=secret) for each in value]
    if isinstance(value, str) and value:
        return "***" if secret else shown_address(value)
    return value


def _check_names(settings: Settings, origin: str) -> None:
    """Every upstream has a name of its own, and every route goes to one of them."""
    names = [upstream.name for upstream in settings.upstreams]
    known = set(names)
    for name in known:
        if names.count(name) > 1:
            raise BadConfig(f"{origin}: upstream {name!r} is defined {names.count(name)} times", remedy="Rename one.")
    for route in settings.policy.routes:
        if route.upstream not in known:
            raise BadConfig(
                f"{origin}: route {route.name} goes to upstream {route.upstream!r}, which is not defined",
                remedy=f"Use one of {', '.join(sorted(known)) or 'the upstreams you define'}.",
            )
    upstreams = {upstream.name: upstream for upstream in settings.upstreams}
    for route in settings.policy.routes:
        upstream = upstreams[route.upstream]
        missing = unserved(route.operations, upstream.dialect, upstream.serves)
        if missing:
            raise BadConfig(
                f"{origin}: route {route.name} serves {', '.join(missing)}, but upstream {upstream.name} does not, "
                f"nor anything that it can be translated to: it serves {', '.join(sorted(upstream.serves))}",
                remedy="Set `operations` of the route to what the upstream serves, or those of the upstream.",
            )


def _check_place(settings: Settings | Place, origin: str) -> None:
    """The data directory can be a path."""
    remedy = "Name a folder, as in data_dir: /var/lib/baseload."
    try:
        directory = settings.directory
    except RuntimeError as error:
        raise BadConfig(f"{origin}: data_dir {settings.data_dir!r}: there is no such user", remedy=remedy) from error
    if "\0" in str(directory):
        raise BadConfig(f"{origin}: data_dir {settings.data_dir!r} holds a null byte", remedy=remedy)


def _substitute(value: object, environment: Mapping[str, str]) -> object:
    """Fill `${NAME}` in every string of the document. Raises BadConfig for one that aliases blow up."""
    values = 0

    def filled(value: object) -> object:
        nonlocal values
        values += 1
        if values > MOST_VALUES:
            raise BadConfig(
                f"there are more than {MOST_VALUES:,} values in it", remedy="Take out aliases (`*name`) of aliases."
            )
        if isinstance(value, Mapping):
            return {key: filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [filled(item) for item in value]
        return _VARIABLE.sub(fill, value) if isinstance(value, str) else value

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name not in environment:
            raise BadConfig(f"${{{name}}} is not set", remedy=f"Export {name} or write the value.")
        return environment[name].rstrip("\r\n")  # a secret that was read from a file often ends its line

    return filled(value)
