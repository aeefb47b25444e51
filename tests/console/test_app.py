"""Every address of the console, over a real ledger."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from decimal import Decimal
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from tests.console.conftest import HOSTILE, traffic

from baseload.console.app import HEADERS
from baseload.units import usd
from baseload.usage import Usage
from samples import attempt, call

TABLES = ("models", "options", "crossings", "traffic", "decisions")
CHARTS = ("breakeven", "models")
ADDRESSES = (
    *("/", "/live", "/llms.txt"),
    *(f"/tables/{name}.{form}" for name in TABLES for form in ("json", "csv")),
    *(f"/charts/{name}.{form}" for name in CHARTS for form in ("json", "csv")),
)


class Page(HTMLParser):
    """What a browser would act on: tags with their attributes, text of scripts and styles, tables as exact cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self.tables: dict[str, list[list[str]]] = {}
        self._open: str | None = None
        self._table: list[list[str]] | None = None
        self._cell: list[str] | None = None
        self._exact: str | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append((tag, values))
        self._open = tag
        if tag == "table":
            self._table = self.tables.setdefault(values["id"].removeprefix("table-"), [])
        elif tag == "tr" and self._table is not None:
            self._table.append([])
        elif tag in ("th", "td"):
            self._cell, self._exact = [], None
        elif tag == "data" and self._cell is not None:
            self._exact = values["value"]

    def handle_endtag(self, tag):
        self._open = None
        if tag in ("th", "td") and self._table is not None:
            shown = "".join(self._cell).strip() if self._exact is None else self._exact
            self._table[-1].append("" if shown == "unknown" else shown)
            self._cell = None
        elif tag == "table":
            self._table = None

    def handle_data(self, data):
        if self._open in ("script", "style"):
            self.inline += data
        if self._cell is not None:
            self._cell.append(data)


