"""Write docs/articles.md: every figure of the articles beside ours. `make docs` runs it, a test holds it fresh.

Acts: reads the figures and the books, writes one page.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

from baseload.capacity.architecture import Architecture
from baseload.catalog.books import Catalog
from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source
from baseload.cost.breakeven import crossings, horizon
from baseload.cost.curves import ZERO, Step, Tariff
from baseload.cost.hours import hidden_stack
from baseload.documents import load_catalog, load_deployments, load_parameters
from baseload.plan.advice import decide_on_prices
from baseload.plan.articles import Recomputed, recompute
from baseload.plan.articles_figures import Books, Engine, Figure, Rounding, Value, ends, short, spread
from baseload.plan.articles_node import api_hour, hourly, newer, node, output_rate, traffic, usd_per_mtok
from baseload.plan.options import Machines, TokenPrice, Volume
from baseload.ranges import Range
from baseload.units import HOURS_PER_MONTH, MONTHS_PER_YEAR, TOKENS_PER_MTOK

DATA = Path(str(resources.files("baseload.plan") / "data" / "articles_figures.yaml"))
PAGE = Path(__file__).parent / "articles.md"
NOTE = "<!-- Written by `make docs` from the figures, the books and the code. Change those, then run it again. -->"
CHECKED = date(2026, 11, 21)
# Market prices are taken on the day the youngest article was verified.
WHEN = datetime.combine(date(2026, 6, 17), time(12), UTC)
NUMBER = re.compile(r"-?\d+(\.\d+)?(e\d+)?")
# Prices at which the node's hour is bought: model, book.
HOURS_BOUGHT = (
    ("deepseek-v4-pro", "article-3"),
    ("deepseek-v4-pro", "article-2"),
    ("deepseek-v4-flash", "article-3"),
    ("glm-5.2", "article-3"),
    ("mid", "article-4"),
    ("frontier", "article-4"),
)
WORDS: dict[Engine, str] = {"reproduce": "comes out", "show_beside": "ours beside it", "inform": "used for"}


Raw: TypeAlias = "str | list[Raw] | dict[str, Raw] | None"


@dataclass(frozen=True)
class Articles:
    """The data file: titles by number, figures, what contradicts what, formulas, and the rows the books lack."""

    articles: list[dict[str, str]]
    figures: dict[str, Figure]
    inconsistencies: list[dict[str, Any]]
    identities: list[dict[str, Any]]
    offers: tuple[Offer, ...]
    architectures: dict[str, Architecture]
    weight_bits: dict[str, int]
    days_per_month: int


def read(path: Path = DATA) -> Articles:
    """The figures as they stand in the file; every number an exact Decimal."""
    from ruamel.yaml import YAML

    document = YAML(typ="base", pure=True).load(path.read_text(encoding="utf-8"))
    figures = [_figure(row) for row in document["figures"]]
    return Articles(
        articles=document["articles"],
        figures={figure.id: figure for figure in figures},
        inconsistencies=document["inconsistencies"],
        identities=document["identities"],
        offers=tuple(_offer(row, document["articles"]) for row in document["offers"]),
        architectures={row["model"]: _architecture(row) for row in document["sizes"]},
        weight_bits={row["model"]: int(row["bits"]) for row in document["sizes"]},
        days_per_month=int(document["days_per_month"]),
    )


def books(articles: Articles, catalog: Catalog | None = None) -> Books:
    """Everything that figures are recomputed from: what ships, and the rows that only the articles need."""
    shipped = load_catalog() if catalog is None else catalog
    table = load_parameters()
    idle = next(each.figure for each in table.parameters if each.name == "idle_power_share")
    return Books(
        figures=articles.figures,
        catalog=Catalog([*shipped.offers, *articles.offers], shipped.machines, _leases(shipped)),
        deployments=load_deployments(),
        architectures=articles.architectures,
        weight_bits=articles.weight_bits,
        owned=hidden_stack(owned=True),
        rented=hidden_stack(),
        components=frozenset(each.id for each in table.components),
        idle_power_share=idle.likely,
        when=WHEN,
        days_per_month=articles.days_per_month,
    )


def _leases(catalog: Catalog) -> list[Any]:
    return [lease for gpu in sorted({each.gpu for each in catalog.machines}) for lease in catalog.leases(gpu)]


def _value(raw: Raw) -> Value:
    """What YAML's plain strings say: numbers, words, nothing, lists and maps."""
    if isinstance(raw, dict):
        return {str(key): _value(each) for key, each in raw.items()}
    if isinstance(raw, list):
        return tuple(_value(each) for each in raw)
    if raw is None or raw == "null":
        return None
    return Decimal(raw) if NUMBER.fullmatch(raw) else str(raw)


