"""A file as records, one after the other, whatever its size: CSV, JSON lines, JSON documents. Acts (reads a stream).

Nothing is held but the record at hand. What cannot be read is a record with its trouble, and the next one follows.
Files that are packed are not opened: what one of them unpacks to has no bound.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from baseload.errors import BadInput

MOST_LINE = 64 << 20
MOST_FIELD = 8 << 20
MOST_DEPTH = 100
MOST_AGAIN = 100
_CHUNK = 1 << 18
_LOOK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_PACKED = {
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"(\xb5/\xfd": "zstd",
    b"PAR1": "Parquet",
}
_WIDE = (b"\xff\xfe", b"\xfe\xff")

decode = msgspec.json.Decoder(float_hook=Decimal).decode


class Stream(Protocol):
    """A file that is open for reading bytes, from its start."""

    def read(self, size: int = -1, /) -> bytes: ...
    def readline(self, size: int = -1, /) -> bytes: ...
    def peek(self, size: int = 0, /) -> bytes: ...


@dataclass(slots=True)
class Record:
    """One record: the line it begins on, its fields, its bytes. `trouble` says why it could not be read."""

    line: int
    fields: Mapping[str, Any]
    raw: bytes
    trouble: str = ""


def records(stream: Stream, name: str, into: Sequence[str] = ()) -> Iterator[Record]:
    """Every record of a stream; `name` is said in errors.

    A JSON document is a list of records, or an object with such a list under one of the names `into`, or itself a
    record; several may follow each other. Raises BadInput for what is no text at all.
    """
    head = _peeked(stream)
    for magic, kind in _PACKED.items():
        if head.startswith(magic):
            raise BadInput(
                f"{name} is a {kind} file, which is not opened",
                remedy="Unpack it and pipe it in: `gunzip -c file.gz | baseload import litellm -`.",
            )
    if head.startswith(_WIDE):
        raise BadInput(f"{name} is written in UTF-16", remedy="Save it as UTF-8 (in a spreadsheet: CSV UTF-8).")
    if head.startswith(_BOM):
        stream.read(len(_BOM))
        head = head[len(_BOM) :]
    start = head.lstrip()[:1]
    if start == b"[" or (start == b"{" and not _first_line_is_whole(head)):
        return _document(stream, tuple(into))
    return _lines(stream, tuple(into)) if start == b"{" else _table(stream, name)


def _peeked(stream: Stream) -> bytes:
    """What the stream begins with, without taking it."""
    return stream.peek(_LOOK)


def _first_line_is_whole(head: bytes) -> bool:
    """Whether the first line is a JSON value of its own, so that lines can be read one by one."""
    return _object(head.lstrip().partition(b"\n")[0]) is not None


def _object(raw: bytes) -> Mapping[str, Any] | None:
    try:
        found = decode(raw)
    except (msgspec.DecodeError, RecursionError, ValueError, ArithmeticError):
        return None
    return found if isinstance(found, dict) else None


def _record(line: int, raw: bytes) -> Record:
    """One JSON value as a record."""
    try:
        found = decode(raw)
    except RecursionError:
        return Record(line, {}, raw, "JSON that is nested too deep")
    except (msgspec.DecodeError, ValueError, ArithmeticError) as error:
        return Record(line, {}, raw, f"no JSON: {str(error)[:100]}")
    if not isinstance(found, dict):
        return Record(line, {}, raw, "no JSON object")
    return Record(line, found, raw)


def _lines(stream: Stream, into: tuple[str, ...]) -> Iterator[Record]:
    """JSON lines. A line may hold a page of records."""
    for number, line, whole in _text_lines(stream):
        if not whole:
            yield Record(number, {}, line[:_CHUNK], f"a line of more than {MOST_LINE:,} bytes")
        elif not line.isspace():
            yield from _opened(_record(number, line), into)


def _opened(record: Record, into: tuple[str, ...]) -> Iterator[Record]:
    """The records of a page, or the record itself."""
    held = next((record.fields[name] for name in into if isinstance(record.fields.get(name), list)), None)
    if held is None:
        yield record
        return
    for each in held:
        if isinstance(each, dict):
            yield Record(record.line, each, record.raw)
        else:
            yield Record(record.line, {}, record.raw, "no JSON object")


def _text_lines(stream: Stream) -> Iterator[tuple[int, bytes, bool]]:
    """Number, bytes, and whether it is a whole line: of one that is too long only the start is kept."""
    number = 0
    while line := stream.readline(MOST_LINE):
        number += 1
        whole = line.endswith(b"\n") or len(line) < MOST_LINE
        yield number, line, whole
        while not whole:
            rest = stream.readline(MOST_LINE)
            whole = rest.endswith(b"\n") or len(rest) < MOST_LINE


class _Text:
    """Lines of a table as text, remembering the bytes of the row at hand and whether they were UTF-8."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._again: list[bytes] = []
        self._kept = MOST_AGAIN
        self.number = 0  # lines that were read
        self.raw: list[bytes] = []
        self.foreign = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else self._stream.readline(MOST_FIELD)
        if not line:
            raise StopIteration
        self.number += 1
        self.raw.append(line)
        try:
            return line.decode()
        except UnicodeDecodeError:
            self.foreign = True
            return line.decode(errors="replace")

    def keep_first(self) -> None:
        """Of the lines of a row that is none, read all but the first again: a quote that nobody closed swallows every
        row up to the next one. So often only, since somebody may have filled a file with such quotes."""
        if len(self.raw) > 1 and self._kept:
            self._kept -= 1
            self.number -= len(self.raw) - 1
            self._again += reversed(self.raw[1:])
            self.raw, self.foreign = self.raw[:1], False

    def taken(self) -> tuple[bytes, bool]:
        """The bytes of the row just read, and whether they could be."""
        raw, foreign = self.raw[0] if len(self.raw) == 1 else b"".join(self.raw), self.foreign
        self.raw, self.foreign = [], False
        return raw, foreign


