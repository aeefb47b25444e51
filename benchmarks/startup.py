"""Start-up: `import baseload` and `baseload --help` beside a bare interpreter, as whole processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.frame import Figure, beside, run

COMMANDS = {
    "import baseload": ["-c", "import baseload"],
    "baseload --version": ["-m", "baseload", "--version"],
    "baseload --help": ["-m", "baseload", "--help"],
}


def process(*words: str) -> None:
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)


def measure(quick: bool) -> Iterator[Figure]:
    for name, words in COMMANDS.items():
        yield from beside(
            name,
            lambda words=words: process(*words),
            "bare python",
            lambda: process("-c", ""),
            rounds=3 if quick else 30,
        )


if __name__ == "__main__":
    run(__doc__, measure)
