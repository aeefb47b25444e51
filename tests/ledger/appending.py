"""A worker that appends calls and says, on stdout, which ones are acknowledged. The tests run it, and kill it.

python appending.py DIRECTORY PREFIX [draining | CREW]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from baseload.ledger.drain import Drain
from baseload.ledger.hot import open_store
from baseload.ledger.spool import Spool
from samples import call


def main(directory: Path, prefix: str, *how: str) -> None:
    crew = next((each for each in how if each != "draining"), "")
    spool = Spool(directory, crew=crew, segment_bytes=200_000)
    if "draining" in how:
        Drain(directory, open_store(directory), interval_seconds=0.002).start()
    for number in range(10**9):
        name = f"{prefix}-{number}"
        spool.append(call(name))
        os.write(1, f"{name}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
