"""The ledger in the formats of others: money exact, nothing invented, nothing that a spreadsheet runs."""

import csv
import io
import json
import re
from dataclasses import replace
from decimal import Decimal

import duckdb
import pytest

from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source
from baseload.clock import from_ns
from baseload.cost.tokens import price
from baseload.exports import focus, otlp, table
from baseload.exports.grafana import ALERTS, RULES, dashboard, expressions, rules
from baseload.gateway.metrics import FAMILIES
from baseload.units import usd
from baseload.usage import Usage
from importing import calls, imported, statements
from samples import FAILED, START_NS, attempt, call

DAY = 86_400
START = from_ns(START_NS)
SHEET = Offer("acme", "api-model", Source("sheets 1", Precedence.MARKET, START.date(), "this file"), ())
CALLS = (
    call("a", attempt(cost=1_234_567_891), tags={"project": "p1", "customer": "acme"}),
    call("b", FAILED, attempt(2, cost=9), tags={"project": "p1", "customer": "acme"}, seconds=5),
    call("c", attempt(route="pool", cost=77), tags={"project": "=cmd()"}),
    call("d", attempt(cost=None)),
)


def no_books(key: str) -> tuple[Offer, ...]:
    return ()


# The mandatory columns of FOCUS 1.2, as its repository lists them at that tag.
MANDATORY = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd"),
    *("BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd"),
    *("ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity"),
    *("PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName"),
)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_focus_has_every_mandatory_column_and_the_exact_sum():
    made = focus.Focus(no_books).take(CALLS)
    rows = list(made.rows())
    assert set(MANDATORY) <= set(focus.COLUMNS)
    assert all(set(row) == set(focus.COLUMNS) for row in rows)
    assert all(row[name] for row in rows for name in MANDATORY if name != "ChargeClass")
    assert sum(Decimal(row["BilledCost"]) for row in rows) == usd(1_234_567_891 + 9 + 77)
    assert (made.unpriced, made.unsplit) == (1, 3)
    (bought,) = (row for row in rows if row["SubAccountId"] == "p1")
    assert (bought["x_Requests"], bought["PricingQuantity"], bought["ProviderName"]) == ("2", "240", "acme")
    assert (bought["ChargePeriodStart"], bought["BillingPeriodEnd"]) == ("2023-11-14T00:00:00Z", "2023-12-01T00:00:00Z")
    assert json.loads(bought["Tags"]) == {"customer": "acme"}


def test_rows_of_focus_that_differ_in_one_thing_alone_all_come_back(tmp_path):
    """By customer, book, price or kind: the statements that are read again hold every token and every nano-dollar."""
    every = Usage(**{leaf: 10 + place for place, leaf in enumerate(Usage.__struct_fields__)})
    noon, night = (replace(SHEET, schedule=(PriceRow(Rates(Decimal(each), Decimal(9), per_request=Decimal("0.1"))),))
                   for each in (2, 3))  # fmt: skip
    tries = [
        (customer, attempt(usage=every, cost=price(every, offer, START).nanousd, book=book))
        for customer in ("", "acme", "globex")
        for offer, book in ((noon, "sheets 1"), (night, "sheets 2"), (noon, "elsewhere"))
    ]
    offers = [noon, replace(night, source=replace(night.source, book="sheets 2"))]
    made = focus.Focus(lambda key: [each for each in offers if each.key == key])
    made.take(call(str(place), tried, tags={"customer": who}) for place, (who, tried) in enumerate(tries))
    text = io.StringIO()
    out = csv.DictWriter(text, focus.COLUMNS)
    out.writeheader()
    out.writerows(made.rows())
    report = imported(tmp_path, "focus", text.getvalue())
    kept = statements(tmp_path)
    assert (report.rejected, len(kept), made.unsplit) == (0, 3 * (7 + 7 + 1), 3)
    assert report.log_usd == sum(each.usd for each in kept) == usd(sum(tried.cost_nanousd for _, tried in tries))
    assert report.usage == sum((each.usage for each in kept), Usage()) == sum((t.usage for _, t in tries), Usage())
    assert imported(tmp_path, "focus", text.getvalue()).new == 0


