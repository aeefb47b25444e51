import csv
import io
import json
from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from baseload.console.tables import Column, Table, csv_text

COLUMNS = (Column("route", "route"), Column("requests", "requests", "count"), Column("usd", "USD", "usd"))
CELLS = st.tuples(
    st.text(st.characters(exclude_categories=("Cs", "Cc"))),
    st.integers(0, 10**15) | st.none(),
    st.decimals(min_value=0, max_value=10**12, places=9) | st.none(),
)


def _read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@given(st.lists(CELLS, max_size=5))
def test_csv_and_json_hold_every_cell_exactly(rows):
    table = Table("routes", "By route", COLUMNS, tuple(rows))
    header, *lines = _read(table.csv())
    records = json.loads(msgspec.json.Encoder(decimal_format="number").encode(table.document()), parse_float=Decimal)
    assert header == [column.key for column in COLUMNS]
    assert len(lines) == len(records["rows"]) == len(rows)
    for (route, requests, usd), line, record in zip(rows, lines, records["rows"], strict=True):
        assert line[0].removeprefix("'") == route.removeprefix("'")
        assert line[1:] == [
            "" if cell is None else f"{cell:f}" if cell is usd else str(cell) for cell in (requests, usd)
        ]
        assert record == {"route": route, "requests": requests, "usd": usd}


def test_the_totals_row_is_last_in_csv_and_named_in_json():
    table = Table("routes", "By route", COLUMNS, (("pool", 2, Decimal("0.000000001")),), ("total", 2, None))
    assert _read(table.csv())[-1] == ["total", "2", ""]
    assert table.document()["totals"] == {"route": "total", "requests": 2, "usd": None}


def test_small_money_is_written_without_an_exponent():
    assert csv_text(["usd"], ((Decimal("0.000000001"),),)).splitlines()[1] == "0.000000001"


def test_no_cell_can_act_as_a_formula():
    hostile = ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\tx"]
    lines = _read(csv_text(["tag"], tuple((cell,) for cell in hostile)))[1:]
    assert [line[0] for line in lines] == [f"'{cell}" for cell in hostile]
