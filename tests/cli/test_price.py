"""`baseload price` as a person types it."""

import json
import sys

import pytest

from baseload.cli.main import main


@pytest.fixture
def baseload(monkeypatch, capsys):
    def run(line, code=0):
        monkeypatch.setattr(sys, "argv", ["baseload", *line.split("|")])
        found = 0
        try:
            main()
        except SystemExit as ended:
            found = ended.code or 0
        assert found == code
        return capsys.readouterr()

    return run


def test_one_document_with_every_books_row(baseload):
    told = baseload("price|deepseek/deepseek-v4-pro|--input|1M|--output|1M|--requests|1K|--at|2026-11-21T12:00|--json")
    document = json.loads(told.out)
    assert document["schema"] == "baseload.price/1"
    rows = {quote["book"]: quote for quote in document["quotes"]}
    assert rows["article-2"]["usd"] == 1.35
    assert rows["article-3"]["usd"] == 5.22
    assert document["quotes"][0]["precedence"] == "market"
    assert all(quote["as_of"] and quote["reference"] and quote["licence"] for quote in document["quotes"])
    output = next(each for each in document["conflicts"] if each["leaf"] == "output")
    assert output["ratio"] == 4.46


def test_a_page_with_conflicts_and_dates(baseload):
    told = baseload("price|DeepSeek V4 Pro|--at|2026-06-17").out
    assert "conflict: output" in told
    assert "dated rows" in told
    assert "next: baseload decide" in told


def test_a_day_before_the_book_is_not_answered_with_todays_price_in_silence(baseload):
    told = baseload("price|reference/mid|--at|2020-01-01").out
    assert "the book is of 2026-06-17 and does not say what held on 2020-01-01" in told
    assert "does not say" not in baseload("price|reference/mid|--at|2026-11-01").out


def test_an_article_that_gives_no_input_price_is_unpriced(baseload):
    told = baseload("price|hunyuan-a13b|--input|5|--output|3").out
    assert "unpriced: article-0 has no input price" in told


def test_prices_of_your_own_stand_first(baseload, tmp_path):
    path = tmp_path / "baseload.yaml"
    path.write_text("upstreams: []\npolicy: {routes: []}\nprices: [{offer: acme/large, input: '1.5', output: '2'}]\n")
    document = json.loads(baseload(f"price|acme/large|--config|{path}|--json").out)
    assert document["quotes"][0]["precedence"] == "yours"
    assert document["quotes"][0]["rates"]["input"] == 1.5


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("price|deepseek-v4-flsh", "deepseek-v4-flash"),
        ("price|mid|--at|yesterday", "2026-06-17"),
        ("price|mid|--input|many", "300M"),
        ("price|mid|--input|1|--requests|0", "at least one request"),
        ("price|mid|--input|1.5", "whole"),
        ("price|mid|--config|/nonexistent.yaml", "/nonexistent.yaml"),
    ],
)
def test_bad_input_ends_with_2_and_the_remedy(baseload, line, says):
    told = baseload(line, code=2)
    assert told.out == ""
    assert "error:" in told.err
    assert says in told.err
