"""What is committed works anywhere: exact pins with hashes, no registry named, no path of one machine."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = "\n".join((ROOT / name).read_text().strip() for name in ("requirements.lock", "requirements-spark.lock"))

# Put together from parts, so that this file does not name them either.
FORBIDDEN = (
    "py" + "pi.org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "deb." + "debian.org",
    "/work" + "/",
    "../" + "shared",
)


def locked() -> dict[str, list[Requirement]]:
    """The pins by name; a name may have several, for different versions of Python."""
    pins: dict[str, list[Requirement]] = {}
    for line in re.findall(r"^([A-Za-z0-9][^\\\n]*?) *\\?$", LOCK, re.MULTILINE):
        pin = Requirement(line)
        pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    return pins


def declared() -> list[Requirement]:
    project = PROJECT["project"]
    everything = [*project["dependencies"], *PROJECT["build-system"]["requires"]]
    for extra in project["optional-dependencies"].values():
        everything += extra
    return [Requirement(each) for each in everything]


def files() -> list[Path]:
    """Every file that is, or is about to be, committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_every_pin_is_exact_and_hashed():
    entries = re.split(r"\n(?=\S)", LOCK.strip())
    assert len(entries) == sum(len(pins) for pins in locked().values())
    for entry in entries:
        assert re.match(r"[\w.-]+==[\w.]+ ", entry), entry.splitlines()[0]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry.splitlines()[0]


@pytest.mark.parametrize("wanted", declared(), ids=str)
def test_the_lock_satisfies_what_the_project_declares(wanted):
    pins = locked()[canonicalize_name(wanted.name)]
    assert all(wanted.specifier.contains(next(iter(pin.specifier)).version) for pin in pins)


def test_the_tests_run_on_what_is_pinned():
    here = {
        name: next(iter(pin.specifier)).version
        for name, pins in locked().items()
        for pin in pins
        if pin.marker is None or pin.marker.evaluate()
    }
    assert {name: version(name) for name in here} == here


def test_no_file_names_a_registry_or_a_place_on_one_machine():
    found = []
    for path in files():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        found += [f"{path.relative_to(ROOT)} names {each}" for each in FORBIDDEN if each in text]
    assert found == []


def test_the_lock_names_no_place_to_fetch_from():
    assert not re.search(r"://|--index|--find-links|--extra|-i ", LOCK)


def test_the_ci_script_is_a_program():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
