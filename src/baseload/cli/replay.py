"""`baseload replay`. Acts."""

from __future__ import annotations


def command() -> None:
    """Not wired yet."""
