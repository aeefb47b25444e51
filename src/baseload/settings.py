"""What a configuration says: one frozen `Settings`. `configuration.py` reads it. Acts (makes a clock, knows the home).

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

`${NAME}` in a string is taken from the environment.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from baseload.catalog.gpus import Hardware, OwnLease
from baseload.catalog.sheets import Exchange, OwnPrice
from baseload.clock import Clock, ScaledClock, SystemClock
from baseload.errors import BadConfig
from baseload.home import home
from baseload.policy.budget import Budget, check_budgets
from baseload.policy.keys import ClientKey, check_keys
from baseload.policy.policy import Policy
from baseload.upstreams import Count, Seconds, SomeSeconds, Timeouts, Upstream

__all__ = ["BookFile", "Limits", "ReplayTime", "Settings", "Timeouts", "Upstream"]

# A clock that is replayed beyond these years is a slip, and its dates would leave the calendar.
FIRST_YEAR, LAST_YEAR = 1970, 2200
# Shorter ones can be guessed.
LEAST_ADMIN_KEY = 16

# What hides what it holds, and where an address may hold a password.
_SECRET = re.compile(r"(?:.*_)?(?:key|hash|secret|token|password|webhook)")
_IN_ADDRESS = re.compile(r"(://)[^/@\s]+(@)")


# A replay that is faster than this passes a year in half a minute.
Times = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
# More processes than this on one machine are a slip.
Workers = Annotated[int, msgspec.Meta(gt=0, le=64)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


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
