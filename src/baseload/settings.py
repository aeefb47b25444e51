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
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from baseload.clock import Clock, ScaledClock, SystemClock
from baseload.errors import BadConfig
from baseload.policy.policy import Policy

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Timeouts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds to connect, to the first byte of an answer, and between two bytes of it."""

    connect: float = 3.0
    first_byte: float = 60.0
    idle: float = 30.0


class Upstream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where requests go. `own` capacity names the catalog deployment that serves it and what its GPUs cost an hour."""

    name: str
    base_url: str
    kind: Literal["api", "own"] = "api"
    api_key: str = ""
    deployment: str = ""
    usd_per_gpu_hour: Decimal | None = None
    timeouts: Timeouts = Timeouts()

    def __repr__(self) -> str:
        return f"Upstream({self.name!r}, {self.base_url!r}, api_key={'***' if self.api_key else ''!r})"


class OwnPrice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price of your own: USD per million tokens. It stands before every other book."""

    offer: str
    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    note: str = ""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client may send, in bytes and seconds."""

    head_bytes: int = 32 * 1024
    head_fields: int = 100
    body_bytes: int = 32 * 1024 * 1024
    head_seconds: float = 10.0
    body_seconds: float = 20.0


class ReplayTime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Time while a trace is replayed: from `start` at `speed` times real time, at real pace after `until`."""

    start: datetime
    until: datetime
    speed: float


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
    """The whole configuration. `compare` names the offers that metered traffic is priced on for comparison, beside
    those of the policy's own routes."""

    upstreams: tuple[Upstream, ...]
    policy: Policy
    listen: str = "127.0.0.1:8790"
    data_dir: str = "~/.local/share/baseload"
    prices: tuple[OwnPrice, ...] = ()
    limits: Limits = Limits()
    replay_time: ReplayTime | None = None
    compare: tuple[str, ...] = COMPARED

    @property
    def directory(self) -> Path:
        return Path(self.data_dir).expanduser()

    @property
    def clock(self) -> Clock:
        """The machine's own time, or the time of the trace that is being replayed."""
        if self.replay_time is None:
            return SystemClock()
        return ScaledClock(self.replay_time.start, self.replay_time.until, self.replay_time.speed)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65_535:
            raise BadConfig(f"listen is {self.listen!r}", remedy="Write host:port, as in 127.0.0.1:8790.")
        return host.strip("[]"), int(port)


def read_settings(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read and check a configuration file. Raises BadConfig naming the file, the field and the remedy."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"cannot read {path}: {error}", remedy="Name a readable file with --config.") from error
    try:
        document = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise BadConfig(f"{path} is not YAML: {error}", remedy="Mend the line it names.") from error
    return parse_settings(document, environment, origin=str(path))


def parse_settings(document: object, environment: Mapping[str, str], *, origin: str) -> Settings:
    """Check a parsed document. `origin` is named in errors."""
    try:
        settings = msgspec.convert(_substitute(document, environment, origin), Settings, strict=False)
    except msgspec.ValidationError as error:
        raise BadConfig(f"{origin}: {error}", remedy="Mend that field; `$` is the top of the file.") from error
    known = {upstream.name for upstream in settings.upstreams}
    for route in settings.policy.routes:
        if route.upstream not in known:
            raise BadConfig(
                f"{origin}: route {route.name} goes to upstream {route.upstream!r}, which is not defined",
                remedy=f"Use one of {', '.join(sorted(known)) or 'the upstreams you define'}.",
            )
    return settings


def _substitute(value: object, environment: Mapping[str, str], origin: str) -> object:
    """Fill `${NAME}` in every string of the document."""
    if isinstance(value, Mapping):
        return {key: _substitute(item, environment, origin) for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, environment, origin) for item in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name not in environment:
            raise BadConfig(f"{origin}: ${{{name}}} is not set", remedy=f"Export {name} or write the value.")
        return environment[name]

    return _VARIABLE.sub(fill, value)
