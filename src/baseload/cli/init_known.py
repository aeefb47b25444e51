"""What `baseload init` knows of models and LiteLLM's words, and how a configuration is written. Acts (reads data)."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from baseload.cli.config_schema import modeline
from baseload.configuration import parse_settings
from baseload.settings import Settings
from baseload.upstreams import load_providers

SCHEMA_FILE = ".baseload/schema.json"
"""Where the schema lies beside a configuration, so that an editor completes and checks it."""
MODELINE = modeline(SCHEMA_FILE)
WIDTH = 118
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`data/init.yaml`."""

    books: dict[str, str]
    success: dict[str, dict[str, float]]
    starters: dict[str, dict[str, str]]
    sees: tuple[str, ...]
    prefixes: dict[str, str]
    bare: dict[str, str]
    reasons: dict[str, str]


@cache
def known() -> Known:
    """The file, read once."""
    from ruamel.yaml import YAML

    text = resources.files("baseload.cli").joinpath("data/init.yaml").read_text(encoding="utf-8")
    return msgspec.convert(YAML(typ="safe", pure=True).load(text), Known)


def checked(document: Mapping[str, Any], origin: str) -> Settings:
    """The settings that a document is, with a value for every variable it names. Raises BadConfig."""
    text = msgspec.json.encode(document).decode()
    names = {*_VARIABLE.findall(text), *(each.key_env for each in load_providers().values() if each.key_env)}
    return parse_settings(document, dict.fromkeys(names, "not-a-real-key-0123456789"), origin=origin)


def block(document: Mapping[str, Any]) -> str:
    """A document as YAML, short lists on one line."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = WIDTH
    written = io.StringIO()
    yaml.dump(_flowing(document), written)
    return written.getvalue()


def comment(lines: Iterable[str]) -> str:
    """Lines as comments."""
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def _flowing(value: object) -> object:
    """The same for ruamel.yaml: what holds only plain values is written on one line."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, Mapping):
        found = CommentedMap({name: _flowing(each) for name, each in value.items()})
        if value and not any(isinstance(each, Mapping | list | tuple) for each in value.values()):
            found.fa.set_flow_style()
        return found
    if isinstance(value, list | tuple):
        listed = CommentedSeq(_flowing(each) for each in value)
        if not any(isinstance(each, Mapping | list | tuple) for each in value):
            listed.fa.set_flow_style()
        return listed
    return value
