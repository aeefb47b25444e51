"""A model of chance in a file: a real engine loads it, and answers nonsense at an engine's pace."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

# GGUF version 3, as llama.cpp's own documentation describes it (docs/gguf.md, read 2026-11): types of a value ...
U32, I32, F32, TEXT, LIST = 4, 5, 6, 8, 9
# ... of a tensor, and of a token.
AS_F32, AS_F16 = 0, 1
UNKNOWN, CONTROL, BYTE = 2, 3, 6
ALIGNED = 32


def write_tiny_model(path: Path, *, width: int = 256, layers: int = 4, heads: int = 4, context: int = 8192) -> None:
    """Write a llama of random weights whose tokens are single bytes (2.8 million parameters, 5.5 MB)."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256]
    meta = [
        _pair("general.architecture", TEXT, _text("llama")),
        _pair("llama.context_length", U32, _u32(context)),
        _pair("llama.embedding_length", U32, _u32(width)),
        _pair("llama.block_count", U32, _u32(layers)),
        _pair("llama.feed_forward_length", U32, _u32(2 * width)),
        _pair("llama.attention.head_count", U32, _u32(heads)),
        _pair("llama.rope.dimension_count", U32, _u32(width // heads)),
        _pair("llama.attention.layer_norm_rms_epsilon", F32, struct.pack("<f", 1e-5)),
        _pair("general.file_type", U32, _u32(AS_F16)),
        _pair("tokenizer.ggml.model", TEXT, _text("llama")),
        _pair("tokenizer.ggml.tokens", LIST, _list(TEXT, [_text(token) for token in tokens])),
        _pair("tokenizer.ggml.scores", LIST, _list(F32, [struct.pack("<f", 0.0)] * len(tokens))),
        _pair("tokenizer.ggml.token_type", LIST, _list(I32, [struct.pack("<i", kind) for kind in kinds])),
        _pair("tokenizer.ggml.bos_token_id", U32, _u32(1)),
        _pair("tokenizer.ggml.eos_token_id", U32, _u32(2)),
    ]
    infos, data, offset = b"", [], 0
    for name, shape in _tensors(width, layers, len(tokens)):
        values = _values(shape)
        kind = AS_F16 if len(shape) > 1 else AS_F32
        sizes = b"".join(struct.pack("<Q", size) for size in reversed(shape))
        infos += _text(name) + _u32(len(shape)) + sizes + struct.pack("<IQ", kind, offset)
        data.append(values + b"\0" * (-len(values) % ALIGNED))
        offset += len(data[-1])
    head = b"GGUF" + struct.pack("<IQQ", 3, len(data), len(meta)) + b"".join(meta) + infos
    path.write_bytes(head + b"\0" * (-len(head) % ALIGNED) + b"".join(data))


def _tensors(width: int, layers: int, tokens: int) -> list[tuple[str, tuple[int, ...]]]:
    found: list[tuple[str, tuple[int, ...]]] = [
        ("token_embd.weight", (tokens, width)),
        ("output_norm.weight", (width,)),
        ("output.weight", (tokens, width)),
    ]
    for layer in range(layers):
        inside = {f"attn_{part}": (width, width) for part in ("q", "k", "v", "output")}
        inside |= {"ffn_gate": (2 * width, width), "ffn_up": (2 * width, width), "ffn_down": (width, 2 * width)}
        norms = {"attn_norm": (width,), "ffn_norm": (width,)}
        found += [(f"blk.{layer}.{name}.weight", shape) for name, shape in (inside | norms).items()]
    return found


def _values(shape: tuple[int, ...]) -> bytes:
    """Ones for a norm; for a matrix halves of small random numbers, of which one row of chance is used again."""
    if len(shape) == 1:
        return struct.pack("<f", 1.0) * shape[0]
    rows, columns = shape
    chance = Random(rows * 7919 + columns)  # noqa: S311 - weights, not secrets
    pool = struct.pack(f"<{columns + 997}e", *(chance.gauss(0, 0.05) for _ in range(columns + 997)))
    starts = [2 * chance.randrange(997) for _ in range(rows)]
    return b"".join(pool[start : start + 2 * columns] for start in starts)


def _u32(number: int) -> bytes:
    return struct.pack("<I", number)


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _pair(key: str, kind: int, value: bytes) -> bytes:
    return _text(key) + _u32(kind) + value


def _list(kind: int, items: list[bytes]) -> bytes:
    return struct.pack("<IQ", kind, len(items)) + b"".join(items)
