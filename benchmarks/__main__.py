"""`python -m benchmarks [--quick] [--json]`: every subject, one after the other, each in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

for path in sorted(Path(__file__).parent.glob("*.py")):
    if path.stem not in {"__main__", "frame", "peers", "traffic", "usage_peers"}:
        subprocess.run([sys.executable, "-m", f"benchmarks.{path.stem}", *sys.argv[1:]], check=True)
