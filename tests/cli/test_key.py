"""`baseload key` as a person types it."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from baseload.cli.main import main
from baseload.configuration import read_settings
from baseload.gateway.keyfile import KeyFile, hash_of

CONFIG = """
data_dir: {data}
upstreams: [{{name: a, base_url: 'http://x', api_key: '${{NOT_SET}}'}}]
policy: {{routes: []}}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch):
    """A working directory with a configuration whose provider key is not set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NOT_SET", raising=False)
    (tmp_path / "baseload.yaml").write_text(CONFIG.format(data=tmp_path / "data"))
    return tmp_path


@pytest.fixture
def baseload(monkeypatch, capsys):
    def run(line, code=0):
        monkeypatch.setattr(sys, "argv", ["baseload", *shlex.split(line)])
        found = 0
        try:
            main()
        except SystemExit as ended:
            found = ended.code or 0
        said = capsys.readouterr()
        assert found == code, said.err
        return said

    return run


def test_a_secret_is_shown_once(place, baseload):
    said = baseload("key create web --team shop --tag feature=search --model 'gpt-5*' --expires 90d")
    token = said.out.strip()
    assert re.fullmatch(r"bl-[0-9a-f]{8}-[0-9a-f]{64}", token)
    assert token not in said.err
    (key,) = KeyFile(place / "data").read()
    assert key.hash == hash_of(token)
    assert (key.name, key.team, key.tags, key.models) == ("web", "shop", {"feature": "search"}, ("gpt-5*",))
    assert (key.expires - key.created).days == 90
    secret = token.rpartition("-")[2]
    for line in ("key list", "key list --json", "key show web", "key show web --json", "key revoke web"):
        shown = baseload(line)
        assert secret not in shown.out + shown.err
        assert key.hash not in shown.out + shown.err


def test_a_list_says_what_each_may_and_whether_it_does(place, baseload):
    assert "no keys in" in baseload("key list").out
    baseload("key create web --residency eu --scope embeddings --scope admin")
    baseload("key create old --expires 2020-01-01")
    baseload("key create gone")
    baseload("key revoke gone")
    listed = baseload("key list").out
    assert re.search(r"web .* admin, embeddings, in eu +in force", listed)
    assert re.search(r"old .* anything +expired 2020-01-01", listed)
    assert re.search(r"gone .* revoked", listed)
    document = json.loads(baseload("key list --json").out)
    assert document["schema"] == "baseload.key.list/1"
    assert [key["state"] for key in document["keys"]] == ["in force", "expired 2020-01-01", "revoked"]


def test_a_rotation_shows_another_secret(place, baseload):
    first = json.loads(baseload("key create web --json").out)
    second = json.loads(baseload("key rotate web --grace 2h --json").out)
    assert second["token"] != first["token"]
    assert second["key"]["prefix"] == first["key"]["prefix"]
    assert "stays good until" in baseload(f"key rotate {first['key']['prefix']}").err


def test_an_entry_for_the_configuration_is_kept_nowhere_and_read_as_it_is(place, baseload, monkeypatch):
    token, entry = baseload("key create ci --project builds --scope chat --for-config").out.splitlines()
    assert KeyFile(place / "data").read() == ()
    path = place / "baseload.yaml"
    path.write_text(path.read_text() + f"keys:\n{entry}\n")
    (key,) = read_settings(path, {"NOT_SET": ""}).keys
    assert (key.hash, key.name, key.project) == (hash_of(token), "ci", "builds")
    assert "ci" in baseload("key list").out
    assert "two keys are called 'ci'" in baseload("key create ci", code=2).err


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("key create web --scope everything", "--scope is one of chat, responses"),
        ("key create web --expires soon", "'soon' is no time"),
        ("key create web --tag nonsense", "is no tag"),
        ("key rotate web", "is called 'web'"),
        ("key rotate web --grace never", "'never' is no time"),
        ("key show web", "is called 'web'"),
        ("key list --config nowhere.yaml", "there is no nowhere.yaml"),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(place, baseload, line, says):
    said = baseload(line, code=2)
    assert says in said.err
    assert " next: " in said.err


def test_without_a_configuration_the_keys_stand_at_home(tmp_path, baseload, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BASELOAD_HOME", str(tmp_path / "home"))
    baseload("key create web")
    assert [key.name for key in KeyFile(tmp_path / "home").read()] == ["web"]