def _csv(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def _document(answer):
    return json.loads(answer.text, parse_float=Decimal)


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_address_answers_with_every_header(console, record, address):
    record(traffic())
    answer = console.get(address)
    assert answer.status_code == 200, answer.text
    assert HEADERS.items() <= dict(answer.headers).items()
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text


def test_errors_carry_the_headers_too(console, record):
    record(traffic(40))
    wrong = {
        "/nowhere": 404,
        "/assets/000000000000/console.css": 404,
        "/tables/nothing.json": 404,
        "/charts/models.pdf": 400,
        "/?by=colour": 400,
        "/assets/../app.py": 404,
    }
    for address, status in wrong.items():
        answer = console.get(address)
        assert (address, answer.status_code) == (address, status)
        assert HEADERS.items() <= dict(answer.headers).items()
    assert "one of route" in console.get("/?by=colour").text
    assert console.post("/").status_code == 405


def test_the_policy_lets_nothing_inline_and_nothing_foreign_in():
    policy = dict(part.strip().partition(" ")[::2] for part in HEADERS["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert policy["img-src"] == "'self' data:"
    assert policy["base-uri"] == policy["frame-ancestors"] == "'none'"


@pytest.mark.parametrize("calls", [0, 5, 360])
def test_the_page_needs_nothing_inline_and_no_other_host(console, record, calls):
    record(traffic(calls))
    page = Page(console.get("/").text)
    assert page.inline == ""
    for tag, attributes in page.tags:
        assert tag not in ("style", "iframe", "object", "embed", "base")
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith(("on", "hx-on", "data-hx"))]
        for name in ("src", "href", "action", "hx-get", "data-rows", "data-spec"):
            assert re.match(r"/(?!/)|#", attributes.get(name) or "/"), attributes
    addresses = {attributes[name] for _, attributes in page.tags for name in ("src", "data-spec") if name in attributes}
    addresses |= {attributes["href"] for tag, attributes in page.tags if tag == "link"}
    for address in addresses:
        answer = console.get(address)
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["cache-control"]


def test_csv_json_and_page_show_the_same_figures(console, record):
    record(traffic())
    for name in TABLES:
        document = _document(console.get(f"/tables/{name}.json"))
        header, *lines = _csv(console.get(f"/tables/{name}.csv").text)
        records = document["rows"] + ([document["totals"]] if document["totals"] else [])
        assert header == [column["key"] for column in document["columns"]]
        assert lines == [["" if each[key] is None else str(each[key]) for key in header] for each in records]
        shown = Page(console.get("/").text).tables[name]
        assert shown[0] == [column["title"] for column in document["columns"]]
        if document["rows"]:
            assert shown[1:] == lines[: len(shown) - 1]
    for name in CHARTS:
        document = _document(console.get(f"/charts/{name}.json"))
        header, *lines = _csv(console.get(f"/charts/{name}.csv").text)
        assert lines == [["" if each[key] is None else str(each[key]) for key in header] for each in document["rows"]]
        assert len(lines) > 3
        assert html.escape(document["caption"], quote=False) in console.get("/").text.replace("&#39;", "'")
        assert console.get(document["spec"]).json()["data"] == {"name": "rows"}


def test_the_page_shows_what_was_metered_exactly(console, record):
    calls = traffic()
    record(calls)
    tries = [tried for each in calls for tried in each.attempts]
    spent = sum(tried.cost_nanousd or 0 for tried in tries)
    table = _document(console.get("/tables/traffic.json"))
    assert table["totals"]["requests"] == 360
    assert table["totals"]["usd"] == usd(spent)
    assert table["totals"]["input_tokens"] == sum(tried.usage.input_tokens for tried in tries)
    assert table["totals"]["failed"] == 1
    assert sum(row["usd"] for row in table["rows"]) == usd(spent)
    text = console.get("/").text
    lease = round(Decimal("4.80") * (5 * 359 + 3) / 3 / 3600, 9)
    bought = usd(sum(tried.cost_nanousd or 0 for tried in tries if not tried.offer.startswith("own/")))
    cards = dict(re.findall(r'id="card-(\w+)".*?<data value="([^"]*)">', text, re.DOTALL))
    assert cards == {
        "requests": "360",
        "tokens": str(sum(tried.usage.prompt_tokens + tried.usage.completion_tokens for tried in tries)),
        "paid": f"{bought + lease:f}",
        "unpriced": "0",
        "own": f"{round(Decimal(239) / 360, 6):f}",
        "overflow": f"{round(Decimal(120) / 360, 6):f}",
    }
    assert "alarm" not in text


def test_an_unpriced_attempt_raises_the_alarm(console, record):
    record([*traffic(40), call("x", attempt(cost=None, usage=Usage(input_tokens=5)))])
    text = console.get("/").text
    card = re.search(r'<article class="card alarm" id="card-unpriced" role="alert">.*?</article>', text, re.DOTALL)
    assert card is not None
    assert '<data value="1">1</data>' in card[0]
    assert "lower bound" in card[0]


def test_a_name_in_no_book_is_unknown_and_never_zero(console, record):
    record(traffic(40))
    row = next(row for row in _document(console.get("/tables/models.json"))["rows"] if row["provider"] == "nobody")
    assert row == {"offer": "knows-this", "provider": "nobody", "book": "in no book"} | dict.fromkeys(
        ("as_of", "usd", "change_fraction")
    )
    assert all(row["offer"] != "knows-this" for row in _document(console.get("/charts/models.json"))["rows"])


def test_runs_are_told_apart_and_can_be_picked(console, record):
    record([*traffic(30, "one"), *traffic(12, "two")])
    assert re.findall(r'<option value="([^"]*)"', console.get("/").text) == ["", "two", "one"]
    for query, requests in ((("", 42)), ("?run=", 42), ("?run=one", 30), ("?run=two", 12)):
        assert _document(console.get(f"/tables/traffic.json{query}"))["totals"]["requests"] == requests
    text = console.get("/?run=two&by=bucket").text
    assert '<option value="two" selected>' in text
    assert "/tables/traffic.csv?run=two&amp;by=bucket" in text


@pytest.mark.parametrize("address", ["/", "/live", "/llms.txt", "/tables/traffic.json", "/charts/models.csv"])
def test_a_run_that_is_not_there_is_said_with_the_ones_that_are(console, record, address):
    answer = console.get(f"{address}?run=four")
    assert (answer.status_code, "four" in answer.text) == (404, True)
    record([*traffic(30, "one"), *traffic(12, "two")])
    answer = console.get(f"{address}?run=three&by=model")
    assert (answer.status_code, HEADERS.items() <= dict(answer.headers).items()) == (404, True)
    assert all(run in answer.text for run in ("three", "one", "two"))
    if address == "/":
        links = re.findall(r'<li><a href="([^"]+)"', answer.text)
        assert links == [f"/?run={run}&amp;by=model" for run in ("", "two", "one")]
        assert all(console.get(html.unescape(link)).status_code == 200 for link in links)


def test_what_is_paid_names_its_parts_and_busy_is_no_share_of_requests(console, record):
    """360 calls in 599.33 s of 4.80 USD an hour: 0.80 leased, 0.0144 of it used (239 x about 200 tokens at 301)."""
    calls = traffic()
    record(calls)
    used = sum(t.cost_nanousd or 0 for each in calls for t in each.attempts if t.offer.startswith("own/"))
    text = console.get("/").text
    cards = dict(re.findall(r'id="card-(\w+)".*?<p class="detail">([^<]*)</p>', text, re.DOTALL))
    lease = Decimal("4.80") * (5 * 359 + 3) / 3 / 3600
    assert html.unescape(cards["paid"]).endswith(
        f"by the token, ${lease:.2f} for the own pool's hours, ${lease - usd(used):.2f} of it idle"
    )
    assert cards["own"] == f"239 answered by it; busy {usd(used) / lease * 100:.1f} % of its hours"
    assert "Own pool, share of requests" in text
    assert "its idle hours are in no row" in _document(console.get("/tables/traffic.json"))["note"]


def test_models_are_set_against_what_was_paid_on_the_reservation_basis(console, record):
    record(traffic())
    table = _document(console.get("/tables/models.json"))
    assert [column["title"] for column in table["columns"]][-1] == "vs paid"
    rows = {row["offer"]: row for row in table["rows"]}
    card = re.search(r'id="card-paid".*?<data value="([^"]*)">', console.get("/").text, re.DOTALL)
    assert rows["as routed"]["usd"] == Decimal(card[1])
    assert rows["as routed"]["provider"] == "paid"
    for name in ("gpt-4o", "gpt-5-mini", "gpt-5.5"):
        assert rows[name]["change_fraction"] == round(rows[name]["usd"] / Decimal(card[1]) - 1, 6)
    assert rows["qwen3-32b"]["usd"] > 0
    assert rows["qwen3-32b"]["change_fraction"] is None
    assert "idle hours included" in _document(console.get("/charts/models.json"))["caption"]


@pytest.mark.parametrize("by", ["route", "upstream", "model", "bucket", "hour"])
def test_traffic_is_grouped_and_always_sums_to_the_total(console, record, by):
    record(traffic())
    table = _document(console.get(f"/tables/traffic.json?by={by}"))
    assert table["columns"][0]["key"] == by
    for column in ("usd", "input_tokens", "output_tokens"):
        assert sum(row[column] for row in table["rows"]) == table["totals"][column]
    assert ("tried on more than one" in table["note"]) == (by in ("route", "upstream", "model"))


def test_hostile_names_stay_text(console, record):
    names = {"model": HOSTILE, "upstream": HOSTILE, "route": HOSTILE, "offer": HOSTILE}
    record([call(f"h{place}", attempt(**names), seconds=place * 9, tags={"run": HOSTILE}) for place in range(40)])
    query = urlencode({"run": HOSTILE, "by": "model"})
    for address in (f"/?{query}", f"/live?{query}", "/", f"/?{urlencode({'run': HOSTILE + '2'})}"):
        text = console.get(address).text
        assert "<script>alert" not in text
        assert "49" not in re.findall(r"1\+1.{0,80}", text)
        page = Page(text)
        assert page.inline == ""
        assert all(attributes.get("src") for tag, attributes in page.tags if tag == "script")
    assert any(attributes.get("value") == HOSTILE for _, attributes in Page(console.get("/").text).tags)
    assert _document(console.get(f"/tables/traffic.json?{query}"))["rows"][0]["model"] == HOSTILE
    assert _csv(console.get(f"/tables/traffic.csv?{query}").text)[1][0] == f"'{HOSTILE}"


def test_an_empty_ledger_says_what_to_do_next(console):
    text = console.get("/", headers={"host": "example.internal:8790"}).text
    assert "Nothing metered yet." in text
    assert "export OPENAI_BASE_URL=http://example.internal:8790/v1" in text
    assert "baseload demo" in text
    assert 'hx-trigger="every 2s"' in text
    answer = console.get("/tables/models.json")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_too_few_calls_for_a_verdict_say_so(console, record):
    record(traffic(5))
    assert console.get("/tables/models.json").status_code == 200
    text = console.get("/").text
    assert "Too little for a verdict yet." in text
    assert "a decision needs" in text


def test_a_reader_who_has_seen_it_gets_nothing_and_then_the_new_figures(console, record):
    record(traffic(40))
    console.get("/tables/models.json")
    first = console.get("/live")
    seen = re.search(r'name="seen" value="([^"]+)"', first.text)[1]
    again = console.get(f"/live?seen={seen}")
    assert (again.status_code, again.text) == (204, "")
    record(traffic(41))
    newer = console.get(f"/live?seen={seen}")
    assert newer.status_code == 200
    assert '<data value="41">41</data>' in newer.text
    assert "<html" not in newer.text


def test_the_map_for_machines_leads_everywhere(console, record):
    record(traffic())
    text = console.get("/llms.txt").text
    assert text.startswith("# Baseload console\n\n> ")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 10
    for link in links:
        if not link.startswith(("/v1/", "/healthz")):
            assert console.get(link).status_code == 200, link


def test_large_answers_are_compressed(console, record):
    record(traffic(40))
    assert console.get("/").headers["content-encoding"] == "gzip"
