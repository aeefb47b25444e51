"""`baseload config`: what is sound is said, what is not is named, secrets are masked, and the schema fits."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from baseload import settings
from baseload.cli.config_schema import FILE, modeline, schema
from baseload.cli.scene import bundled_trace, read_scene

ROOT = Path(__file__).parent.parent.parent
SHIPPED = Path(settings.__file__).with_name(FILE)
CHECKER = jsonschema.Draft7Validator(schema())

ROUTE = {"name": "a", "upstream": "a", "model": "m", "offer": "openai/gpt-5-mini", "success": {"judgment": 0.9}}
SOUND = {
    "upstreams": [{"name": "a", "base_url": "http://127.0.0.1:9/v1", "api_key": "${KEY}"}],
    "policy": {"routes": [ROUTE]},
}


def baseload(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "baseload", "config", *words]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


def examples() -> list[tuple[str, object]]:
    """Every whole configuration in the documentation and in the docstrings that make it, and the demo's."""
    found = []
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for page in sorted(pages):
        for block in re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
            document = YAML(typ="safe", pure=True).load(block)
            if isinstance(document, dict) and {"upstreams", "policy"} <= set(document):
                found.append((f"{page.name}: {block[:30]!r}", document))
    return found


def plain(document: object) -> object:
    """A document as JSON has it: days and moments as text."""
    return json.loads(json.dumps(document, default=str))


def test_the_schema_is_draft_7_and_ships() -> None:
    jsonschema.Draft7Validator.check_schema(schema())
    assert json.loads(SHIPPED.read_text()) == plain(schema())
    written = json.dumps(schema())
    for later in ("$defs", "prefixItems", "unevaluatedProperties", "dependentRequired"):
        assert later not in written
    done = baseload("schema")
    assert json.loads(done.stdout) == plain(schema())
    assert modeline("./schema.json") in done.stderr


def test_there_are_examples() -> None:
    assert len(examples()) >= 1


@pytest.mark.parametrize(("name", "document"), examples())
def test_every_example_fits_the_schema(name: str, document: object) -> None:
    assert [each.message for each in CHECKER.iter_errors(plain(document))] == []


def test_the_configuration_of_the_demo_fits() -> None:
    scene = read_scene()
    ports = {each.name: 9 for each in scene.simulated}
    document = scene.settings(ports, bundled_trace(), listen="127.0.0.1:0", data_dir="/nowhere", speed=60)
    assert [each.message for each in CHECKER.iter_errors(plain(document))] == []


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"workers": 3}, True),
        ({"workers": "${WORKERS}"}, True),
        ({"workers": "three"}, False),
        ({"workers": 0}, False),
        ({"log": {"format": "json", "level": "${LEVEL}"}}, True),
        ({"log": {"format": "xml"}}, False),
        ({"stop": {"grace_seconds": 2.5}}, True),
        ({"stop": {"grace": 2.5}}, False),
        ({"upstreams": [{"name": "a", "base_url": "http://a/v1", "usd_per_gpu_hour": 2.4}]}, True),
        ({"upstreams": [{"name": "a", "base_url": "http://a/v1", "usd_per_gpu_hour": "2.40"}]}, True),
        ({"upstreams": [{"name": "a", "base_url": "http://a/v1", "usd_per_gpu_hour": [2]}]}, False),
        ({"upstreams": [{"name": "a", "preset": "groq", "timeouts": {"connect": 1}}]}, True),
        ({"policy": {"routes": [{**ROUTE, "success": {"judgment": 2}}]}}, False),
        ({"listne": "127.0.0.1:1"}, False),
    ],
)
def test_what_the_schema_takes_and_what_not(change: dict[str, object], fits: bool) -> None:
    assert CHECKER.is_valid(SOUND | change) == fits


def test_a_sound_configuration_and_one_that_is_not(tmp_path: Path) -> None:
    file = tmp_path / "baseload.yaml"
    file.write_text(json.dumps(SOUND))
    done = baseload("check", "-c", str(file), KEY="secret")
    assert done.returncode == 0, done.stderr
    assert "is sound: 1 upstreams, 1 routes, policy policy@" in done.stdout
    answer = json.loads(baseload("check", "-c", str(file), "--json", KEY="secret").stdout)
    assert (answer["schema"], answer["ok"], answer["unpriced_offers"]) == ("baseload.config.check/1", True, [])
    file.write_text(json.dumps(SOUND | {"workers": "many"}))
    done = baseload("check", "-c", str(file), KEY="secret")
    assert done.returncode == 2
    assert "$.workers" in done.stderr
    done = baseload("check", "-c", str(file), KEY="")
    assert "secret" not in done.stdout + done.stderr


def test_what_is_in_force_is_shown_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "baseload.yaml"
    otel = {"endpoint": "http://127.0.0.1:4318/v1/traces", "headers": {"authorization": "otel-secret"}}
    file.write_text(json.dumps(SOUND | {"otel": otel, "admin_key": "an-admin-key-of-some-length"}))
    shown = baseload("show", "-c", str(file), KEY="key-secret")
    document = YAML(typ="safe", pure=True).load(shown.stdout)
    assert document["listen"] == "127.0.0.1:8790"
    assert document["upstreams"][0]["api_key"] == "***"
    answer = json.loads(baseload("show", "-c", str(file), "--json", KEY="key-secret").stdout)
    assert answer["config"]["workers"] == 1
    for secret in ("key-secret", "otel-secret", "an-admin-key"):
        assert secret not in shown.stdout
        assert secret not in json.dumps(answer)
