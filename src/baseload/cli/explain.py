"""`baseload explain`: a total walked down to its lines, their formulas, inputs and sources. Acts (prints)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli.output import hint, money, note, print_json

if TYPE_CHECKING:
    from rich.tree import Tree

    from baseload.plan.document import DecideDocument
    from baseload.plan.document import Money as Figures
    from baseload.plan.explain import Node

# Options that it does not know are those of `baseload decide`, and stay in order with what follows them.
PASSES_ON = {"ignore_unknown_options": True}


def command(
    asked: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET] [FLAGS OF DECIDE]",
            help="First `total`, an option, or option/line as in `rented GPU/idle`; then what `baseload decide` takes.",
        ),
    ] = None,
    saved: Annotated[
        str | None, typer.Option("--from", help="A saved decision, or what `decide --json` printed; - reads stdin.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document, schema baseload.explain/1.")] = False,
) -> None:
    """Where a figure comes from: from a total to its lines, their formulas, inputs and sources.

    Explains a saved decision with --from, the one that the same flags give `baseload decide`, or without any the last
    one that `baseload decide --save` froze.
    """
    from baseload.plan.explain import explain

    words = list(asked or ())
    target = words.pop(0) if words and not words[0].startswith("-") else "total"
    found = explain(_asked(saved, words), target)
    if json:
        print_json(found)
        return
    _show(found.tree)
    if found.tree.sort in ("total", "option"):
        hint(f'baseload explain "{_example(found.tree)}" shows one line; --json holds every digit')


def _asked(saved: str | None, flags: list[str]) -> DecideDocument:
    """The decision that is meant: the saved one, that of the flags, the last one."""
    from baseload.errors import BadInput
    from baseload.home import last_decision

    if saved is not None:
        return _saved(saved, flags)
    if flags:
        return _decided(flags)
    last = last_decision()
    if not last.is_file():
        raise BadInput(
            f"nothing to explain: no flags were given and no decision was saved ({last} is not there)",
            remedy="Save one with `baseload decide ... --save decision.json`, or give its flags: "
            "`baseload explain --demo`.",
        )
    note(f"the last decision that was saved, {last}")
    return _saved(str(last), [])


def _decided(flags: list[str]) -> DecideDocument:
    """The decision that `baseload decide` makes of the flags."""
    from typer.main import get_command

    from baseload.cli import decide

    verb = typer.Typer()
    verb.command()(decide.command)
    asked = get_command(verb).make_context("baseload decide", list(flags))
    return decide.answered(asked.params)


def _saved(name: str, flags: list[str]) -> DecideDocument:
    """A decision that was saved, whole or in its frozen envelope."""
    import sys
    from pathlib import Path

    import msgspec

    from baseload.cli.decide_case import DEFAULT_NAME
    from baseload.errors import BadInput
    from baseload.plan.document import DecideDocument

    if flags:
        raise BadInput(f"--from brings its own figures, and {flags[0]} was given too", remedy="Give one of them.")
    try:
        path = Path(name).expanduser()
        path = path / DEFAULT_NAME if path.is_dir() else path
        text = sys.stdin.buffer.read() if name == "-" else path.read_bytes()
        found = msgspec.json.decode(text)
        document = found.get("document", found) if isinstance(found, dict) else found
        return msgspec.convert(msgspec.json.decode(msgspec.json.encode(document)), DecideDocument, strict=False)
    except OSError as error:
        raise BadInput(f"cannot read {name}: {error.strerror}", remedy="Name a file that can be read.") from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadInput(
            f"{name} is no decision: {error}", remedy="Write one with `baseload decide ... --json > decision.json`."
        ) from error


def _show(tree: Node) -> None:
    import sys

    from rich.console import Console

    from baseload.cli.output import PIPED_WIDTH

    width = None if sys.stdout.isatty() else PIPED_WIDTH
    Console(file=sys.stdout, highlight=False, markup=False, width=width).print(_branch(tree))


def _branch(node: Node) -> Tree:
    from rich.tree import Tree

    branch = Tree(_words(node))
    for part in node.parts:
        branch.children.append(_branch(part))
    return branch


def _words(node: Node) -> str:
    """One node as it is read: what, how much, how it came about, where it was read."""
    if node.sort == "figure":
        where = f"{node.origin}, {node.source}, {node.as_of}" if node.source is not None else node.origin
        return f"{node.name} = {_span(node.value)} {node.unit} ({where})"
    head = f"{node.name}: {_cost(node.usd_per_month)}"
    if node.sort != "line":
        return f"{head} - {node.note}" if node.note else head
    lines = [f"{head} ({node.note})" if node.note else head]
    if node.formula:
        lines.append(f"  formula: {node.formula}")
    lines.append(f"  = {node.how}")
    if node.source is not None and not node.parts:
        lines.append(f"  source: {node.source}, {node.as_of}")
    return "\n".join(lines)


def _cost(cost: Figures | None) -> str:
    if cost is None:
        return "unknown"
    ends = "" if cost.low == cost.high else f" ({money(cost.low)} to {money(cost.high)})"
    return f"{money(cost.likely)} USD a month{ends}"


def _span(figure: Figures | None) -> str:
    if figure is None:
        return "unknown"
    return (
        f"{figure.likely:,f}"
        if figure.low == figure.high
        else f"{figure.likely:,f} ({figure.low:,f} to {figure.high:,f})"
    )


def _example(tree: Node) -> str:
    option = tree.parts[0] if tree.sort == "total" else tree
    return f"{option.name}/{option.parts[0].name}" if option.parts else option.name
