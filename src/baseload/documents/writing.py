"""Files written whole or not at all. Acts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import StringIO
from pathlib import Path


def write_yaml(path: Path, document: Mapping[str, object]) -> None:
    """Write a document as YAML, keys in the order they have; whole or not at all."""
    from ruamel.yaml import YAML

    text = StringIO()
    YAML().dump(dict(document), text)
    write_whole(path, text.getvalue().encode())


def write_whole(path: Path, document: bytes) -> None:
    """Write a file whole or not at all: whoever reads it, or writes it at the same time, never meets a half.

    Raises OSError; nothing of it is then left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}.half")
    try:
        half.write_bytes(document)
        half.replace(path)
    except OSError:
        half.unlink(missing_ok=True)
        raise