def _figure(row: Mapping[str, Any]) -> Figure:
    rounds = tuple(
        Rounding(Decimal(each.get("to", "1")), each.get("way", "near"), each.get("only", ""))
        for each in row.get("rounds", ())
    )
    return Figure(
        id=row["id"],
        article=int(row["article"]),
        kind=row["kind"],
        subject=row["subject"],
        value=_value(row["value"]),
        unit=row["unit"],
        engine=row["engine"],
        check=row["check"],
        depends_on=tuple(row.get("depends_on", ())),
        note=row.get("note", ""),
        inputs={key: _value(each) for key, each in row.get("inputs", {}).items()},
        expect=_value(row.get("expect")),
        rounds=rounds,
        used_for=row.get("used_for", ""),
    )


def _offer(row: Mapping[str, str], articles: list[dict[str, str]]) -> Offer:
    article = articles[int(row["book"].removeprefix("article-"))]
    source = Source(
        row["book"],
        Precedence.ARTICLES,
        date.fromisoformat(article["date"]),
        f'"{article["title"]}" ({article["dated"]}): a price outside its ranking',
        article["licence"],
    )
    rates = Rates(input=None, output=Decimal(row["output"]))
    return Offer(row["provider"], row["model"], source, (PriceRow(rates),), name=row["name"])


def _architecture(row: Mapping[str, str]) -> Architecture:
    source = Source("articles", Precedence.ARTICLES, CHECKED, f"{row['source']} {row.get('note', '')}".strip(), "facts")
    total, active = Decimal(row["total"]), Decimal(row["active"])
    return Architecture(row["model"], total, active, int(row["kv"]), int(row["context"]), source)


def page() -> str:
    """The page as it should stand."""
    articles = read()
    from_books = books(articles)
    done = {
        figure.id: recompute(figure.id, from_books) for figure in articles.figures.values() if figure.engine != "inform"
    }
    return "\n".join(_lines(articles, from_books, done)) + "\n"


def _lines(articles: Articles, from_books: Books, done: Mapping[str, Recomputed]) -> Iterator[str]:
    yield from (NOTE, "", "# The articles, recomputed", "")
    yield "Five articles of 2026 ask when to rent machines and when to pay by the token. Each figure that they state is"
    yield "here with ours, computed when this page is written: from the same inputs, out of the books, leases, hidden"
    yield "stack, measured deployments and break-evens that `baseload decide` uses. ✓ marks what comes out."
    yield from ("", "## How many come out", "", *_summary(articles, done))
    yield from ("", "## The ones that matter", "", *_notable(from_books, done))
    yield from ("", "## Where the articles disagree", "")
    yield from (f"With themselves, each other or arithmetic; checked on {CHECKED}.", "", *_disagreements(articles))
    yield from ("", "## Formulas that hold exactly", "", *_identities(articles))
    for article in articles.articles:
        number = int(article["number"])
        yield from ("", f"## Article {number}: {article['title']}", "", f"Date: {article['dated']}.", "")
        yield from ("| | figure | the article | ours | how, and why it differs |", "|---|---|---|---|---|")
        for figure in articles.figures.values():
            if figure.article == number:
                yield _row(figure, done.get(figure.id))


def _summary(articles: Articles, done: Mapping[str, Recomputed]) -> Iterator[str]:
    counted = Counter((figure.article, _class(figure)) for figure in articles.figures.values())
    classes = ("exact", "at its rounding", "ours beside it", "used for")
    yield "| article | figures | come out exactly | come out at the article's rounding | ours beside it | used for |"
    yield "|---|---:|---:|---:|---:|---:|"
    for article in articles.articles:
        counts = [counted[int(article["number"]), each] for each in classes]
        yield f"| {article['number']}: {article['title']} | {sum(counts)} | {' | '.join(map(str, counts))} |"
    totals = [sum(counted[number, each] for number in range(len(articles.articles))) for each in classes]
    yield f"| **all** | **{sum(totals)}** | {' | '.join(f'**{each}**' for each in totals)} |"
    owed = [each.id for each in done.values() if articles.figures[each.id].engine == "reproduce" and not each.exact]
    if owed:
        yield from ("", f"Owed and not met: {', '.join(owed)}.")


