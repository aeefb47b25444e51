"""Bodies that came compressed although they were asked for plain. No I/O."""

from __future__ import annotations

import zlib

PLAIN_BYTES = 64 * 1024 * 1024
"""The longest body that is unpacked."""

_ZLIB = (b"gzip", b"x-gzip", b"deflate")
_EITHER_WRAPPER = 32 + zlib.MAX_WBITS


def is_plain(coding: bytes) -> bool:
    """Whether a content-encoding leaves the body as it is."""
    return coding.strip().lower() in (b"", b"identity")


def plain(body: bytes, coding: bytes) -> bytes | None:
    """A body without its content-encoding; None when that is unknown, the body broken or longer than PLAIN_BYTES."""
    if not coding or is_plain(coding):
        return body
    if coding.strip().lower() not in _ZLIB:
        return None
    unpacking = zlib.decompressobj(_EITHER_WRAPPER)
    try:
        unpacked = unpacking.decompress(body, PLAIN_BYTES)
    except zlib.error:
        return None
    return unpacked if unpacking.eof else None
