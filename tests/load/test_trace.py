"""The bundled trace is the real one, and a broken trace says what is broken."""

import gzip
from importlib.resources import files

import pytest

from baseload.errors import BadInput
from baseload.load.trace import parse_trace

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
GOOD = "2023-11-16 18:15:46.6805900,374,44\n"


def test_the_bundled_trace_is_whole():
    packed = files("baseload.load").joinpath("data/azure_conv_2023.csv.gz").read_bytes()
    trace = parse_trace(gzip.decompress(packed).decode().splitlines(), origin="azure")
    assert len(trace.arrivals) == 19_366
    assert sum(arrival.input_tokens for arrival in trace.arrivals) == 22_361_870
    assert sum(arrival.output_tokens for arrival in trace.arrivals) == 4_088_665
    assert trace.broken == ()
    assert trace.arrivals[0].after_ns == 0
    assert trace.seconds == pytest.approx(3_501.7, abs=1)


def test_seven_decimals_are_kept_and_rows_are_put_in_order():
    trace = parse_trace([HEADER, "2023-11-16 18:15:47.0000001,2,2\n", GOOD], origin="t")
    assert [arrival.input_tokens for arrival in trace.arrivals] == [374, 2]
    assert trace.arrivals[1].after_ns == 319_410_100


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2023-11-16 18:15:46.68,374", "2 fields"),
        ("2023-11-16 18:15:46.68,374,44,1", "4 fields"),
        ("yesterday,374,44", "is no time"),
        ("2023-11-16 18:15:46.6x,374,44", "is no time"),
        ("2023-11-16 18:15:46,-3,44", "ContextTokens '-3' is no count"),
        ("2023-11-16 18:15:46,3,4.5", "GeneratedTokens '4.5' is no count"),
        ("2023-11-16 18:15:46,٣,4", "is no count"),
        ("2023-11-16 18:15:46,99999999999,4", "beyond"),
        ("2023-11-16 18:15:46,374,0", "asks for nothing"),
        ("0001-01-01 00:00:00,374,44", "not between the years"),
        ("9999-12-31 23:59:59,374,44", "not between the years"),
    ],
)
def test_a_broken_row_is_named_and_the_others_stand(line, reason):
    trace = parse_trace([HEADER, GOOD, line + "\n", "\n", GOOD], origin="t")
    assert len(trace.arrivals) == 2
    assert [row.line for row in trace.broken] == [3]
    assert reason in trace.broken[0].reason


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "starts with ''"),
        (["a,b,c\n", GOOD], "starts with 'a,b,c'"),
        ([HEADER], "no request"),
        ([HEADER, "x\n"], "line 2"),
    ],
)
def test_a_file_without_one_request_is_refused(lines, says):
    with pytest.raises(BadInput, match=says):
        parse_trace(lines, origin="t.csv")
