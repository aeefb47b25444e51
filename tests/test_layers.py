"""The house holds: every import points up the order of packages, and the packages that think do no input or output.

Imports are read with `ast` and counted wherever they stand: at the top, inside a function, under TYPE_CHECKING, or as
`importlib.import_module("...")`.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "baseload"

GROUND = ("errors", "units", "usage", "ranges", "clock")
THINKS = ("catalog", "cost", "load", "wire", "capacity", "policy", "sim", "audit", "plan")
ACTS = (
    "home",
    "upstreams",
    "settings",
    "configuration",
    "pricebooks",
    "documents",
    "child",
    "client",
    "ledger",
    "imports",
    "measure",
    "gateway",
    "exports",
    "console",
    "report",
    "cli",
)
# `baseload/__init__.py`, the public face, shows what thinks; the rest of the house asks it for nothing but the version.
FACE, ENTRY = "baseload", "__main__"
ORDER = (*GROUND, *THINKS, FACE, *ACTS, ENTRY)

# All that thinking code may import from outside. Anything else could be a clock, a file, a socket, the environment or
# chance. `genai_prices.types` holds the plain values that the market book is converted from; numba compiles arithmetic.
PURE_MODULES = """
    __future__ abc base64 bisect collections collections.abc contextlib copy dataclasses datetime decimal difflib enum
    fnmatch fractions functools genai_prices.types graphlib hashlib heapq itertools json math msgspec numba
    numba.extending numbers numpy numpy.typing operator re statistics string textwrap types typing unicodedata
"""
PURE_CLOCK = frozenset({"Clock", "to_ns", "from_ns", "seconds_between"})
ACTING_CALLS = frozenset({"open", "print", "input", "exec", "eval", "breakpoint", "__import__"})
ACTING_METHODS = frozenset(
    {
        "default_rng",
        "now",
        "utcnow",
        "today",
        "time_ns",
        "read_text",
        "read_bytes",
        "write_text",
        "write_bytes",
        "getenv",
        "urandom",
    }
)
SINKS = frozenset({"util", "utils", "helper", "helpers", "common", "misc", "manager", "handlers"})


class Import(NamedTuple):
    """`name` was imported from `module` (empty for a plain import) at `line`; both dotted and absolute."""

    module: str
    name: str
    line: int


class Module(NamedTuple):
    """One source file. `dotted` is its import name."""

    dotted: str
    path: Path
    tree: ast.Module

    @property
    def layer(self) -> str:
        parts = self.dotted.split(".")
        return parts[1] if len(parts) > 1 else FACE

    def at(self, line: int) -> str:
        return f"{self.path}:{line}"


def house(source: Path) -> dict[str, Module]:
    """Every module below a package folder, by import name."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = (source.name, *path.relative_to(source).with_suffix("").parts)
        dotted = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[dotted] = Module(dotted, path, ast.parse(path.read_text(), str(path)))
    return found


