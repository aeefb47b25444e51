"""Files as records: every shape, every kind of damage, in bounded memory."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.errors import BadInput
from baseload.imports import records as module
from baseload.imports.records import records


class Slow(io.RawIOBase):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data, self._step = data, step

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        piece, self._data = self._data[: self._step], self._data[self._step :]
        buffer[: len(piece)] = piece
        return len(piece)


def read(data: bytes, into: tuple[str, ...] = ("data",)) -> list[tuple[int, dict, str]]:
    stream = io.BufferedReader(io.BytesIO(data), 1 << 20)
    return [(each.line, dict(each.fields), each.trouble) for each in records(stream, "file", into)]


def test_csv_counts_lines_over_quoted_breaks_and_names_broken_rows():
    found = read(b'a,b\r\n1,"x\r\ny"\r\n2\r\n\r\n3,\xff\r\n4,"q"z\r\n5,6\r\n')
    assert [(line, fields) for line, fields, trouble in found if not trouble] == [
        (2, {"a": "1", "b": "x\r\ny"}),
        (8, {"a": "5", "b": "6"}),
    ]
    assert [(line, trouble.split(":")[0]) for line, _, trouble in found if trouble] == [
        (4, "1 fields instead of 2"),
        (6, "not UTF-8"),
        (7, "no CSV"),
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_csv_with_any_separator(separator):
    assert read(f"a{separator}b\n1{separator}2\n".encode()) == [(2, {"a": "1", "b": "2"}, "")]


def test_an_open_quote_is_one_rejected_record(monkeypatch):
    monkeypatch.setattr(module, "MOST_FIELD", 1000)
    found = read(b'a,b\n1,"' + b"x,y\n" * 2000 + b"7,8\n")
    assert found[0][2].startswith("no CSV: field larger")
    assert found[-1] == (2002, {"a": "7", "b": "8"}, "")


@pytest.mark.parametrize("rows", [b"3,4\n5,6\n", b'3,"4"\n5,6\n', b'3,4\n5,"6'])
def test_an_open_quote_takes_no_other_row_along(rows):
    found = read(b'a,b\n"1,2\n' + rows)
    assert next(line for line, _, trouble in found if trouble) == 2
    assert (3, {"a": "3", "b": "4"}, "") in found
    assert (4, {"a": "5", "b": "6"}, "") in found or rows.endswith(b'"6')


def test_quotes_without_end_are_read_again_so_often_only(monkeypatch):
    monkeypatch.setattr(module, "MOST_AGAIN", 3)
    found = read(b"a,b\n" + b'"1,2\n3,4\n' * 10)
    assert [line for line, _, trouble in found if not trouble] == [3, 5, 7, 11, 15, 19]


def test_json_lines_keep_going_after_a_broken_one():
    found = read(b'{"a": 1}\n{"a": \n[1]\n\n{"a": NaN}\n{"a": 2}\n')
    assert [line for line, _, trouble in found if trouble] == [2, 3, 5]
    assert [fields for _, fields, trouble in found if not trouble] == [{"a": 1}, {"a": 2}]


DOCUMENT = {
    "object": "page",
    "note": 'a "data": [{"x": 1}] \\',
    "data": [{"n": 1, "s": ']}\\"['}, {"n": 2}],
    "more": [{}],
}


@pytest.mark.parametrize("indent", [None, 0, 4])
def test_a_document_gives_the_records_of_its_list(indent):
    once = json.dumps(DOCUMENT, indent=indent).encode()
    for data in (once, once + b"\n" + once):
        found = read(data)
        assert [fields for _, fields, _ in found] == DOCUMENT["data"] * (len(data) // len(once))
        assert not any(trouble for _, _, trouble in found)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(
    st.lists(st.dictionaries(st.text(), json_values, min_size=1, max_size=4), min_size=1, max_size=6),
    st.integers(1, 50),
    st.sampled_from([None, 1]),
)
def test_every_list_of_objects_comes_out_as_it_went_in_however_it_arrives(objects, step, indent):
    data = json.dumps(objects, indent=indent).encode()
    stream = io.BufferedReader(Slow(data, step), 64)
    assert [each.fields for each in records(stream, "file", ())] == objects


def test_a_bomb_of_brackets_is_one_rejected_record():
    deep = b'{"a": ' * 100_000 + b"1" + b"}" * 100_000
    for data in (b'[{"a":1},' + deep + b',{"a":2}]', b'{"a":1}\n' + deep + b'\n{"a":2}\n'):
        found = read(data)
        assert [fields for _, fields, trouble in found if not trouble] == [{"a": 1}, {"a": 2}]
        assert [trouble for _, _, trouble in found if trouble] == ["JSON that is nested too deep"]


def test_brackets_without_end_take_no_memory_and_a_cut_document_is_told():
    assert read(b"[" * 3_000_000)[0][2] == "JSON that ends in the middle"
    found = read(b'[{"a": 1}, {"a": "no end')
    assert found[0][1] == {"a": 1}
    assert found[1][2] == "JSON that ends in the middle"


def test_one_object_that_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MOST_LINE", 1 << 20)
    with pytest.raises(BadInput, match="longer than"):
        read(b'[{"a": "' + b"x" * (4 << 20) + b'"}]')


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"PK\x03\x04rest", "zip"),
        (b"\x1f\x8brest", "gzip"),
        (b"PAR1rest", "Parquet"),
        ("a,b\n".encode("utf-16"), "UTF-16"),
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"a,b,a\n1,2,3\n", "twice"),
    ],
)
def test_what_is_no_table_at_all_is_refused(data, says):
    with pytest.raises(BadInput, match=says):
        read(data)
