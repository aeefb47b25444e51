"""The file of keys: whole or not at all, whoever writes at once, and never a secret in it."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from baseload.errors import BadConfig, BadInput
from baseload.gateway.keyfile import KeyFile, hash_of, mint
from baseload.policy.keys import ClientKey

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
TEMPLATE = mint(at=AT).key


def wanted(**fields: object) -> ClientKey:
    return msgspec.structs.replace(TEMPLATE, **fields)


def test_a_key_is_shown_once_and_kept_as_a_hash(tmp_path: Path):
    made = KeyFile(tmp_path / "new").create(wanted(name="web", team="shop"), at=AT)
    assert re.fullmatch(rf"bl-{made.key.prefix}-[0-9a-f]{{64}}", made.token)
    assert (made.key.name, made.key.team, made.key.created) == ("web", "shop", AT)
    text = (tmp_path / "new" / "keys.json").read_text()
    assert hash_of(made.token) in text
    assert made.token not in text
    assert made.token.rpartition("-")[2] not in text
    assert made.token not in repr(made)
    assert KeyFile(tmp_path / "new").read() == (made.key,)


def test_the_file_is_its_owners_alone(tmp_path: Path):
    file = KeyFile(tmp_path)
    file.create(wanted(name="web"), at=AT)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_no_two_keys_are_alike(tmp_path: Path):
    file = KeyFile(tmp_path)
    made = [file.create(wanted(name=f"k{n}"), at=AT) for n in range(20)]
    assert len({each.token for each in made} | {each.key.prefix for each in made}) == 40
    with pytest.raises(BadConfig, match="two keys are called 'k3'"):
        file.create(wanted(name="k3"), at=AT)
    with pytest.raises(BadConfig, match="two keys are called 'other'"):
        file.create(wanted(name="other"), at=AT, beside=[wanted(name="other")])
    assert len(file.read()) == 20


def test_a_rotation_keeps_the_key_and_the_former_secret_for_a_while(tmp_path: Path):
    file = KeyFile(tmp_path)
    first = file.create(wanted(name="web"), at=AT)
    second = file.rotate("web", at=AT, grace=timedelta(hours=1))
    assert second.key.prefix == first.key.prefix
    assert second.token != first.token
    assert (second.key.hash, second.key.former_hash) == (hash_of(second.token), hash_of(first.token))
    assert second.key.former_until == AT + timedelta(hours=1)
    at_once = file.rotate(f"bl-{first.key.prefix}", at=AT, grace=timedelta(0))
    assert (at_once.key.former_hash, at_once.key.former_until) == (None, None)
    assert file.read() == (at_once.key,)


def test_a_revoked_key_stays_in_the_file(tmp_path: Path):
    file = KeyFile(tmp_path)
    made = file.create(wanted(name="web"), at=AT)
    for name in (made.key.prefix, "web"):
        assert file.revoke(name).disabled
    assert [key.disabled for key in file.read()] == [True]


def test_a_key_that_is_good_no_more_gets_no_other_secret(tmp_path: Path):
    file = KeyFile(tmp_path)
    file.create(wanted(name="web"), at=AT)
    file.create(wanted(name="brief", expires=AT), at=AT - timedelta(hours=1))
    file.revoke("web")
    before = file.read()
    for name, says in (("web", "is revoked"), ("brief", "is expired")):
        with pytest.raises(BadConfig, match=says):
            file.rotate(name, at=AT)
    assert file.read() == before
    with pytest.raises(BadInput, match="is called 'nobody'"):
        file.revoke("nobody")


BROKEN = {
    "empty": "",
    "not JSON": "{",
    "another document": '{"calls": []}',
    "another schema": '{"schema": "baseload.keys/9", "keys": []}',
    "a key with a secret": json.dumps({"schema": "baseload.keys/1", "keys": [{"prefix": "00000000", "secret": "x"}]}),
    "not text": b"\xff\xfe",
    "without end": "[" * 10_000,
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named_and_left_alone(tmp_path: Path, case: str):
    content = BROKEN[case] if isinstance(BROKEN[case], bytes) else BROKEN[case].encode()
    file = KeyFile(tmp_path)
    file.path.write_bytes(content)
    for attempt in (file.read, lambda: file.create(wanted(name="web"), at=AT), lambda: file.revoke("web")):
        with pytest.raises(BadConfig, match=r"keys\.json"):
            attempt()
    assert file.path.read_bytes() == content


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "data").write_text("a file in its place")
    with pytest.raises(BadConfig, match="cannot write"):
        KeyFile(tmp_path / "data").create(wanted(name="web"), at=AT)


def test_processes_that_make_keys_at_once_all_do(tmp_path: Path):
    script = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from baseload.gateway.keyfile import KeyFile, mint
import msgspec
for n in range(10):
    at = datetime.now(UTC)
    template = msgspec.structs.replace(mint(at=at).key, name=f"{sys.argv[2]}-{n}")
    KeyFile(Path(sys.argv[1])).create(template, at=at)
"""
    writers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(n)]) for n in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert {key.name for key in KeyFile(tmp_path).read()} == {f"{n}-{m}" for n in range(4) for m in range(10)}
