"""Names of calls, never used before. Acts (draws chance)."""

from __future__ import annotations

import os
import random

# Names are no secrets: a generator with a seed of its own in each process is unlikely enough to repeat, and costs no
# call to the kernel.
_draw = random.Random(os.urandom(16)).getrandbits  # noqa: S311


def new_id(at_ns: int) -> str:
    """A name for something that begins at a moment, in nanoseconds since the epoch: names sort by it.

    >>> len(new_id(1_795_000_000_000_000_000))
    32
    """
    return f"{at_ns:016x}{_draw(64):016x}"
