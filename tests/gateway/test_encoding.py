"""Unpacking what came compressed."""

from __future__ import annotations

import gzip
import zlib

import pytest

from baseload.gateway import encoding
from baseload.gateway.encoding import plain

TEXT = b'{"choices":[]}' * 10


@pytest.mark.parametrize(
    ("body", "coding", "expected"),
    [
        (TEXT, b"", TEXT),
        (TEXT, b"Identity", TEXT),
        (gzip.compress(TEXT), b"gzip", TEXT),
        (gzip.compress(TEXT), b" X-GZIP", TEXT),
        (zlib.compress(TEXT), b"deflate", TEXT),
        (gzip.compress(TEXT)[:-9], b"gzip", None),
        (TEXT, b"gzip", None),
        (TEXT, b"br", None),
        (gzip.compress(TEXT), b"gzip, gzip", None),
    ],
)
def test_plain(body: bytes, coding: bytes, expected: bytes | None) -> None:
    assert plain(body, coding) == expected


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "PLAIN_BYTES", 1000)
    assert plain(gzip.compress(b"x" * 1000), b"gzip") is not None
    assert plain(gzip.compress(b"x" * 1001), b"gzip") is None
