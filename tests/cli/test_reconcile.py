"""`baseload reconcile` on a real ledger and a provider's own export: exit 0, 2, 3 and 4, figures exact."""

import json
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from baseload.cli.main import main
from baseload.documents import load_catalog
from baseload.units import nanousd, usd
from importing import imported

DAY = 1_790_812_800
ROW = {
    "call_type": "acompletion",
    "spend": 0.1,
    "prompt_tokens": 1_000_000,
    "completion_tokens": 100_000,
    "startTime": "2026-10-01 08:00:00",
    "endTime": "2026-10-01 08:00:02",
    "model": "gpt-4o-2024-08-06",
    "custom_llm_provider": "openai",
}
RATES = load_catalog().offer("openai/gpt-4o").schedule[-1].rates
COST = usd(nanousd((RATES.input or 0) + (RATES.output or 0) / 10))


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("BASELOAD_HOME", str(tmp_path / "home"))
    rows = [ROW | {"request_id": f"r{place}"} for place in range(3)]
    imported(tmp_path / "home", "litellm", "".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.fixture
def typed(monkeypatch, capsys):
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["baseload", "reconcile", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def invoice(directory, *lines: tuple[str, str]) -> str:
    table = "start_time,end_time,amount_value,amount_currency,line_item,project_id\n"
    table += "".join(f'{DAY},{DAY + 86_400},{amount},usd,"{item}",\n' for amount, item in lines)
    path = directory / "costs.csv"
    path.write_text(table)
    return str(path)


def test_within_the_tolerance(typed, ledger):
    path = invoice(ledger, (str(COST * 2), "gpt-4o-2024-08-06, input"), (str(COST), "gpt-4o-2024-08-06, output"))
    code, out, _ = typed("--provider", "openai", "--invoice", path)
    assert code == 0
    assert "ok" in out
    assert "openai/gpt-4o" in out


@pytest.mark.parametrize(("extra", "cause"), [("0.5", "items that are no tokens"), ("-0.5", "credits")])
def test_beyond_it_exit_3_for_both_signs_with_the_causes(typed, ledger, extra, cause):
    path = invoice(ledger, (str(COST * 3), "gpt-4o, input"), (extra, "Web search tool calls"))
    code, out, err = typed("--provider", "openai", "--invoice", path, "--json")
    document = json.loads(out, parse_float=Decimal)
    assert code == 3
    assert (document["metered_usd"], document["gap_usd"], document["within"]) == (COST * 3, Decimal(extra), False)
    assert [(each["cause"], each["usd"]) for each in document["causes"]] == [(cause, Decimal(extra))]
    assert "--tolerance" in err
    assert typed("--provider", "openai", "--invoice", path, "--tolerance", "50%")[0] == 0


def test_statements_that_were_imported_before_are_the_invoice(typed, ledger):
    path = invoice(ledger, (str(COST * 3), "gpt-4o, input"))
    with open(path, "rb") as file:  # noqa: PTH123
        imported(ledger / "home", "openai", file.read())
    assert typed("--provider", "openai")[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--provider", "anthropic"), 4, "no cost of anthropic"),
        (("--provider", "openai", "--invoice", "no/such"), 2, "cannot read"),
        (("--provider", "openai", "--tolerance", "lots"), 2, "no share"),
        (("--provider", "openai", "--invoice", "BROKEN"), 2, "another sum"),
    ],
)
def test_misuse(typed, ledger, words, code, says):
    broken = invoice(ledger, ("1", "gpt-4o"), ("NaN", "gpt-4o"))
    ended, _, err = typed(*(broken if each == "BROKEN" else each for each in words))
    assert ended == code
    assert says in err


def test_what_two_reports_state_is_not_summed(typed, ledger):
    """The same days with and without items: each is the bill, and both together are twice the bill."""
    for lines in ([(str(COST * 2), "gpt-4o, input"), (str(COST), "gpt-4o, output")], [(str(COST * 3), "")]):
        path = invoice(ledger, *lines)
        imported(ledger / "home", "openai", Path(path).read_text())
    code, _, err = typed("--provider", "openai")
    assert code == 2
    assert "stated twice" in err
    assert typed("--provider", "openai", "--invoice", path)[0] == 0


def test_a_line_that_stands_twice_in_the_invoice_is_told(typed, ledger):
    line = (str(COST * 3), "gpt-4o, input")
    code, _, err = typed("--provider", "openai", "--invoice", invoice(ledger, line, line))
    assert code == 0
    assert "1 line stands in" in err


def test_a_clock_that_is_half_an_hour_off(typed, ledger):
    """A day of Kolkata begins at 18:30 UTC: a call a quarter of an hour later is of that day, one before it is not."""
    rows = [
        ROW | {"request_id": f"k{at}", "startTime": at, "endTime": at}
        for at in ("2026-10-02 18:45", "2026-10-02 18:15")
    ]
    imported(ledger / "home", "litellm", "".join(json.dumps(row) + "\n" for row in rows))
    path = ledger / "costs.csv"
    table = "start_time,end_time,amount_value,amount_currency,line_item\n"
    path.write_text(f'{table}2026-10-03 00:00,2026-10-04 00:00,{COST},usd,"gpt-4o, input"\n')
    code, out, _ = typed(
        "--provider", "openai", "--invoice", path, "--tz", "Asia/Kolkata", "--json", "--tolerance", "0%"
    )
    assert (code, json.loads(out)["calls"]) == (0, 1)
