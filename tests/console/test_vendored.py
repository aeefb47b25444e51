"""What is carried from others is what VENDORED.json says it is, and asks nothing of any other host."""

import hashlib
import json
import re
from pathlib import Path

import baseload.console

FOLDER = Path(baseload.console.__file__).parent
VENDOR = FOLDER / "static" / "vendor"
LISTED = json.loads((VENDOR / "VENDORED.json").read_text())["files"]
# Names of XML namespaces, which nobody fetches.
NAMESPACES = re.compile(r"http://www\.w3\.org/[\w/]+")


def test_every_file_is_listed_and_unchanged():
    found = {path.name for path in VENDOR.iterdir()} - {"VENDORED.json", "LICENCES.txt"}
    assert found == {entry["file"] for entry in LISTED}
    for entry in LISTED:
        assert hashlib.sha256((VENDOR / entry["file"]).read_bytes()).hexdigest() == entry["sha256"], entry["file"]


def test_every_licence_is_carried():
    texts = (VENDOR / "LICENCES.txt").read_text()
    for entry in LISTED:
        assert f"{entry['package'].removeprefix('@picocss/').replace('pico', 'Pico CSS')} {entry['version']}" in texts


def test_our_own_assets_name_no_host():
    for path in [*FOLDER.glob("static/*"), *FOLDER.glob("templates/*")]:
        if path.is_file():
            assert not re.search(r"(?:https?:)?//[a-z]", NAMESPACES.sub("", path.read_text()).replace("{{", "")), path
