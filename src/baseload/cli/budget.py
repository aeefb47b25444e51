"""`baseload budget`: where every cap stands, and to set, remove or reset one. Acts (the ledger, its copy)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli.output import hint, print_json, say, table

if TYPE_CHECKING:
    from baseload.gateway.budget_book import BudgetBook
    from baseload.gateway.budget_status import BudgetStatus

DEFAULT_CONFIG = Path("baseload.yaml")
MOST_ROWS = 20
"""Values of one budget's tag that a table shows."""
Json = Annotated[bool, typer.Option("--json", help="One JSON document, schema baseload.budget/1.")]
Config = Annotated[Path, typer.Option("--config", "-c", help="The configuration that `baseload serve` runs on.")]
Name = Annotated[str, typer.Argument(help="The budget's name.")]

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_budgets(config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Every budget: its cap, what is spent and reserved, until when."""
    now = time.time_ns()
    found = _book(config).statuses(now)
    if json:
        print_json({"schema": "baseload.budget.list/1", "budgets": [each.shown(now) for each in found]})
        return
    if not found:
        say("no budgets: nothing limits what is spent")
        hint("baseload budget set NAME --usd 10 --per day")
        return
    _table(found)


@app.command("show")
def show(name: Name, config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """One budget in its present window; one for each value of a tag, at every value."""
    now = time.time_ns()
    _say(_book(config).statuses(now, name), now, json=json)


@app.command("set")
def set_budget(
    name: Name,
    usd: Annotated[str | None, typer.Option(help="The cap in USD, as in 250 or 0.50.")] = None,
    tokens: Annotated[int | None, typer.Option(help="The cap in tokens, instead.")] = None,
    requests: Annotated[int | None, typer.Option(help="The cap in requests, instead.")] = None,
    per: Annotated[str | None, typer.Option(help="minute, hour, day, month or total.")] = None,
    match: Annotated[
        list[str] | None, typer.Option(help="What it counts, as in team=web or upstream=openai; without any: all.")
    ] = None,
    each: Annotated[
        str | None, typer.Option(help="A tag, as in customer or key: one such cap for each of its values.")
    ] = None,
    values: Annotated[int | None, typer.Option(help="How many values have one; all others share one.")] = None,
    mode: Annotated[str | None, typer.Option(help="block, downgrade or warn.")] = None,
    zone: Annotated[str | None, typer.Option(help="Where its days begin, as in Europe/Berlin.")] = None,
    instead: Annotated[str | None, typer.Option(help="The model or alias that a downgrade asks for.")] = None,
    output_tokens: Annotated[int | None, typer.Option(help="Cap on answers that have none of their own.")] = None,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Make a budget or change one; it holds at every worker within a second or two, and before the configuration's."""
    given = {
        "usd": usd,
        "tokens": tokens,
        "requests": requests,
        "per": per,
        "match": dict(_pair(each) for each in match) if match else None,
        "each": each,
        "values": values,
        "mode": mode,
        "zone": zone,
        "instead": instead,
        "output_tokens": output_tokens,
    }
    book = _book(config)
    book.set(name, {field: value for field, value in given.items() if value is not None})
    now = time.time_ns()
    _say(book.statuses(now, name), now, json=json)


@app.command("remove")
def remove(name: Name, config: Config = DEFAULT_CONFIG) -> None:
    """Forget a budget that was set here; the configuration's own of that name is in force again."""
    back = _book(config).remove(name)
    say(f"{name}: the configuration's budget is in force again" if back else f"{name} is removed")


@app.command("reset")
def reset(
    name: Name,
    value: Annotated[str | None, typer.Option(help="Only this value of its tag.")] = None,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Let a budget begin anew now: what was spent counts no more. The ledger keeps every call."""
    now = time.time_ns()
    _say(_book(config).reset(name, now, value), now, json=json)


def _book(config: Path) -> BudgetBook:
    from baseload.configuration import Place, read_place
    from baseload.errors import BadConfig
    from baseload.gateway.budget_book import BudgetBook

    if config.exists():
        place = read_place(config)
    elif config == DEFAULT_CONFIG:
        place = Place()
    else:
        raise BadConfig(f"there is no {config}", remedy="Name the configuration that `baseload serve` runs on.")
    return BudgetBook(place.directory, place.store, place.budgets)


def _say(statuses: tuple[BudgetStatus, ...], now_ns: int, *, json: bool) -> None:
    first = statuses[0]
    if json:
        document: dict[str, object] = {"schema": "baseload.budget/1", "budget": first.shown(now_ns)}
        if first.budget.each:
            document["values"] = [each.shown(now_ns) for each in statuses]
        print_json(document)
        return
    if len(statuses) > 1:
        _table(statuses)
        return
    for field, value in first.shown(now_ns).items():
        said = value
        if isinstance(value, dict):
            said = ", ".join(f"{name}={found}" for name, found in value.items()) or "everything"
        say(f"{field:16}{'-' if said is None else said}")


def _table(statuses: Sequence[BudgetStatus]) -> None:
    """Of a budget with many values, those that have spent most."""
    seen: Counter[str] = Counter()
    rows = []
    for each in statuses:
        seen[each.budget.name] += 1
        if seen[each.budget.name] <= MOST_ROWS:
            rows.append(_row(each))
    table("", ("name", "counts", "per", ">cap", ">spent", ">reserved", ">left", "mode"), rows)
    for name, count in seen.items():
        if count > MOST_ROWS:
            hint(f"{count - MOST_ROWS:,} more values of {name}: baseload budget show {name} --json")


def _row(status: BudgetStatus) -> tuple[str, ...]:
    from baseload.policy.budget import said

    budget = status.budget
    counts = ", ".join(f"{name}={value}" for name, value in budget.match.items())
    if budget.each:
        counts = ", ".join(filter(None, (counts, f"each {budget.each}")))
    amounts = (status.limit, status.spent, status.reserved, max(0, status.limit - status.spent))
    return (
        status.title,
        counts or "everything",
        budget.per.value,
        *(said(budget, amount) for amount in amounts),
        budget.mode.value,
    )


def _pair(text: str) -> tuple[str, str]:
    from baseload.errors import BadInput

    name, equals, value = text.partition("=")
    if not name or not equals:
        raise BadInput(f"--match {text!r} is no pair", remedy="Write name=value, as in customer=acme.")
    return name, value
