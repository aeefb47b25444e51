"""How the command line prints: data on stdout, notes on stderr, one JSON document with --json. Acts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal

import msgspec

# A pipe has no width of its own; this is wide enough that no column of ours is folded.
PIPED_WIDTH = 140


def print_json(document: object) -> None:
    """Print one JSON document on stdout. Decimals are written as JSON numbers with all their digits."""
    encoded = msgspec.json.Encoder(decimal_format="number").encode(document)
    sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")
    sys.stdout.flush()


def say(text: str = "") -> None:
    """A line of the answer, on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A line about the work, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def hint(text: str) -> None:
    """What to type next."""
    say(f"  next: {text}")


def money(figure: Decimal | int, places: int = 2) -> str:
    """USD with thousands separators.

    >>> money(Decimal("12345.678"))
    '12,345.68'
    """
    return f"{Decimal(figure):,.{places}f}"


def amount(figure: Decimal) -> str:
    """USD of any size: cents from one dollar up, below that enough places for two digits.

    >>> amount(Decimal("12345.678")), amount(Decimal("0.001014")), amount(Decimal(0))
    ('12,345.68', '0.0010', '0.00')
    """
    return money(figure, max(2, 1 - figure.adjusted()) if figure and abs(figure) < 1 else 2)


def how_many(count: int, thing: str) -> str:
    """How many of a thing, in the number that it takes.

    >>> how_many(1, "call"), how_many(1200, "machine")
    ('1 call', '1,200 machines')
    """
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, where that is a terminal, while the block runs; call what it yields with the steps just done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=total)
        yield lambda steps: bar.advance(task, steps)


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], totals: Sequence[str] | None = None
) -> None:
    """Print a table on stdout. A column whose header starts with `>` is right-aligned; `totals` is the last row."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    grid = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        grid.add_column(column.removeprefix(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*row)
    if totals is not None:
        grid.add_section()
        grid.add_row(*totals, style="bold")
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    Console(file=sys.stdout, highlight=False, markup=False, width=width).print(grid)
