"""The strict reader: what is refused before anybody acts on it, and that splits of the bytes change nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.gateway.request import Heads, Refusal, Request, RequestReader
from baseload.settings import Limits

HOST = b"Host: a\r\n"
POST = b"POST /x HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = POST + b"Content-Length: 3\r\n\r\nabc"
LIMITS = Limits(body_bytes=1000)


def read(*parts: bytes, limits: Limits = LIMITS) -> list[Request | Refusal]:
    reader = RequestReader(limits)
    for part in parts:
        reader.feed(part)
    return list(reader.ready)


REFUSED = {
    "bare LF after the request line": (b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400),
    "bare LF after a field": (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
    "bare LF at the end of the head": (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    "bare CR in a value": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n", 400),
    "NUL in a value": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n", 400),
    "obs-fold": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 400),
    "space before the colon": (b"GET / HTTP/1.1\r\n" + HOST + b"X : a\r\n\r\n", 400),
    "no field name": (b"GET / HTTP/1.1\r\n" + HOST + b": a\r\n\r\n", 400),
    "space in a target": (b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "no such protocol": (b"GET / FOO/1.1\r\n" + HOST + b"\r\n", 400),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    "the HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "an unknown method": (b"FETCH / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a tunnel": (b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    "an upgrade": (b"GET / HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", 501),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "signed length": (POST + b"Content-Length: +3\r\n\r\nabc", 400),
    "negative length": (POST + b"Content-Length: -3\r\n\r\nabc", 400),
    "hexadecimal length": (POST + b"Content-Length: 0x3\r\n\r\nabc", 400),
    "length that is none": (POST + b"Content-Length: abc\r\n\r\nabc", 400),
    "empty length": (POST + b"Content-Length:\r\n\r\nabc", 400),
    "length twice, the same": (POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    "length twice, different": (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
    "length as a list": (POST + b"Content-Length: 3, 3\r\n\r\nabc", 400),
    "length beyond 64 bits": (POST + b"Content-Length: 99999999999999999999\r\n\r\nabc", 400),
    "length, then coding": (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "coding, then length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
    "coding, spaced": (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "coding, folded": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "coding, vertical tab": (POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "coding, unknown": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "coding, identity": (POST + b"Transfer-Encoding: identity\r\n\r\nabc", 400),
    "coding, quoted": (POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 400),
    "coding, a list": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "coding, twice": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "coding, split over fields": (
        POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "coding on HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunk size with bare LF": (CHUNKED + b"3\nabc\r\n0\r\n\r\n", 400),
    "chunk longer than said": (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", 400),
    "chunk size with 0x": (CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk size signed": (CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk size, spaced": (CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n", 400),
    "chunk size beyond 64 bits": (CHUNKED + b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n", 400),
    "chunk extension with bare LF": (CHUNKED + b'3;a="\n"\r\nabc\r\n0\r\n\r\n', 400),
    "a length among the trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n", 400),
    "chunks that end with bare LF": (CHUNKED + b"3\r\nabc\r\n0\r\n\n", 400),
    "head over 32 KB in one field": (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 33_000 + b"\r\n\r\n", 431),
    "head over 32 KB in its target": (b"GET /" + b"a" * 33_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 431),
    "head over 32 KB in all": (b"GET / HTTP/1.1\r\n" + HOST + (b"X: " + b"a" * 1_000 + b"\r\n") * 40 + b"\r\n", 431),
    "head over 100 fields": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 100 + b"\r\n", 431),
    "body over the limit, declared": (POST + b"Content-Length: 1001\r\n\r\n", 413),
    "body over the limit, in chunks": (CHUNKED + (b"1f4\r\n" + b"a" * 500 + b"\r\n") * 3 + b"0\r\n\r\n", 413),
    "body over the limit, in trailers": (CHUNKED + b"0\r\n" + b"X: " + b"a" * 1_001 + b"\r\n\r\n", 413),
    "an expectation nobody can meet": (POST + b"Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", 417),
}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("size", [0, 1], ids=["at once", "byte by byte"])
def test_refused(data: bytes, status: int, size: int) -> None:
    parts = [data[at : at + size] for at in range(len(data))] if size else [data]
    (found,) = read(*parts)
    assert isinstance(found, Refusal), found
    assert found.status == status


ACCEPTED = {
    "a length": (WHOLE, b"abc"),
    "a length of nothing": (POST + b"Content-Length: 0\r\n\r\n", b""),
    "neither": (POST + b"\r\n", b""),
    "chunks": (CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde"),
    "chunks and a trailer": (CHUNKED + b"3\r\nabc\r\n0\r\nHost: evil\r\n\r\n", b"abc"),
    "another case": (POST + b"TRANSFER-ENCODING: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
    "blank lines before": (b"\r\n\r\n" + WHOLE, b"abc"),
    "a hundred fields": (POST + b"X: a\r\n" * 98 + b"Content-Length: 3\r\n\r\nabc", b"abc"),
    "a body at the limit": (POST + b"Content-Length: 1000\r\n\r\n" + b"a" * 1000, b"a" * 1000),
}


@pytest.mark.parametrize(("data", "body"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(data: bytes, body: bytes) -> None:
    (found,) = read(data)
    assert isinstance(found, Request), found
    assert (found.method, found.path, found.body, found.keep_alive, found.http_1_0) == ("POST", "/x", body, True, False)
    assert [value for name, value in found.headers if name == b"host"] == [b"a"], "a trailer is no header"


@pytest.mark.parametrize(
    ("line", "keep_alive", "http_1_0"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n", True, False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", False, False),
        (b"GET / HTTP/1.0\r\n", False, True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", True, True),
    ],
)
def test_who_closes(line: bytes, keep_alive: bool, http_1_0: bool) -> None:
    (found,) = read(line + b"\r\n")
    assert (found.keep_alive, found.http_1_0) == (keep_alive, http_1_0)


def test_after_the_last_request_nothing_is_read() -> None:
    assert len(read(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")) == 1


def test_a_refusal_stands_behind_what_came_whole_and_ends_it() -> None:
    first, second = read(WHOLE + b"nonsense\r\n\r\n" + WHOLE)
    assert isinstance(first, Request)
    assert isinstance(second, Refusal)


def test_memory_of_an_endless_head_is_bounded() -> None:
    reader = RequestReader(Limits())
    reader.feed(b"GET / HTTP/1.1\r\nX: ")
    fed = 0
    while not reader.ready:
        reader.feed(b"a" * 1000)
        fed += 1000
        assert fed < 40_000
    assert reader.ready[0].status == 431


def told(items: list[Request | Refusal]) -> list[object]:
    """What was read, but for the field that says how long a body is."""
    return [
        (item.method, item.target, [f for f in item.headers if f[0] != b"content-length"], item.body, item.keep_alive)
        if isinstance(item, Request)
        else item
        for item in items
    ]


@given(
    requests=st.lists(st.sampled_from([data for data, _ in ACCEPTED.values()]), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 5000), max_size=12),
)
def test_any_split_of_pipelined_requests_reads_the_same(requests: list[bytes], cuts: list[int]) -> None:
    data = b"".join(requests)
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    assert told(read(*(data[a:b] for a, b in pairwise(places)))) == told(read(data))
    assert len(read(data)) == len(requests)


@given(requests=st.lists(st.sampled_from([data for data, _ in ACCEPTED.values()]), min_size=1, max_size=8))
def test_a_head_that_came_before_means_the_same(requests: list[bytes]) -> None:
    heads = Heads()
    readers = [RequestReader(Limits(), heads=heads) for _ in range(2)]
    for data in requests:
        for reader in readers:
            reader.feed(data)
    for reader in readers:
        assert told(list(reader.ready)) == told([each for data in requests for each in read(data)])


KNOWN = b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: %b\r\nX-Team: a\r\n\r\n%b"


@pytest.mark.parametrize(
    ("length", "body", "status"),
    [
        (b"3", b"abc", None),
        (b"0", b"", None),
        (b"+3", b"abc", 400),
        (b"3,3", b"abc", 400),
        (b"0x3", b"abc", 400),
        (b"", b"abc", 400),
        (b"99999999999999999999", b"abc", 400),
        (b"999999999", b"abc", 413),
        (b"3\r\nContent-Length: 4", b"abcd", 400),
        (b"3\r\nTransfer-Encoding: chunked", b"abc", 400),
    ],
)
def test_a_known_head_with_another_length(length: bytes, body: bytes, status: int | None) -> None:
    reader = RequestReader(Limits())
    reader.feed(KNOWN % (b"5", b"first"))
    reader.feed(KNOWN % (length, body))
    first, second = reader.ready
    assert isinstance(first, Request)
    if status is None:
        assert isinstance(second, Request)
        assert (second.body, second.head) == (body, first.head)
    else:
        assert isinstance(second, Refusal)
        assert second.status == status


def test_a_known_head_whose_body_comes_later_or_with_the_next_request() -> None:
    reader = RequestReader(Limits())
    reader.feed(KNOWN % (b"5", b"first"))
    reader.feed(KNOWN % (b"6", b"sec"))
    reader.feed(b"ond" + KNOWN % (b"5", b"third") + KNOWN % (b"2", b"4t"))
    assert [item.body for item in reader.ready if isinstance(item, Request)] == [b"first", b"second", b"third", b"4t"]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_garbage_never_raises(data: bytes, cuts: list[int]) -> None:
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    read(*(data[a:b] for a, b in pairwise(places)))
