"""Write the reference from the code: every verb, option, setting and metric, and the schema of a configuration.

`make docs` runs it, a test holds it fresh.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import inspect as shapes
from typer.core import TyperArgument, TyperCommand, TyperOption
from typer.main import get_command

from baseload import errors, settings
from baseload.cli.config_schema import FILE, schema
from baseload.cli.main import INTERRUPTED, app
from baseload.gateway.metrics import FAMILIES, MOST_SERIES, OVER
from baseload.settings import Settings
from baseload.upstreams import load_providers

HERE = Path(__file__).parent
# What is typed for an option of each type, and what a setting of each type holds.
WORDS = {str: "text", int: "whole number", float: "number", Path: "path", bool: ""}
LEAVES = {
    shapes.StrType: "text",
    shapes.IntType: "whole number",
    shapes.FloatType: "number",
    shapes.DecimalType: "exact number",
    shapes.BoolType: "`true` or `false`",
    shapes.DateTimeType: "moment with its zone",
    shapes.DateType: "day",
}
NOTE = "<!-- Written by `make docs` from the code. Change the code, then run it again. -->"


def pages() -> dict[Path, str]:
    """Every page of the reference and what should stand in it."""
    return {
        HERE / "cli.md": _lines(cli()),
        HERE / "settings.md": _lines(configuration()),
        HERE / "metrics.md": _lines(metrics()),
        HERE / "providers.md": _lines(providers()),
        Path(settings.__file__).with_name(FILE): json.dumps(schema(), indent=2, ensure_ascii=False) + "\n",
    }


def _lines(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


def cli() -> Iterator[str]:
    """The verbs in the order of `baseload --help`, each with its arguments and options."""
    yield from (NOTE, "", "# Command line", "")
    yield "Data goes to stdout, progress and errors to stderr. An error says what was asked, what was found and what to"
    yield "do next."
    for name, verb in verbs().items():
        arguments = [each for each in verb.params if each.param_type_name == "argument"]
        usage = " ".join(["baseload", name, *(_placeholder(each) for each in arguments), "[OPTIONS]"])
        yield from ("", f"## baseload {name}", "", verb.help or "", "", "```text", usage, "```", "")
        yield from ("| | value | default | |", "|---|---|---|---|")
        for each in verb.params:
            label = _placeholder(each) if each in arguments else ", ".join([*each.opts, *each.secondary_opts])
            yield f"| `{label}` | {_value(each)} | {_default(each)} | {_cell(each.help or '')} |"
    yield from ("", "## Exit codes", "", "| code | error | |", "|---|---|---|", "| 0 | | it worked |")
    for error in sorted(_tree(errors.BaseloadError), key=lambda error: error.exit_code):
        yield f"| {error.exit_code} | `{error.__name__}` | {_cell((error.__doc__ or '').splitlines()[0])} |"
    yield f"| {INTERRUPTED} | | interrupted with Ctrl-C |"


def verbs() -> dict[str, TyperCommand]:
    """The commands by name, as typer built them; a group gives `group verb`, and the verb it falls to its own name."""
    found = {}
    for name, command in vars(get_command(app))["commands"].items():
        inner = vars(command).get("commands")
        if inner is None:
            found[name] = command
            continue
        falls_to = getattr(command, "falls_to", None)
        found |= {name: inner[falls_to]} if falls_to else {}
        found |= {f"{name} {verb}": each for verb, each in inner.items() if verb != falls_to}
    return {name: command for name, command in found.items() if not command.hidden}


def _tree(root: type[errors.BaseloadError]) -> Iterator[type[errors.BaseloadError]]:
    if root.__module__ == errors.__name__:
        yield root
        for child in root.__subclasses__():
            yield from _tree(child)


def _placeholder(argument: TyperArgument) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required else f"[{name}]"


def _value(option: TyperArgument | TyperOption) -> str:
    """What is to be typed after the option; nothing after a flag."""
    annotation = option.type_descriptor.annotation
    repeated = typing.get_origin(annotation) is list
    word = WORDS[typing.get_args(annotation)[0] if repeated else annotation]
    return f"{word}, repeatable" if repeated else word


def _default(option: TyperArgument | TyperOption) -> str:
    if option.required:
        return "required"
    return "" if option.default in (None, False, "") or not option.show_default else f"`{option.default}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def configuration() -> Iterator[str]:
    """Every struct that `Settings` reaches, with the docstring that explains its fields."""
    yield from (NOTE, "", "# Settings", "")
    yield "A configuration is one YAML file, read once when a verb starts: `--config FILE`. A field that is unknown,"
    yield "out of range or of the wrong type is refused by name. `${NAME}` in a string is taken from the environment."
    example = re.findall(r"^    (.*)$", settings.__doc__ or "", re.MULTILINE)
    yield from ("", "```yaml", *example, "```")
    for struct in structs():
        title = "The file" if struct is Settings else struct.__name__
        yield from ("", f"## {title}", "", inspect.getdoc(struct) or "", "")
        yield from ("| field | value | default |", "|---|---|---|")
        info = shapes.type_info(struct)
        for field in info.fields:
            yield f"| `{field.name}` | {_cell(_shape(field.type))} | {_field_default(field)} |"


def providers() -> Iterator[str]:
    """Every preset of an upstream."""
    yield from (NOTE, "", "# Providers", "")
    yield "What `preset` fills in for an upstream. Each line says where that was read, and when; it is data"
    yield "(`src/baseload/catalog/data/providers.yaml`), and anything can be said otherwise in the configuration."
    yield from ("", "| preset | provider | base URL | serves | key | source |", "|---|---|---|---|---|---|")
    for name, each in load_providers().items():
        where = f"`{each.base_url}`" if each.base_url else f"yours, as `{each.example}`"
        serves = ", ".join(f"`{operation}`" for operation in each.operations)
        key = f"`{each.key_env}`" + ("" if each.key == "needed" else ", if set")
        yield f"| `{name}` | {_cell(each.title)} | {where} | {serves} | {key} | {_cell(each.source)}, {each.as_of} |"


def metrics() -> Iterator[str]:
    """Everything that /metrics exposes."""
    yield from (NOTE, "", "# Metrics", "")
    yield "`GET /metrics` on the gateway's port gives these for all its workers, as Prometheus text or, to whoever asks"
    yield "for it, as OpenMetrics. Calls are counted where they are drained, a tenth of a second after they end. Labels"
    yield "hold names of the configuration alone: never a key, a user, a tag or an id. Of one metric no more than"
    yield f"{MOST_SERIES:,} sets of labels are kept; what comes after them is counted under `{OVER}`."
    yield from ("", "| metric | kind | labels | |", "|---|---|---|---|")
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        yield f"| `{family.printed}` | {family.kind} | {labels} | {_cell(family.help)} |"


def structs() -> list[type[msgspec.Struct]]:
    """`Settings` and every struct below it, outermost first."""
    found: list[type[msgspec.Struct]] = []

    def walk(shape: object) -> None:
        if isinstance(shape, shapes.StructType):
            if shape.cls in found:
                return
            found.append(shape.cls)
            for field in shape.fields:
                walk(field.type)
        for part in ("types", "item_type", "key_type", "value_type"):
            inner = getattr(shape, part, ())
            for each in inner if isinstance(inner, tuple) else (inner,):
                walk(each)

    walk(shapes.type_info(Settings))
    return found


def _shape(shape: shapes.Type) -> str:
    """A type in words."""
    if isinstance(shape, shapes.StructType):
        return f"[{shape.cls.__name__}](#{shape.cls.__name__.lower()})"
    if isinstance(shape, shapes.UnionType):
        return " or ".join(_shape(each) for each in shape.types if not isinstance(each, shapes.NoneType))
    if isinstance(shape, shapes.VarTupleType | shapes.FrozenSetType):
        return f"list of {_shape(shape.item_type)}"
    if isinstance(shape, shapes.DictType):
        return f"map of {_shape(shape.key_type)} to {_shape(shape.value_type)}"
    if isinstance(shape, shapes.EnumType | shapes.LiteralType):
        values = shape.cls if isinstance(shape, shapes.EnumType) else shape.values
        return " or ".join(f"`{value}`" for value in values)
    return LEAVES[type(shape)] + _bounds(shape)


def _bounds(shape: shapes.Type) -> str:
    words = {"gt": "above", "ge": "from", "lt": "below", "le": "to"}
    limits = {word: getattr(shape, name, None) for name, word in words.items()}
    return "".join(f" {word} {limit:g}" for word, limit in limits.items() if limit is not None)


def _field_default(field: shapes.Field) -> str:
    if field.required:
        return "required"
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if isinstance(default, msgspec.Struct):
        return "its defaults"
    if default is False:
        return "`false`"
    if isinstance(default, dict) and default:
        return ", ".join(f"`{name}: {each}`" for name, each in default.items())
    if isinstance(default, tuple | frozenset):
        return ", ".join(f"`{each}`" for each in (default if isinstance(default, tuple) else sorted(default)))
    return f"`{default}`" if default else ""


def main() -> None:
    """Write what is not as it should be, and name it."""
    for path, text in pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(HERE.parent.parent)}\n")


if __name__ == "__main__":
    main()