def _class(figure: Figure) -> str:
    if figure.engine == "reproduce":
        return "at its rounding" if figure.rounds else "exact"
    return WORDS[figure.engine]


def _notable(from_books: Books, done: Mapping[str, Recomputed]) -> Iterator[str]:
    yield from _node_hour(from_books)
    yield from _point(_stale(from_books))
    yield from _point(_ratio(from_books, done))
    yield from _point(_example(from_books, done))
    yield from _point(_crossings())


def _point(text: str) -> list[str]:
    """One point of a list, wrapped."""
    return textwrap.wrap(text, 116, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)


def _node_hour(from_books: Books) -> Iterator[str]:
    """Article 3's case with its own source's traffic."""
    deployment, against = node(from_books), from_books.figures["A3-16"]
    model, book = against.text("model"), against.text("book")
    read_rate, written_rate = traffic(from_books)
    full = ends(usd_per_mtok(hourly(from_books), written_rate))
    yield from _point(
        f"**Article 3 compares one side of the tokens.** Its measurement reads {deployment.mix_input:,} tokens for "
        f"{deployment.mix_output} it writes: {short(written_rate)} out and {short(read_rate)} in a second. The same "
        f"hour bought at {from_books.input(model, book)}/{from_books.output(model, book)} is "
        f"**{api_hour(from_books, model, book):.2f} USD**; the node rents for {spread(ends(hourly(from_books)), 0)} "
        f"USD. All of the rent on the output alone is {spread(full)} USD per million, and so the article finds the "
        f"node nearly {_show(against.value)} times dearer than the API. The same hour at other prices:"
    )
    yield from ("", "  | price | USD in/out per M | the node's hour, bought |", "  |---|---|---:|")
    for model, book in HOURS_BOUGHT:
        both = f"{from_books.input(model, book)}/{from_books.output(model, book)}"
        yield f"  | {model}, article {book[-1]} | {both} | {api_hour(from_books, model, book):,.2f} |"
    yield ""


def _stale(from_books: Books) -> str:
    figure, deployment = from_books.figures["A3-U1"], node(from_books)
    name, rate, cost = newer(figure, from_books)
    in_flight = int(figure.number("in_flight"))
    return (
        f"**{_show(figure.number('usd_per_mtok'))} USD per million at full batch is an artefact of a stale engine.** "
        f"It is {deployment.engine}, measured in {deployment.measured:%Y-%m}: "
        f"{short(output_rate(from_books, in_flight), 0)} output tokens a second with {in_flight} in flight. {name}, "
        f"wrote {short(rate, 0)} with as many: {spread(ends(cost))} USD per million at the market's price of that "
        "machine. Machine, precision and mix differ, so this is no race of engines; it says that the figure is one "
        "measurement and not what the hardware does."
    )


def _ratio(from_books: Books, done: Mapping[str, Recomputed]) -> str:
    ours, stated = done["A0-A3"].ours, from_books.figures
    alone = ours["machine_alone"] if isinstance(ours, dict) else None
    return (
        f"**Article 0's {_show(stated['A0-A3'].value)} times is a slip.** {done['A0-A1'].how.partition(';')[0]} are "
        f"{_show(done['A0-A1'].ours)} USD, not {_show(stated['A0-A1'].value)}. The machine of "
        f"{_show(stated['A0-A2'].value)} USD is then {_show(alone)} times dearer."
    )


def _example(from_books: Books, done: Mapping[str, Recomputed]) -> str:
    left, people = done["A4-06"].ours, done["A4-05"].ours
    cheaper = [each for name, each in left.items() if name != "h100"] if isinstance(left, dict) else []
    cost = people["cost"] if isinstance(people, dict) else None
    return (
        f"**Article 4's example comes out to the dollar**: {_show(done['A4-03'].ours)} and "
        f"{_show(done['A4-04'].ours)} by the token, {_show(done['A4-02'].ours)} for the machine. Left out are the "
        f"lightweight API and four open-weights models, at {', '.join(map(_show, cheaper))} USD all "
        "cheaper than the machine; and people: with article 0's flat "
        f"{_show(from_books.figures['A0-C08'].value)} USD the machine costs {_show(cost)} and the mid-tier API wins."
    )


