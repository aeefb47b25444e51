"""A client's key: whom it stands for and what it may ask for. A pure value that holds no secret, only a hash.

A key that names no model, no region and no scope may ask for anything but administration. What it names is a limit:
another model, another region or another endpoint is refused, and a region holds for every fallback too.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec

from baseload.errors import BadConfig
from baseload.load.facts import Facts, Operation

MOST_TAGS = 16

# What is written into the ledger for every call of a key: short, and on one line.
Label = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Prefix = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}$")]
Hash = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}$")]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Scope(StrEnum):
    """What a key may be used for. CHAT is one thing in three dialects, and counting its tokens."""

    CHAT = "chat"
    RESPONSES = "responses"
    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    ADMIN = "admin"


# An end this near, before or behind, is told with its hour.
_TOLD_BY_MINUTE = timedelta(days=2)
_CHATS = frozenset((Operation.CHAT, Operation.RESPONSES, Operation.MESSAGES, Operation.COUNT_TOKENS))


class Grants(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Whom a key stands for and what it may do: what is said when one is asked for."""

    name: Label = ""
    team: Label = ""
    project: Label = ""
    customer: Label = ""
    tags: dict[Label, Label] = msgspec.field(default_factory=dict)
    models: tuple[str, ...] = ()
    residency: frozenset[str] = frozenset()
    scopes: frozenset[Scope] = frozenset()
    expires: Moment | None = None


class ClientKey(Grants, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A client's key, without its secret: `baseload key create` makes one and shows the secret once.

    `prefix` is the part of the key that may be seen, `hash` the SHA-256 of all of it. `name`, `team`, `project` and
    `customer` become tags of every call, and so do `tags`; a client cannot change them. `models` are patterns of the
    names that may be asked for (`gpt-5*`), `residency` the regions that data may go to, on fallbacks too, `scopes` the
    endpoints (`chat`, `embeddings` ...) and `admin`. Left out, each allows everything but administration. `created` and
    `expires` are moments, `disabled` keys are refused. After a rotation `former_hash` is good until `former_until`.
    """

    prefix: Prefix
    hash: Hash
    created: Moment | None = None
    disabled: bool = False
    former_hash: Hash | None = None
    former_until: Moment | None = None

    def __post_init__(self) -> None:
        if len(self.tags) > MOST_TAGS:
            raise ValueError(f"key {self.prefix} has {len(self.tags)} tags, more than {MOST_TAGS}")

    @property
    def title(self) -> str:
        """What people call it."""
        return self.name or self.prefix

    @property
    def all_tags(self) -> dict[str, str]:
        """The tags of every call that is made with it."""
        own = {"key": self.title, "team": self.team, "project": self.project, "customer": self.customer}
        return self.tags | {name: value for name, value in own.items() if value}

    def allows(self, operation: Operation) -> bool:
        """Whether it may be used for an endpoint."""
        asked = {Scope(operation.value)} | ({Scope.CHAT} if operation in _CHATS else set())
        return not self.scopes or bool(asked & self.scopes)

    def may_name(self, model: str) -> bool:
        """Whether a client may ask for a model, or an alias, of that name."""
        return not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)


def state(key: ClientKey, now: datetime) -> str:
    """Whether a key is good at an aware moment, in a few words."""
    if key.disabled:
        return "revoked"
    if key.expires is None:
        return "in force"
    end = key.expires.astimezone(UTC)
    told = f"{end:%Y-%m-%d %H:%M} UTC" if abs(end - now) < _TOLD_BY_MINUTE else f"{end:%Y-%m-%d}"
    return f"{'expired' if end <= now else 'until'} {told}"


def public(key: ClientKey, now: datetime) -> dict[str, object]:
    """What of a key may be shown: all but the hashes."""
    fields = {name: getattr(key, name) for name in key.__struct_fields__ if name not in ("hash", "former_hash")}
    shown: dict[str, object] = msgspec.to_builtins(fields, order="deterministic")
    return shown | {"state": state(key, now)}


class Forbidden(msgspec.Struct, frozen=True):
    """Why a key may not do what was asked: a message that says what it may, and a code to test for."""

    message: str
    code: str
    param: str | None = None


def forbidden(key: ClientKey, facts: Facts) -> Forbidden | None:
    """What keeps a key from a request; None when it may be served."""
    obstacle = misused(key, facts.operation)
    if obstacle is not None:
        return obstacle
    if not key.may_name(facts.model):
        message = f"The key `{key.title}` may not ask for `{facts.model}`. It may for: {', '.join(key.models)}."
        return Forbidden(message, "key_model", "model")
    if facts.residency and key.residency and facts.residency not in key.residency:
        message = f"The key `{key.title}` may not send data to {facts.residency}. It may to: {_listed(key.residency)}."
        return Forbidden(message, "key_residency", "x-baseload-residency")
    return None


def forbidden_beside(key: ClientKey, names: Iterable[str]) -> Forbidden | None:
    """What keeps a key from models that a request names beside its own, for its upstream to turn to."""
    for name in names:
        if not key.may_name(name):
            message = (
                f"The key `{key.title}` may not ask for `{name[:256]}`, which the request names beside its model. "
            )
            return Forbidden(f"{message}It may for: {', '.join(key.models)}.", "key_model", "models")
    return None


def misused(key: ClientKey, operation: Operation) -> Forbidden | None:
    """What keeps a key from an endpoint, whatever is asked there; None when it may be used for it."""
    if key.allows(operation):
        return None
    message = f"The key `{key.title}` may not be used for {operation}. It may for: {_listed(key.scopes)}."
    return Forbidden(message, "key_scope")


def claimed(facts: Facts, key: ClientKey) -> Facts:
    """The request as that of a key: its tags over the client's own, and its regions as a limit on every route."""
    return msgspec.structs.replace(facts, tags=facts.tags | key.all_tags, residencies=key.residency)


def check_keys(keys: Iterable[ClientKey]) -> None:
    """Every key has a prefix of its own, and a name of its own where it has one. Raises BadConfig."""
    seen: set[str] = set()
    for key in keys:
        for word in dict.fromkeys((key.title, key.prefix)):
            if word in seen:
                raise BadConfig(
                    f"two keys are called {word!r}",
                    remedy="Take another name: a name stays with its key, revoked ones too.",
                )
            seen.add(word)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))
