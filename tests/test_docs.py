"""The documentation is true: fresh where it is generated, whole where it lists, and its links and examples work."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from typer.core import TyperOption

import baseload

ROOT = Path(__file__).parent.parent
GENERATOR = ROOT / "docs" / "reference" / "generate.py"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
ONE_PAGE = 60


def _load(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _load(GENERATOR)
VERBS = reference.verbs()


def _named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", reference.pages(), ids=_named)
def test_the_reference_is_what_the_code_says(path):
    assert path.read_text(encoding="utf-8") == reference.pages()[path], "stale: run `make docs`"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_option_says_what_it_does(verb):
    silent = [each.name for each in VERBS[verb].params if not each.help]
    assert VERBS[verb].help
    assert silent == []


@pytest.mark.parametrize("struct", reference.structs(), ids=lambda struct: struct.__name__)
def test_every_setting_is_explained(struct):
    explained = set(re.findall(r"`(\w+)`", inspect.getdoc(struct) or ""))
    assert set(struct.__struct_fields__) <= explained


def _anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_links_inside_the_repository_lead_somewhere(page):
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        reached = (page.parent / file).resolve() if file else page
        if not reached.exists() or (anchor and anchor not in _anchors(reached.read_text(encoding="utf-8"))):
            dead.append(target)
    assert dead == []


def _blocks(language: str) -> list[tuple[str, str]]:
    """Fenced code of one language on every page: where it stands, and the code."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        found += [(f"{_named(page)}:{text[: block.start()].count(chr(10)) + 1}", block[1]) for block in blocks]
    return found


def test_python_on_a_page_runs():
    for place, code in _blocks("python"):
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{place}\n{done.stderr}"


def _commands() -> list[tuple[str, list[str]]]:
    """What pages tell a reader to type: the lines of shell blocks, and those after a prompt in transcripts."""
    lines = []
    for place, code in (*_blocks("sh"), *_blocks("console")):
        typed = re.findall(r"^\$ (.*)$", code, re.MULTILINE) or code.splitlines()
        lines += [(place, shlex.split(line, comments=True)) for line in typed]
    return [(place, words) for place, words in lines if words]


def test_every_command_on_a_page_exists():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    unknown = []
    for place, words in _commands():
        if words[0] == "make" and not set(words[1:2]) <= targets:
            unknown.append((place, words))
        if words[0] == "baseload" and not _is_known(words[1:]):
            unknown.append((place, words))
    assert unknown == []


def _is_known(words: list[str]) -> bool:
    """Whether a verb exists and has every option that is given to it."""
    if words in (["--help"], ["--version"], []):
        return True
    verb = " ".join(words[:2]) if " ".join(words[:2]) in VERBS else words[0]
    if verb not in VERBS:
        return False
    options = [each for each in VERBS[verb].params if isinstance(each, TyperOption)]
    known = {"--help", "-h", *(name for each in options for name in (*each.opts, *each.secondary_opts))}
    return {word.partition("=")[0] for word in words[1:] if word.startswith("-")} <= known


def test_the_check_of_commands_can_fail():
    assert _is_known(["decide", "--input", "300M", "--json"])
    assert not _is_known(["decide", "--inptu", "300M"])
    assert not _is_known(["deicde"])
    assert _is_known(["price", "gpt-5.5", "--input", "1M"])
    assert _is_known(["gpu", "compare", "h100-80gb", "--hours", "400"])
    assert not _is_known(["gpu", "compare", "h100-80gb", "--input", "1M"])
    assert not _is_known(["gpu", "campare"])


def test_the_changelog_knows_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {baseload.__version__}" in text or "## Unreleased" in text
    assert f'version = "{baseload.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_decisions_are_numbered_in_order_and_listed():
    assert [path.name[:3] for path in DECISIONS] == [f"{number:03}" for number in range(1, len(DECISIONS) + 1)]
    listed = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in DECISIONS if f"decisions/{path.name}" not in listed] == []


@pytest.mark.parametrize("path", DECISIONS, ids=_named)
def test_a_decision_is_one_page_with_its_reasons(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# {int(path.name[:3])}. ")
    assert {"## Decided", "## Why", "## Rejected"} <= set(text.splitlines())
    assert len(text.splitlines()) <= ONE_PAGE