def test_csv_holds_every_attempt_and_no_formula():
    text = io.StringIO()
    assert table.write_csv(CALLS, text) == 5
    rows = rows_of(text.getvalue())
    assert [row["cost_usd"] for row in rows] == ["1.234567891", "", "0.000000009", "0.000000077", ""]
    assert [row["cost_nanousd"] for row in rows] == ["1234567891", "", "9", "77", ""]
    odd = call("=1+1", attempt(model="@SUM(A1)"))
    text = io.StringIO()
    table.write_csv([odd], text)
    (row,) = rows_of(text.getvalue())
    assert (row["call_id"], row["model"]) == ("'=1+1", "'@SUM(A1)")


def test_parquet_holds_the_same_types_and_all(tmp_path):
    path = tmp_path / "it's.parquet"
    odd = call('=1,"\n', attempt(model="@é", usage=Usage(input_tokens=2**40)))
    assert table.write_parquet([*CALLS, odd], path) == 6
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    with duckdb.connect() as connection:
        found = connection.execute(
            "select call_id, model, input_tokens, cost_usd, epoch(started) from read_parquet(?)", [str(path)]
        )
        rows = found.fetchall()
    assert [row[3] for row in rows[:3]] == [Decimal("1.234567891"), None, Decimal("0.000000009")]
    assert rows[-1][:3] == ('=1,"\n', "@é", 2**40)
    assert rows[0][4] == 1_700_000_000


def test_spans_come_back_as_the_attempts_they_were(tmp_path):
    text = b"".join(otlp.lines(CALLS))
    assert text.count(b"\n") == len(CALLS)
    report = imported(tmp_path, "otel", text)
    assert report.rejected == 0
    kept = {each.attempts[0].model: each for each in calls(tmp_path)}
    assert sum(each.usage.prompt_tokens for each in calls(tmp_path)) == 400
    assert kept["pool-model"].attempts[0].ended_ns == CALLS[2].attempts[0].ended_ns


def names(expression: str) -> set[str]:
    return set(re.findall(r"\bbaseload_\w+", expression))


def exposed() -> set[str]:
    found = set()
    for family in FAMILIES:
        found |= {f"{family.name}{end}" for end in ("_bucket", "_sum", "_count")} if family.kind == "histogram" else {
            family.printed
        }  # fmt: skip
    return found


def test_every_metric_on_the_dashboard_and_in_the_rules_exists():
    used = set().union(*(names(each) for each in expressions()))
    assert len(used) > 10
    assert used <= exposed()
    assert "baseload_nonsense_total" not in exposed()


@pytest.mark.parametrize("expression", expressions())
def test_every_label_that_is_asked_for_is_one_of_its_metric(expression):
    labels = {family.printed: set(family.labels) for family in FAMILIES}
    labels |= {f"{family.name}_bucket": {*family.labels, "le"} for family in FAMILIES if family.kind == "histogram"}
    asked = set(re.findall(r'(\w+)=~"', expression))
    for group in re.findall(r"by \(([^)]*)\)", expression):
        asked |= {each.strip() for each in group.split(",")}
    assert all(asked <= labels[name] for name in names(expression))


def test_the_dashboard_is_whole():
    made = dashboard()
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])
    assert {each["name"] for each in made["templating"]["list"]} == {"datasource", "bucket", "model"}
    assert json.loads(json.dumps(made)) == made


def test_the_rules_have_names_that_prometheus_takes():
    groups = rules()["groups"]
    assert all(re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name) for name, _ in RULES)
    assert len({alert for alert, *_ in ALERTS}) == len(ALERTS) == len(groups[1]["rules"])