def _table(stream: Stream, name: str) -> Iterator[Record]:
    """CSV with a header; the separator is the one that the header uses."""
    csv.field_size_limit(MOST_FIELD)
    text = _Text(stream)
    lines = iter(text)
    first = next(lines, "")
    header = _header(first, name)
    text.taken()
    rows = csv.reader(lines, delimiter=_separator(first), strict=True)
    while True:
        line = text.number + 1
        trouble, values = "", []
        try:
            values = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            trouble = f"no CSV: {error}"
            text.keep_first()
        raw, foreign = text.taken()
        if not trouble and not values:
            continue
        if foreign:
            trouble = "not UTF-8"
        elif not trouble and len(values) != len(header):
            trouble = f"{len(values)} fields instead of {len(header)}"
        yield Record(line, {} if trouble else dict(zip(header, values, strict=True)), raw, trouble)


def _separator(header: str) -> str:
    return max(",;\t|", key=header.count)


def _header(first: str, name: str) -> list[str]:
    """The names of the columns. Raises BadInput where there can be none."""
    try:
        names = next(csv.reader(io.StringIO(first), delimiter=_separator(first), strict=True), [])
    except csv.Error as error:
        raise BadInput(
            f"the first line of {name} is no CSV header: {error}", remedy="Give a CSV with a header."
        ) from error
    names = [each.strip() for each in names]
    if not any(names):
        raise BadInput(f"{name} is empty", remedy="Give a CSV with a header, JSON lines or a JSON document.")
    doubled = sorted({each for each in names if names.count(each) > 1})
    if doubled:
        raise BadInput(
            f"{name} has the column {ascii(doubled[0])[:60]} twice", remedy="Rename one of the two in the first line."
        )
    return names


_MARK = re.compile(rb'["{}\[\]\n]')
_IN_TEXT = re.compile(rb'["\\\n]')
_NAMED = re.compile(rb'"([A-Za-z_]{1,40})"\s*:\s*\Z')


def _document(stream: Stream, into: tuple[str, ...]) -> Iterator[Record]:
    """The records of JSON documents, cut out of the stream one by one."""
    cutter = _Cutter(frozenset(into))
    while chunk := stream.read(_CHUNK):
        for line, raw, deep in cutter.feed(chunk):
            yield Record(line, {}, raw, "JSON that is nested too deep") if deep else _record(line, raw)
    if cutter.open:
        yield Record(cutter.line, {}, cutter.rest, "JSON that ends in the middle")


class _Cutter:
    """Finds where objects begin and end. `level` is the depth at which a record begins: 0 for documents one after the
    other, 1 in a list of them, 2 in a list under a name."""

    def __init__(self, into: frozenset[str]) -> None:
        self._into = {name.encode() for name in into}
        self._held = bytearray()
        self._at = 0
        self._begun: int | None = None
        self._begun_line = 1
        self._depth = self._level = 0
        self._deepest = 0
        self._in_text = False
        self.line = 1

    @property
    def open(self) -> bool:
        """Whether the stream may not end here."""
        return self._depth > 0 or self._in_text

    @property
    def rest(self) -> bytes:
        return bytes(self._held[self._begun or 0 :])

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes, bool]]:
        """The line, the bytes and whether it is too deep of every record that ends in this chunk."""
        self._held += chunk
        while True:
            found = (_IN_TEXT if self._in_text else _MARK).search(self._held, self._at)
            if found is None:
                self._at = len(self._held)
                break
            mark = found[0]
            self._at = found.end()
            if mark == b"\n":
                self.line += 1
            elif mark == b'"':
                self._in_text = not self._in_text
            elif mark == b"\\":
                if self._at == len(self._held):
                    self._at -= 1  # the escaped byte is in the next chunk
                    break
                self._at += 1
            elif mark in b"{[":
                self._open(mark, found.start())
            elif (ended := self._close(mark)) is not None:
                yield ended
        self._let_go()

    def _open(self, mark: bytes, at: int) -> None:
        if mark == b"{" and self._depth == self._level and self._begun is None:
            self._begun, self._begun_line, self._deepest = at, self.line, self._depth
        elif mark == b"[" and self._depth == 0:
            self._level = 1
        elif mark == b"[" and self._depth == 1 and self._level == 0:
            named = _NAMED.search(self._held, max(0, at - 200), at)
            if named is not None and named[1] in self._into:
                self._level, self._begun = 2, None
        self._depth += 1
        self._deepest = max(self._deepest, self._depth)

    def _close(self, mark: bytes) -> tuple[int, bytes, bool] | None:
        self._depth = max(0, self._depth - 1)
        if mark == b"}" and self._begun is not None and self._depth == self._level:
            raw, self._begun = bytes(self._held[self._begun : self._at]), None
            return self._begun_line, raw, self._deepest - self._level > MOST_DEPTH
        if mark == b"]" and self._depth < self._level:
            # What follows a list under a name, up to the end of its object, is no record.
            self._level = 0
        return None

    def _let_go(self) -> None:
        """Forget what is behind; a record that never ends is given up."""
        keep = self._begun if self._begun is not None else max(0, self._at - 200)
        if self._at - keep > MOST_LINE:
            raise BadInput(
                f"the JSON object that begins on line {self._begun_line} is longer than {MOST_LINE:,} bytes",
                remedy="Export as JSON lines, one record in a line.",
            )
        del self._held[:keep]
        self._at -= keep
        if self._begun is not None:
            self._begun = 0
