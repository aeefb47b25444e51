"""Holidays, a named month and the load of a week, as a person types them beside a decision."""

import json

import pytest

TYPED = "decide|--input|300M|--output|100M|--price|3/15|--gpu-hour|2.4|--gpu-capacity|1.6B"


def rented(told):
    document = json.loads(told.out)
    return next(option for option in document["options"] if option["kind"] == "rented"), document


def hours_on(document):
    return next(row["value"] for row in document["assumptions"] if row["name"] == "hours on")


def test_a_month_is_counted_exactly_and_a_list_is_averaged(baseload):
    def money(more):
        option, document = rented(baseload(f"{TYPED}|--hours|mon-fri:8-18{more}|--json"))
        return option["usd_per_month"]["likely"], document

    plain, _ = money("")
    december, document = money("|--holidays|2026-12-25,2026-12-28|--in-month|2026-12")
    # Twenty-three working days of ten hours less two: 210 hours in December, 50 x 730 / 168 = 217.26 in a mean month.
    assert float(hours_on(document)) == pytest.approx(210 * 168 / 730, abs=1e-5)
    assert plain - december == pytest.approx(2.4 * (50 * 730 / 168 - 210), abs=0.01)
    averaged, document = money("|--holidays|2026-12-25,2026-12-28")
    assert plain - averaged == pytest.approx(2.4 * 20 / 12, abs=0.01)
    assert any("2 days of 2026, off" in row["value"] for row in document["assumptions"])
    whole, _ = money("|--in-month|2026-12")
    assert whole > plain  # 230 hours: more than a mean month has


def test_a_list_may_be_a_file_and_like_a_sunday(baseload, tmp_path):
    path = tmp_path / "holidays.txt"
    path.write_text("# closed\n2026-12-25\n2026-12-28  # a Monday\n")
    hours = "--hours|mon-fri:8-18,sun:10-12|--in-month|2026-12"
    figures = [
        float(hours_on(json.loads(baseload(f"{TYPED}|{hours}|--holidays|{days}|--json").out)))
        for days in (path, "2026-12-25,2026-12-28", f"{path}|--holidays-like|weekend")
    ]
    assert figures[0] == figures[1] == pytest.approx(218 * 168 / 730, abs=1e-5)
    assert figures[2] == pytest.approx(222 * 168 / 730, abs=1e-5)


def test_the_load_of_a_week_decides_how_many_machines_its_peak_needs(baseload, tmp_path):
    flat, document = rented(baseload(f"{TYPED.replace('1.6B', '300M')}|--shape|flat|--json"))
    assert (flat["machines"], flat["fill"]) == (2, pytest.approx(400 / 600, abs=1e-6))
    assert any(row["name"] == "load of the week" and row["known"] == "assumed" for row in document["assumptions"])
    path = tmp_path / "week.csv"
    path.write_text("\n".join(["4"] * 42 + ["0"] * 126))  # all of it in a quarter of the week
    peaked, _ = rented(baseload(f"{TYPED.replace('1.6B', '300M')}|--shape|{path}|--json"))
    assert peaked["machines"] == 6  # 400 M in a quarter of the time are 1,600 M a month
    assert rented(baseload(f"{TYPED}|--shape|office|--json"))[0]["kind"] == "rented"


def test_load_in_the_hours_off_is_said(baseload):
    document = json.loads(baseload(f"{TYPED}|--shape|office|--hours|mon-fri:8-18|--json").out)
    assert {option["kind"] for option in document["options"]} == {"api"}
    assert "25% of the load falls in the hours that rented GPU is off" in document["cannot"][0]["why"]


def test_such_a_decision_can_be_frozen_and_repeated(baseload, tmp_path):
    for number, more in enumerate(
        ("--shape|office", "--hours|mon-fri:8-18|--in-month|2026-12", "--hours|8-18|--holidays|2026-12-25")
    ):
        path = tmp_path / f"{number}.json"
        saved = json.loads(baseload(f"{TYPED}|{more}|--save|{path}|--json").out)
        again = json.loads(baseload(f"decide|--repeat|{path}|--json").out)
        assert again["options"] == saved["options"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("--holidays|2026-12-25", "--hours mon-fri:8-18"),
        ("--in-month|2026-12", "--hours mon-fri:8-18"),
        ("--hours|8-18|--holidays|25.12.", "'25.12.' is no date"),
        ("--hours|8-18|--holidays|/nonexistent.txt", "/nonexistent.txt"),
        ("--hours|8-18|--holidays|2026-12-25|--in-month|2027-12", "cover 2026 and not 2027"),
        ("--hours|8-18|--holidays-like|weekend", "Add --holidays"),
        ("--hours|8-18|--holidays|2026-12-25|--holidays-like|half", "off or weekend"),
        ("--hours|8-18|--in-month|12", "no month"),
        ("--hours|fri:8-18|--holidays|2026-12-04,2026-12-11,2026-12-18,2026-12-25|--in-month|2026-12", "0 hours"),
        ("--hours|mon:8-8", "0 hours"),
        ("--shape|weekend", "flat or office"),
        ("--shape|office|--hours|8-18|--holidays|2026-12-25", "Give one of them"),
    ],
)
def test_what_makes_no_sense_ends_with_2_and_the_remedy(baseload, more, says):
    told = baseload(f"{TYPED}|{more}", code=2)
    assert told.out == ""
    assert says in told.err


def test_a_file_that_is_no_week(baseload, tmp_path):
    path = tmp_path / "week.csv"
    path.write_text("1,2,3")
    assert "3 figures, and a week has 168 hours" in baseload(f"{TYPED}|--shape|{path}", code=2).err


def test_a_ledgers_load_is_measured(baseload):
    assert "--shape describes the weeks of a load" in baseload("decide|--demo|--shape|office", code=2).err
