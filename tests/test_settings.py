"""A configuration is read whole or refused with the file, the field and the remedy."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from baseload import configuration, settings
from baseload.clock import ScaledClock, SystemClock, to_ns
from baseload.configuration import parse_settings, read_settings
from baseload.errors import BadConfig
from baseload.load.facts import Bucket
from baseload.settings import Settings

UPSTREAM = {"name": "acme", "base_url": "https://api.acme.example/v1"}
ROUTE = {"name": "big", "upstream": "acme", "model": "large", "offer": "acme/large", "success": {"judgment": 0.9}}
MINIMAL = {"upstreams": [UPSTREAM], "policy": {"routes": [ROUTE]}}


def parse(**changes: object) -> Settings:
    return parse_settings({**MINIMAL, **changes}, {}, origin="here.yaml")


def read(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "baseload.yaml"
    path.write_text(text, encoding="utf-8")
    return read_settings(path, {"ACME_API_KEY": "k-123", "EMPTY": ""})


def test_the_example_in_the_docstring_works(tmp_path):
    lines = (settings.__doc__ or "").splitlines()
    example = "\n".join(line.removeprefix("    ") for line in lines if line.startswith("    "))
    found = read(tmp_path, example)
    assert [upstream.name for upstream in found.upstreams] == ["acme", "pool"]
    assert found.upstreams[0].api_key == "k-123"
    assert found.upstreams[1].usd_per_gpu_hour == Decimal("2.40")
    assert found.policy.aliases == {"auto": Bucket.JUDGMENT}
    assert found.policy.routes[0].slots == 128


def test_what_is_left_out_has_a_default(monkeypatch):
    monkeypatch.delenv("BASELOAD_HOME", raising=False)
    found = parse()
    assert found.address == ("127.0.0.1", 8790)
    assert found.directory == Path("~/.local/share/baseload").expanduser()
    assert isinstance(found.clock, SystemClock)
    assert found.upstreams[0].kind == "api"


def test_prices_stay_exact_whether_quoted_or_not(tmp_path):
    text = (
        "upstreams: [{name: a, base_url: 'http://x', usd_per_gpu_hour: 2.4}]\npolicy: {routes: []}\n"
        "prices: [{offer: a/m, input: 0.1, output: '0.40'}]"
    )
    found = read(tmp_path, text)
    assert found.upstreams[0].usd_per_gpu_hour == Decimal("2.4")
    assert (found.prices[0].input, found.prices[0].output) == (Decimal("0.1"), Decimal("0.40"))


def test_replay_time_starts_a_scaled_clock_at_its_start():
    start = "2026-11-19T18:15:46+00:00"
    found = parse(replay_time={"start": start, "until": "2026-11-19T20:15:46+01:00", "speed": 60})
    clock = found.clock
    assert isinstance(clock, ScaledClock)
    assert clock.time_ns() >= to_ns(datetime(2026, 11, 19, 18, 15, 46, tzinfo=UTC))


@pytest.mark.parametrize(
    ("listen", "address"),
    [("10.0.0.7:80", ("10.0.0.7", 80)), ("[::1]:8790", ("::1", 8790)), ("localhost:0", ("localhost", 0))],
)
def test_listen(listen, address):
    assert parse(listen=listen).address == address


@pytest.mark.parametrize(
    "listen",
    [
        "8790",
        "localhost",
        "localhost:",
        ":8790",
        "localhost:http",
        "localhost:65536",
        "h:-1",
        "h:\u0661\u0662",
        "h:\u00b2",
    ],
)
def test_listen_that_is_no_address(listen):
    with pytest.raises(BadConfig) as caught:
        _ = parse(listen=listen).address
    assert repr(listen) in caught.value.message


def test_a_key_is_never_shown():
    found = parse(upstreams=[{**UPSTREAM, "api_key": "k-secret"}])
    assert "k-secret" not in repr(found)
    assert "***" in repr(found)


def _routed(**changes: object) -> dict[str, object]:
    return {"policy": {"routes": [{**ROUTE, **changes}]}}


def _supplied(**changes: object) -> dict[str, object]:
    return {"upstreams": [{**UPSTREAM, **changes}]}


def _priced(**changes: object) -> dict[str, object]:
    return {"prices": [{"offer": "a/m", "input": "1", "output": "1", **changes}]}


MOMENTS = {"start": "2026-11-19T18:00:00Z", "until": "2026-11-19T19:00:00Z", "speed": 60}
REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "unknown field": ({"lisen": "x"}, "unknown field `lisen`"),
    "unknown nested field": (_supplied(key="x"), "unknown field `key` - at `$.upstreams[0]`"),
    "wrong type": ({"upstreams": "acme"}, "$.upstreams"),
    "wrong kind": (_supplied(kind="rented"), "$.upstreams[0].kind"),
    "missing field": ({"upstreams": [{"name": "acme"}]}, "`base_url`"),
    "missing policy": ({"policy": None}, "$.policy"),
    "price below zero": (_supplied(usd_per_gpu_hour="-1"), "$.upstreams[0]"),
    "price that is no number": (_supplied(usd_per_gpu_hour="NaN"), "$.upstreams[0]"),
    "own price below zero": ({"prices": [{"offer": "a/m", "input": "-1", "output": "1"}]}, "$.prices[0]"),
    "timeout of nothing": (_supplied(timeouts={"idle": 0}), "$.upstreams[0].timeouts.idle"),
    "limit of all below that of one": ({"limits": {"bodies_bytes": 9}}, "bodies_bytes is less than body_bytes"),
    "a route of a dialect": (_routed(operations=["messages"]), "messages is served by a route of chat"),
    "a route beyond its upstream": (_routed(operations=["chat", "embeddings"]), "serves embeddings, but upstream acme"),
    "limit of nothing": ({"limits": {"body_bytes": 0}}, "$.limits.body_bytes"),
    "unknown bucket": (_routed(success={"genius": 1}), "$.policy.routes[0].success"),
    "success above one": (_routed(success={"judgment": 1.01}), "$.policy.routes[0].success"),
    "success below zero": (_routed(success={"judgment": -0.01}), "$.policy.routes[0].success"),
    "slots below zero": (_routed(slots=-1), "$.policy.routes[0].slots"),
    "route to nowhere": (_routed(upstream="acne"), "route big goes to upstream 'acne'"),
    "route twice": ({"policy": {"routes": [ROUTE, ROUTE]}}, "big stands twice"),
    "upstream twice": ({"upstreams": [UPSTREAM, UPSTREAM]}, "'acme' is defined 2 times"),
    "variable not set": (_supplied(api_key="${NOWHERE}"), "${NOWHERE} is not set"),
    "time without zone": ({"replay_time": {**MOMENTS, "start": "2026-11-19T18:00:00"}}, "$.replay_time.start"),
    "price beyond reason": (_supplied(usd_per_gpu_hour="1e300000"), "$.upstreams[0]"),
    "own price beyond reason": (_priced(input="1e999999999"), "input is 1E+999999999, which is no price"),
    "own price that would round to nothing": (_priced(output="1e-999999999"), "$.prices[0]"),
    "address that is cut off": (_supplied(base_url="http://[::1"), "base_url 'http://[::1' is no address"),
    "port that there is not": (_supplied(base_url="http://h:99999/v1"), "at `$.upstreams[0]`"),
    "address with a line end": (_supplied(base_url="http://h/v1\r\nevil: 1"), "base_url"),
    "address beyond ASCII": (_supplied(base_url="http://h/\u4e2d"), "base_url"),
    "key with a line end": (_supplied(api_key="a\r\nX: y"), "api_key holds a character"),
    "folder with a null byte": ({"data_dir": "/var/\0x"}, "data_dir '/var/\\x00x'"),
    "folder of nobody": ({"data_dir": "~nosuchuser/x"}, "data_dir '~nosuchuser/x'"),
    "time beyond all speed": ({"replay_time": {**MOMENTS, "speed": 1e300}}, "$.replay_time.speed"),
    "time without end": ({"replay_time": {**MOMENTS, "speed": float("inf")}}, "$.replay_time.speed"),
    "time backwards": ({"replay_time": {**MOMENTS, "until": "2019-01-01T00:00:00Z"}}, "$.replay_time"),
    "time beyond the calendar": ({"replay_time": {**MOMENTS, "until": "9999-12-31T00:00:00Z"}}, "$.replay_time"),
    "time at rest": ({"replay_time": {**MOMENTS, "speed": 0}}, "$.replay_time.speed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_named_with_its_place(case):
    changes, says = REFUSED[case]
    with pytest.raises(BadConfig) as caught:
        parse(**changes)
    assert caught.value.message.startswith("here.yaml: ")
    assert says in caught.value.message
    assert caught.value.remedy


BROKEN = {
    "empty": "",
    "not YAML": "upstreams: [",
    "a list": "- upstreams",
    "a tab": "\tupstreams: []",
    "two keys alike": "listen: a:1\nlisten: b:2",
    "a tag that would run": "!!python/object/apply:os.getcwd []",
    "a date that is none": "listen: 2026-13-45",
    "a number for a key": "1: 2",
    "brackets without end": "[" * 5_000,
    "an alias of itself": "listen: &here [*here]",
    "a tag that does not fit": "listen: !!bool foo",
    "aliases of aliases": "a0: &a0 [x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 11)),
    "a null byte": "listen: \0",
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named(tmp_path, case):
    with pytest.raises(BadConfig) as caught:
        read(tmp_path, BROKEN[case])
    assert str(tmp_path / "baseload.yaml") in caught.value.message
    assert caught.value.remedy


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "nothing.yaml", tmp_path, binary):
        with pytest.raises(BadConfig, match=r"cannot read|there is no") as caught:
            read_settings(path, {})
        assert str(path) in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _refusal(attempt: Callable[[], Settings]) -> str:
    """What the attempt is refused with; the empty string when it is read."""
    try:
        attempt()
    except BadConfig as error:
        return error.message
    return ""


@given(st.sampled_from(Settings.__struct_fields__), JSON)
def test_whatever_stands_in_a_field_it_is_read_or_refused(field, value):
    said = _refusal(lambda: parse(**{field: value}))
    assert not said or said.startswith("here.yaml: ")


@given(text=st.text(max_size=60))
def test_whatever_the_text_it_is_refused_by_the_name_of_the_file(tmp_path_factory, text):
    folder = tmp_path_factory.getbasetemp()
    assert str(folder) in _refusal(lambda: read(folder, text))


def test_the_variables_of_the_environment_are_filled_in_everywhere():
    document = {**MINIMAL, "upstreams": [{**UPSTREAM, "api_key": "Bearer ${A}-${B}", "base_url": "${U}"}]}
    found = parse_settings(document, {"A": "1", "B": "", "U": "http://x"}, origin="x")
    assert (found.upstreams[0].api_key, found.upstreams[0].base_url) == ("Bearer 1-", "http://x")


def test_the_compared_offers_are_unique_and_named_provider_and_model():
    assert len(set(settings.COMPARED)) == len(settings.COMPARED)
    assert all("/" in offer for offer in settings.COMPARED)


def test_a_yaml_document_and_the_parsed_one_are_the_same_settings(tmp_path):
    path = tmp_path / "baseload.yaml"
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump(MINIMAL, file)
    assert read_settings(path, {}) == parse()


def test_what_is_shown_of_the_settings_holds_no_secret():
    hidden = "s3cr3t-s3cr3t-s3cr3t"
    key = {"prefix": "0123abcd", "hash": "sha256:" + "5" * 64, "former_hash": "sha256:" + "6" * 64, "name": "web"}
    upstreams = [
        {**UPSTREAM, "api_key": hidden, "headers": {"x-org": hidden}},
        {"name": "two", "base_url": f"https://user:{hidden}@h/v1", "api_keys": [{"key": hidden, "weight": 2}]},
    ]
    otel = {"endpoint": "http://h", "headers": {"a": hidden}}
    alerts = {"webhook": f"https://hooks.example/T0/{hidden}"}  # whoever knows it may write there
    found = parse(upstreams=upstreams, keys=[key], admin_key=hidden, otel=otel, alerts=alerts)
    shown = repr(settings.masked(found))
    assert hidden not in shown
    assert not re.search(r"sha256:[56]", shown)
    assert hidden not in repr(found).replace(f"user:{hidden}@", "").replace(f"T0/{hidden}", "")
    for kept in ("acme", "https://api.acme.example/v1", "https://***@h/v1", "0123abcd", "web", "'weight': 2", "x-org"):
        assert kept in shown


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("upstreams: [{name: u, api_key: sk-s3cr3t, api_key: sk-s3cr3t-2}]", 'duplicate key "api_key", line 1'),
        (
            'upstreams:\n  - api_key: "sk-s3cr3t\n  - b: [',
            "unexpected end of stream, line 4, column 21, in what begins on line 2",
        ),
        ("upstreams:\n  - api_key: @sk-s3cr3t", "'@' that cannot start any token, line 2, column 14"),
        ("admin_key: *sk-s3cr3t", "undefined alias ..., line 1"),
        ("admin_key: !sk-s3cr3t 1", "line 1"),
        ("admin_key: !!int sk-s3cr3t", ""),
        ("admin_key: !!timestamp sk-s3cr3t", ""),
        ("admin_key: sk-s3cr3t: x", "line 1"),
        ('upstreams: [{name: u, base_url: "https://me:sk-s3cr3t@h/v1?a=b"}]', "https://***@h/v1?a=b"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_said_without_a_word_of_its_text(
    tmp_path: Path, text: str, says: str
) -> None:
    """Whoever asks `/healthz` is told why a configuration was not taken."""
    with pytest.raises(BadConfig) as caught:
        read(tmp_path, f"{text}\npolicy: {{routes: []}}")
    assert "s3cr3t" not in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:99999", ":8790", "127.0.0.1:http"])
def test_an_address_that_nobody_can_listen_on_is_refused_where_it_is_read(listen: str) -> None:
    """A check passes nothing that a running gateway would stumble over when it takes the configuration over."""
    with pytest.raises(BadConfig, match="is no address to listen on"):
        parse(listen=listen)


def test_the_admin_key_is_read_from_where_it_is_said(tmp_path):
    file = tmp_path / "admin"
    file.write_text("from-the-file-0123456789\nsecond line\n")
    assert parse(admin_key="from-the-document-01").admin_key == "from-the-document-01"
    assert parse(admin_key_file=str(file)).admin_key == "from-the-file-0123456789"
    for name, value in (("BASELOAD_ADMIN_KEY", "from-the-environment"), ("BASELOAD_ADMIN_KEY_FILE", str(file))):
        assert parse_settings(MINIMAL, {name: value}, origin="x").admin_key.startswith("from-the-")
    assert "from-the" not in repr(parse(admin_key_file=str(file)))
    for wrong in ({"admin_key": "short"}, {"admin_key_file": str(tmp_path / "none")}):
        with pytest.raises(BadConfig, match="admin"):
            parse(**wrong)


def test_a_place_is_read_without_the_rest(tmp_path):
    path = tmp_path / "baseload.yaml"
    path.write_text("data_dir: ${WHERE}/data\nupstreams: [{api_key: '${NOT_SET}'}]\n")
    assert configuration.read_place(path, {"WHERE": "/srv"}).directory == Path("/srv/data")
    path.write_text("[]")
    assert configuration.read_place(path, {"BASELOAD_HOME": "x"}).keys == ()