def _crossings() -> str:
    """Stepped machines against a straight line cross many times: the count depends on the month that is meant."""
    step = Step(Fraction(95) / Fraction("2.2"), Fraction("2.5") * HOURS_PER_MONTH)
    gpu = Tariff("gpu", fixed=Fraction(1500), steps=(step,))
    counts = []
    for days in (Fraction(30), Fraction(365) / MONTHS_PER_YEAR):
        api = Tariff("api", per_unit=Fraction("1.55") * days)
        counts.append(len(crossings(api, gpu, ZERO, horizon(api, gpu) or ZERO)))
    price = TokenPrice("api", Range.exact(0), Range.exact(Decimal("0.80")), "typed")
    machines = Machines("machine", Range.exact(1200), Decimal(1_600) * TOKENS_PER_MTOK, "1,200 USD")
    document = decide_on_prices(Volume(Decimal(0), Decimal(1_000) * TOKENS_PER_MTOK), [price], machines)
    far = Decimal(20_000) * TOKENS_PER_MTOK
    below = sum(each.tokens_per_month <= far for each in document.crossings)
    return (
        "**There is no one break-even.** A GPU at 2.50 USD/h that serves 95 M tokens a day at a peak of 2.2 times the "
        f"mean, with 1,500 USD beside it, crosses an API at 1.55 USD/M {counts[0]} times in a month of 30 days of "
        f"tokens and {counts[1]} times in one of 365/12. Replicas of 1.6 B tokens at 1,200 USD cross 0.80 USD/M "
        f"{below} times up to 20 B and {len(document.crossings)} times in all; the hybrid has one threshold, a fill of "
        f"{document.critical_fill}."
    )


def _disagreements(articles: Articles) -> Iterator[str]:
    yield "| | articles | what is said | what holds | why | figures |"
    yield "|---|---|---|---|---|---|"
    for each in articles.inconsistencies:
        cells = [
            each["id"],
            ", ".join(each["articles"]),
            *(_cell(each[name]) for name in ("claim", "ours", "why")),
            ", ".join(each["figures"]),
        ]
        yield f"| {' | '.join(cells)} |"


def _identities(articles: Articles) -> Iterator[str]:
    yield "| | identity | formula | figures |"
    yield "|---|---|---|---|"
    for each in articles.identities:
        yield f"| {each['id']} | {each['name']} | `{each['formula']}` | {', '.join(each['figures'])} |"


def _row(figure: Figure, done: Recomputed | None) -> str:
    stated = f"a {figure.unit}" if figure.value == "holds" else f"{_show(figure.value)} {figure.unit}"
    if done is None:
        return f"| {figure.id} | {_cell(figure.subject)} | {_cell(stated)} | | used for: {_cell(figure.used_for)} |"
    ours = _show(done.ours)
    if figure.rounds and done.ours != done.printed:
        ours += f", at its rounding {_show(done.printed)}"
    why = done.how
    if figure.engine == "show_beside":
        why += f". **Why**: {done.reason}"
    mark = " ✓" if done.exact else ""
    return f"| {figure.id} | {_cell(figure.subject)} | {_cell(stated)} | {_cell(ours)}{mark} | {_cell(why)} |"


def _show(value: Value) -> str:
    """A value in words: numbers short, ranges with a dash, parts by name."""
    if isinstance(value, Decimal):
        places = 0 if abs(value) >= 10_000 else 4 if abs(value) < 10 else 2
        return short(value, places)
    if isinstance(value, dict):
        return "; ".join(f"{key.replace('_', ' ')} {_show(each)}" for key, each in value.items())
    if isinstance(value, tuple):
        return _show_several(value)
    return "none" if value is None else value


def _show_several(values: tuple[Value, ...]) -> str:
    match values:
        case (Decimal() as low, Decimal() as high) if low <= high:
            return f"{_show(low)}–{_show(high)}"
        case (Decimal() as low, None):
            return f"{_show(low)}–∞"
        case _:
            return ", ".join(_show(each) for each in values)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write the page when it is not as it should be, and name it."""
    text = page()
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        PAGE.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {PAGE.relative_to(PAGE.parent.parent)}\n")


if __name__ == "__main__":
    main()
