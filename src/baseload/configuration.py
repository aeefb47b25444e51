"""A configuration file, read once at the edge and checked. Acts (reads one file and the environment).

An error names the file, the field and what to do next.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from baseload.errors import BadConfig
from baseload.home import home
from baseload.policy.budget import Budget
from baseload.policy.keys import ClientKey
from baseload.policy.policy import Policy
from baseload.settings import LEAST_ADMIN_KEY, Settings, parse_address, shown_address
from baseload.upstreams import resolved
from baseload.wire.carried import unserved

# A configuration has a few hundred values; one whose aliases multiply into more than this is a bomb.
MOST_VALUES = 100_000

# What an error quotes of a document. A field may be named, and a single character, and what a parser calls by <name>.
_QUOTED = re.compile(r"""(['"])(?!<)(?:(?!\1).){2,}\1""")
_DOUBLED = re.compile(r'found duplicate key "[A-Za-z0-9_-]{1,64}"')
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

_Document = TypeVar("_Document", bound=msgspec.Struct)

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
