"""The public face is a dozen names, and looking at it loads no HTTP, no database and no other heavy library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import baseload

SOURCE = Path(baseload.__file__).parent
HEAVY = frozenset(
    {
        "anyio",
        "asyncio",
        "genai_prices",
        "httptools",
        "httpx2",
        "importlib.metadata",
        "jinja2",
        "numba",
        "numpy",
        "openai",
        "pydantic",
        "rich",
        "ruamel",
        "sqlalchemy",
        "sqlite3",
        "ssl",
        "starlette",
        "uniplot",
        "uvicorn",
        "uvloop",
    }
)
NAMES = {
    "BaseloadError",
    "Bucket",
    "Call",
    "Charge",
    "Decision",
    "Facts",
    "Offer",
    "Policy",
    "Range",
    "Usage",
    "__version__",
    "decide",
    "price",
}


def loaded(*code: str) -> set[str]:
    """The modules a fresh interpreter holds after running some lines of code."""
    script = "\n".join((*code, "import sys", "print('loaded:', *sys.modules)"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.rpartition("loaded:")[2].split())


def test_the_public_names():
    assert set(baseload.__all__) == NAMES
    assert all(hasattr(baseload, name) for name in NAMES)


def test_the_map_in_the_docstring_names_every_package():
    drawn = (baseload.__doc__ or "").split("The packages stand in one order")[1].replace("`", " ").split()
    assert {path.parent.name for path in SOURCE.glob("*/__init__.py")} <= set(drawn)


def test_importing_it_loads_nothing_heavy():
    found = loaded("import baseload")
    assert "baseload.policy.decide" in found
    assert not HEAVY & found


def _invocation(*words: str) -> str:
    """A command line run in process, whatever its exit code."""
    return f"""
import sys
from baseload.cli.main import main
sys.argv = ["baseload", *{words!r}]
try:
    main()
except SystemExit:
    pass
"""


# Help is drawn by rich, and typer reads the options of a verb with pydantic; all else waits until a verb needs it.
HELP = {"rich"}
VERB = {"rich", "pydantic", "importlib.metadata"}


@pytest.mark.parametrize(
    ("words", "allowed"),
    [(("--help",), HELP), (("--version",), set()), (("decide", "--help"), VERB), (("no-such-verb",), VERB)],
)
def test_looking_at_the_command_line_loads_nothing_heavy(words, allowed):
    assert sorted((HEAVY - allowed) & loaded(_invocation(*words))) == []