def imports(module: Module) -> Iterator[Import]:
    """Every import of a file, wherever it stands. A dynamic one whose target is not literal imports `?`."""
    package = module.dotted if module.path.name == "__init__.py" else module.dotted.rpartition(".")[0]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            yield from (Import(base, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) == "import_module":
            target = node.args[0] if node.args else None
            literal = isinstance(target, ast.Constant) and isinstance(target.value, str)
            yield Import(target.value if literal else "?", "", node.lineno)


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _target(each: Import, modules: dict[str, Module]) -> str:
    """The module of the house that an import reaches: `from baseload.cost import tokens` reaches the file."""
    inner = f"{each.module}.{each.name}"
    return inner if inner in modules else each.module


def _inside(each: Import) -> bool:
    return each.module.split(".")[0] == FACE


def misdirected(source: Path) -> Iterator[str]:
    """Imports that point down the order, or at something that has no place in it."""
    modules = house(source)
    for module in modules.values():
        if module.layer not in ORDER:
            yield f"{module.at(1)}: {module.layer} has no place in the order of packages"
            continue
        for each in imports(module):
            if each.module == "?":
                yield f"{module.at(each.line)}: a computed import hides its direction"
            if not _inside(each):
                continue
            target = _target(each, modules)
            layer = target.split(".")[1] if "." in target else FACE
            if layer == FACE and each.name == "__version__":
                continue
            if layer == FACE and module.layer != FACE:
                yield f"{module.at(each.line)}: import {each.name or target} from its own module, not from the face"
            elif layer not in ORDER or ORDER.index(layer) > ORDER.index(module.layer):
                yield f"{module.at(each.line)}: {module.layer} imports {target}, which stands below it"


def circles(source: Path) -> Iterator[str]:
    """Modules that import each other, at whatever distance."""
    modules = house(source)
    graph = {
        dotted: {_target(each, modules) for each in imports(module) if _inside(each)} & modules.keys() - {dotted}
        for dotted, module in modules.items()
        if dotted != FACE
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        # graphlib lists each module after one that it imports.
        circle = list(reversed(error.args[1]))
        for dotted, imported in pairwise(circle):
            module = modules[dotted]
            line = next(each.line for each in imports(module) if _inside(each) and _target(each, modules) == imported)
            yield f"{module.at(line)}: circular import {' -> '.join(circle)}"


def impure(source: Path) -> Iterator[str]:
    """Input and output in a package that thinks."""
    for module in house(source).values():
        pure = {*THINKS, *GROUND} - {"clock"}
        if module.layer not in pure:
            continue
        for each in imports(module):
            if each.module == f"{FACE}.clock" and each.name not in PURE_CLOCK:
                yield f"{module.at(each.line)}: {module.layer} thinks, but asks the clock: {each.name or each.module}"
            elif not _inside(each) and not _is_pure(each):
                yield f"{module.at(each.line)}: {module.layer} thinks, but imports {each.module}"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                named = isinstance(node.func, ast.Name)
                if _called(node) in (ACTING_CALLS if named else ACTING_METHODS):
                    yield f"{module.at(node.lineno)}: {module.layer} thinks, but calls {_called(node)}()"


def _is_pure(each: Import) -> bool:
    return bool({each.module, f"{each.module}.{each.name}"} & set(PURE_MODULES.split()))


def undeclared(source: Path) -> Iterator[str]:
    """Imports of packages that are not among the project's own dependencies."""
    declared = _declared()
    distributions = _distributions()
    for module in house(source).values():
        for each in imports(module):
            top = each.module.split(".")[0]
            if _inside(each) or top in sys.stdlib_module_names or top == "?":
                continue
            if not declared & {_normal(name) for name in distributions.get(top, ())}:
                yield f"{module.at(each.line)}: {top} is not among the dependencies in pyproject.toml"


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def _declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for name, extra in project["optional-dependencies"].items() if name != "dev" for each in extra]
    return {_normal(re.split(r"[^A-Za-z0-9._-]", each)[0]) for each in (*project["dependencies"], *extras)}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def misplaced(source: Path) -> Iterator[str]:
    """A third level of packages, and files whose name says nothing."""
    for module in house(source).values():
        below = module.path.relative_to(source)
        if len(below.parts) > 2:
            yield f"{module.at(1)}: the tree is two levels deep"
        if SINKS & set(below.with_suffix("").parts):
            yield f"{module.at(1)}: a helper lives with the noun it helps"


RULES = (misdirected, circles, impure, undeclared, misplaced)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_holds(rule):
    assert sorted(set(rule(SOURCE))) == []


def test_the_rules_read_the_whole_house():
    modules = house(SOURCE)
    assert {"baseload", "baseload.policy.decide", "baseload.cli.main"} <= modules.keys()
    assert any(
        each == Import("baseload.load.facts", "Facts", each.line) for each in imports(modules["baseload.policy.decide"])
    )


def test_every_dependency_is_used():
    used = {
        _normal(name)
        for module in house(SOURCE).values()
        for each in imports(module)
        for name in _distributions().get(each.module.split(".")[0], ())
    }
    assert _declared() - used == set()


Plant = tuple[Callable[[Path], Iterator[str]], str, str, int, str]
PLANTS: dict[str, Plant] = {
    "upward": (
        misdirected,
        "cost/x.py",
        "import re\nfrom baseload.cli.main import app\n",
        2,
        "cost imports baseload.cli",
    ),
    "upward, plain": (misdirected, "load/x.py", "import baseload.policy.policy\n", 1, "load imports baseload.policy"),
    "upward, lazy": (
        misdirected,
        "catalog/x.py",
        "def f():\n    from baseload.cost import tokens\n    return tokens\n",
        2,
        "catalog imports",
    ),
    "upward, for types": (
        misdirected,
        "plan/x.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from baseload.ledger.query import Filter\n",
        3,
        "plan imports",
    ),
    "upward, relative": (misdirected, "cost/x.py", "from ..plan import advice\n", 1, "cost imports baseload.plan"),
    "upward, importlib": (
        misdirected,
        "wire/x.py",
        "import importlib\nimportlib.import_module('baseload.gateway.chat')\n",
        2,
        "wire imports",
    ),
    "computed": (
        misdirected,
        "gateway/x.py",
        "import importlib\nimportlib.import_module(name)\n",
        2,
        "computed import",
    ),
    "through the face": (misdirected, "gateway/x.py", "from baseload import price\n", 1, "from its own module"),
    "face shows what acts": (
        misdirected,
        "__init__.py",
        "from baseload.gateway.server import Gateway\n",
        1,
        "baseload imports",
    ),
    "new package": (misdirected, "magic/x.py", "pass\n", 1, "no place in the order"),
    "ground": (misdirected, "units.py", "from baseload.usage import Usage\n", 1, "units imports baseload.usage"),
    "circle": (circles, "cost/tokens.py", "from baseload.cost import hours\n", 1, "circular import"),
    "open": (impure, "audit/x.py", "def f(path):\n    return open(path)\n", 2, "calls open()"),
    "print": (impure, "plan/x.py", "print('x')\n", 1, "calls print()"),
    "time": (impure, "policy/x.py", "def f():\n    import time\n", 2, "imports time"),
    "random": (impure, "sim/x.py", "from random import Random\n", 1, "imports random"),
    "random arrays": (impure, "plan/x.py", "import numpy.random\n", 1, "imports numpy.random"),
    "generator": (impure, "plan/x.py", "import numpy as np\nr = np.random.default_rng(1)\n", 2, "calls default_rng"),
    "environment": (impure, "capacity/x.py", "from os import environ\n", 1, "imports os"),
    "file": (impure, "cost/x.py", "import pathlib\n", 1, "imports pathlib"),
    "database": (impure, "load/x.py", "import sqlalchemy.orm\n", 1, "imports sqlalchemy"),
    "prices fetched": (impure, "catalog/x.py", "from genai_prices import UpdatePrices\n", 1, "imports genai_prices"),
    "today": (impure, "catalog/x.py", "from datetime import date\nage = date.today()\n", 2, "calls today()"),
    "now": (impure, "policy/x.py", "from datetime import UTC, datetime\nat = datetime.now(UTC)\n", 2, "calls now()"),
    "our clock": (impure, "policy/x.py", "from baseload.clock import SystemClock\n", 1, "asks the clock: SystemClock"),
    "dynamic": (impure, "wire/x.py", "import importlib\nimportlib.import_module('socket')\n", 2, "imports socket"),
    "undeclared": (undeclared, "cli/x.py", "def f():\n    import hypothesis\n", 2, "hypothesis is not among"),
    "third level": (misplaced, "cli/parts/x.py", "pass\n", 1, "two levels deep"),
    "sink": (misplaced, "cost/utils.py", "pass\n", 1, "lives with the noun"),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_violation_is_named_with_its_place(tmp_path, plant):
    rule, file, code, line, says = PLANTS[plant]
    source = tmp_path / "baseload"
    clean = {
        "__init__.py": "from baseload.cost.tokens import price\n",
        "units.py": "MILLION = 1\n",
        "cost/tokens.py": "from datetime import UTC, datetime\nfrom baseload.units import MILLION\n",
        "cost/hours.py": "from baseload.cost import tokens\nfrom baseload.clock import to_ns\n",
        "gateway/chat.py": "import time\nimport starlette\nfrom baseload.cost import tokens\nprint(time.time())\n",
    }
    for name, text in clean.items():
        _write(source / name, text)
    assert [message for each in RULES for message in each(source)] == []
    _write(source / file, code)
    place = f"{source / file}:{line}: "
    assert [message for message in rule(source) if message.startswith(place) and says in message]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
