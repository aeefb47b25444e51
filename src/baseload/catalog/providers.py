"""Well-known providers: where each is, what it speaks, where its key is found. Pure; the data is `data/providers.yaml`.

A configuration names one as `preset: groq` and overrides whatever it likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal

import msgspec

from baseload.errors import BadConfig

Auth = Literal["bearer", "x-api-key", "api-key", "none"]
"""How a key is sent: `Authorization: Bearer KEY`, or bare in the header of that name."""

_KEYS = ("api_key", "api_key_file", "api_keys")
_PLACES = ("base_url", "replicas")


class Provider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One provider, from the page `source` as it stood on `as_of`.

    `base_url` is empty where every customer has another one; `example` then shows its shape. `key_env` names the
    environment variable that holds a key, which is sent when it is set where `key` is `optional`.
    """

    title: str
    source: str
    as_of: date
    operations: tuple[str, ...]
    base_url: str = ""
    example: str = ""
    dialect: str = "openai"
    auth: Auth = "bearer"
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    key_env: str = ""
    key: Literal["needed", "optional"] = "needed"
    kind: Literal["api", "own"] = "api"


def filled(
    upstream: Mapping[str, object], providers: Mapping[str, Provider], environment: Mapping[str, str]
) -> dict[str, object]:
    """An upstream's document with what its preset says wherever it says nothing itself. Raises BadConfig."""
    preset, name = upstream.get("preset"), upstream.get("name")
    provider = providers.get(str(preset))
    if provider is None:
        raise BadConfig(
            f"upstream {name}: there is no preset {preset!r}",
            remedy=f"Use one of {', '.join(sorted(providers))}, or write base_url without a preset.",
        )
    document: dict[str, object] = {"kind": provider.kind, "dialect": provider.dialect, "auth": provider.auth}
    document["operations"] = list(provider.operations)
    if not any(upstream.get(field) for field in _PLACES):
        if not provider.base_url:
            raise BadConfig(
                f"upstream {name}: {provider.title} has a base URL of its own for every customer",
                remedy=f"Add base_url, as in {provider.example}.",
            )
        document["base_url"] = provider.base_url
    document |= _key(upstream, provider, environment)
    document |= upstream
    document["headers"] = provider.headers | _mapping(upstream.get("headers"))
    return document


def _key(upstream: Mapping[str, object], provider: Provider, environment: Mapping[str, str]) -> dict[str, object]:
    """The key of the provider's own environment variable, when the upstream names none."""
    if any(field in upstream for field in _KEYS) or upstream.get("auth", provider.auth) == "none":
        return {}
    key = environment.get(provider.key_env, "").strip()
    if not key and provider.key == "needed":
        raise BadConfig(
            f"upstream {upstream.get('name')}: {provider.title} needs a key and {provider.key_env} is not set",
            remedy=f"Export {provider.key_env}, or set api_key or api_key_file.",
        )
    return {"api_key": key} if key else {}


def _mapping(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, Mapping) else {}
