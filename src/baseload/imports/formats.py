"""Every format that can be imported, by name."""

from __future__ import annotations

from baseload.errors import BadInput
from baseload.imports import anthropic, focus, langfuse, litellm, mapped, openai, openrouter, otel, traces
from baseload.imports.entry import Format

_FAMILY = (litellm, openai, anthropic, openrouter, langfuse, otel, focus, traces, mapped)
FORMATS: dict[str, Format] = {each.FORMAT.name: each.FORMAT for each in _FAMILY}


def format_of(name: str) -> Format:
    """The format of that name. Raises BadInput with the names there are."""
    found = FORMATS.get(name.strip().lower())
    if found is None:
        raise BadInput(f"no format is called {ascii(name)[:60]}", remedy=f"Use one of {', '.join(FORMATS)}.")
    return found
