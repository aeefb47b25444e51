"""Where requests can go: presets, keys, and what is refused with its place."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from ruamel.yaml import YAML

from baseload.configuration import parse_settings
from baseload.errors import BadConfig
from baseload.load.facts import Operation
from baseload.settings import Settings
from baseload.upstreams import Key, Upstream, load_providers
from baseload.wire.passage import Dialect

PRESETS = sorted(load_providers())


def parse(*upstreams: object, **environment: str) -> Settings:
    return parse_settings({"upstreams": list(upstreams), "policy": {"routes": []}}, environment, origin="here.yaml")


def upstream(document: dict[str, object], **environment: str) -> Upstream:
    (found,) = parse({"name": "up", **document}, **environment).upstreams
    return found


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_an_upstream_and_says_where_it_is_from(name: str) -> None:
    provider = load_providers()[name]
    given = {"base_url": provider.example} if not provider.base_url else {}
    found = upstream({"preset": name, **given}, **{provider.key_env: "k-1"})
    url = urlsplit(found.base_url)
    local = url.hostname == "127.0.0.1"
    assert url.scheme == ("http" if local else "https")
    assert not found.base_url.endswith("/")
    assert found.serves == {Operation(each) for each in provider.operations}
    assert (found.kind == "own") == local == (provider.key == "optional")
    assert found.api_key == "k-1"
    assert provider.title
    assert provider.source
    assert provider.as_of.year >= 2026
    assert bool(provider.base_url) != bool(provider.example)


def test_the_best_known_providers_are_known() -> None:
    wanted = """openai anthropic gemini azure-openai openrouter groq mistral deepseek together fireworks xai cohere
        perplexity cerebras nvidia-nim moonshot qwen zai deepinfra sambanova vllm ollama lm-studio"""
    assert set(wanted.split()) <= set(PRESETS)


def test_perplexity_is_asked_as_it_has_to_be_since_it_ended_chat() -> None:
    found = upstream({"preset": "perplexity"}, PERPLEXITY_API_KEY="k")
    assert (found.base_url, found.serves) == ("https://api.perplexity.ai/v1", {Operation.RESPONSES})


def test_what_a_preset_says_can_be_said_otherwise() -> None:
    found = upstream(
        {
            "preset": "groq",
            "base_url": "http://127.0.0.1:1/v1",
            "operations": ["chat", "embeddings"],
            "headers": {"X-Team": "a"},
            "api_key": "mine",
        }
    )
    assert (found.preset, found.base_url, found.api_key) == ("groq", "http://127.0.0.1:1/v1", "mine")
    assert found.serves == {Operation.CHAT, Operation.EMBEDDINGS}
    assert found.headers == {"X-Team": "a"}


def test_replicas_stand_in_place_of_the_presets_url() -> None:
    found = upstream({"preset": "vllm", "replicas": ["http://10.0.0.7:8000/v1", "http://10.0.0.8:8000/v1"]})
    assert found.urls == ("http://10.0.0.7:8000/v1", "http://10.0.0.8:8000/v1")
    assert (found.base_url, found.kind, found.keys) == ("", "own", ())


def test_an_anthropic_upstream_speaks_anthropic() -> None:
    found = upstream({"preset": "anthropic"}, ANTHROPIC_API_KEY="k")
    assert (found.dialect, found.auth) == (Dialect.ANTHROPIC, "x-api-key")
    assert found.serves == {Operation.MESSAGES, Operation.COUNT_TOKENS}
    bare = upstream({"base_url": "http://h/v1", "dialect": "anthropic"})
    assert bare.serves == {Operation.MESSAGES, Operation.COUNT_TOKENS}
    assert upstream({"base_url": "http://h/v1"}).serves == {Operation.CHAT}


def test_keys_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("k-one\n")
    (tmp_path / "two").write_text("  k-two  ")
    single = upstream({"base_url": "http://h/v1", "api_key_file": str(tmp_path / "one")})
    assert single.keys == (Key(key="k-one"),)
    several = upstream(
        {
            "base_url": "http://h/v1",
            "api_keys": [{"file": str(tmp_path / "two"), "weight": 3}, {"key": "${K}"}],
        },
        K="k-three",
    )
    assert [(each.key, each.weight) for each in several.keys] == [("k-two", 3.0), ("k-three", 1.0)]


def test_no_key_is_ever_printed(tmp_path: Path) -> None:
    found = upstream({"base_url": "http://h/v1", "api_keys": [{"key": "k-secret"}, {"key": "k-other"}]})
    assert "k-" not in repr(found)
    assert "k-" not in repr(found.keys)
    (tmp_path / "key").write_text("k-secret\nk-more")
    with pytest.raises(BadConfig) as caught:
        upstream({"base_url": "http://h/v1", "api_key_file": str(tmp_path / "key")})
    assert "k-secret" not in str(caught.value)


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "unknown preset": ({"preset": "grok"}, "there is no preset 'grok'"),
    "key not set": ({"preset": "groq"}, "GROQ_API_KEY is not set"),
    "url of the customer": ({"preset": "azure-openai", "api_key": "k"}, "as in https://NAME.openai.azure.com"),
    "neither url nor replicas": ({}, "`base_url`"),
    "url and replicas": ({"base_url": "http://h/v1", "replicas": ["http://h/v1"]}, "and not both"),
    "a replica twice": ({"replicas": ["http://h/v1", "http://h/v1"]}, "lists a replica twice"),
    "a replica that is none": ({"replicas": ["http://h:99999/v1"]}, "is no address"),
    "another scheme": ({"base_url": "ftp://h/v1"}, "is no address"),
    "no host": ({"base_url": "https:///v1"}, "is no address"),
    "no scheme": ({"base_url": "h:8000/v1"}, "is no address"),
    "a query": ({"base_url": "https://h/v1?api-version=2024-06-01"}, "nothing behind it is sent"),
    "a fragment": ({"replicas": ["https://h/v1#a"]}, "nothing behind it is sent"),
    "key file missing": ({"base_url": "http://h/v1", "api_key_file": "/nowhere/key"}, "cannot be read"),
    "key file empty": ({"base_url": "http://h/v1", "api_key_file": "/dev/null"}, "holds no key"),
    "key with a line break": ({"base_url": "http://h/v1", "api_keys": [{"key": "a\nb"}]}, "no header carries"),
    "weight of nothing": ({"base_url": "http://h/v1", "api_keys": [{"key": "a", "weight": 0}]}, "api_keys[0].weight"),
    "header of the framing": ({"base_url": "http://h/v1", "headers": {"Content-Length": "1"}}, "not a header"),
    "header that breaks the line": ({"base_url": "http://h/v1", "headers": {"X-A": "b\r\nX-B: c"}}, "no header"),
    "header without a name": ({"base_url": "http://h/v1", "headers": {"": "b"}}, "not a header"),
    "unknown auth": ({"base_url": "http://h/v1", "auth": "digest"}, "$.upstreams[0].auth"),
    "unknown operation": ({"base_url": "http://h/v1", "operations": ["dance"]}, "$.upstreams[0].operations"),
    "share above one": ({"base_url": "http://h/v1", "circuit": {"share": 2}}, "$.upstreams[0].circuit.share"),
    "a storm of retries": ({"base_url": "http://h/v1", "retries": {"times": 99}}, "$.upstreams[0].retries.times"),
    "health path": ({"base_url": "http://h/v1", "pool": {"health_path": "health"}}, "begins with /"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_named(case: str) -> None:
    document, says = REFUSED[case]
    with pytest.raises(BadConfig) as caught:
        upstream(document)
    assert says in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("document", [{"upstreams": "x"}, {"upstreams": ["x"]}, ["x"], None])
def test_another_shape_is_refused_where_shapes_are_checked(document: object) -> None:
    with pytest.raises(BadConfig):
        parse_settings(document, {}, origin="here.yaml")


def test_a_preset_needs_no_key_where_the_server_needs_none() -> None:
    assert upstream({"preset": "vllm"}).keys == ()
    assert upstream({"preset": "vllm"}, VLLM_API_KEY="k").api_key == "k"
    assert upstream({"preset": "groq", "auth": "none"}).keys == ()


def test_upstreams_are_equal_when_nothing_changed() -> None:
    one, two = upstream({"preset": "vllm"}), upstream({"preset": "vllm"})
    assert one == two
    assert one != msgspec.structs.replace(two, api_key="k")


def test_the_configurations_of_the_guide_are_ones(tmp_path: Path) -> None:
    for name in ("anthropic", "acme-two"):
        (tmp_path / name).write_text("k-1")
    guide = (Path(__file__).parent.parent / "docs" / "upstreams.md").read_text(encoding="utf-8")
    whole: dict[str, object] = {"upstreams": [], "policy": {"routes": []}}
    for block in re.findall(r"```yaml\n(.*?)```", guide.replace("/run/secrets", str(tmp_path)), re.DOTALL):
        part = YAML(typ="safe", pure=True).load(block)
        whole["policy"] = part.get("policy", whole["policy"])
        whole["upstreams"] += part["upstreams"]
    names = ("GROQ_API_KEY", "AZURE_OPENAI_API_KEY", "ACME_ONE")
    found = parse_settings(whole, dict.fromkeys(names, "k"), origin="upstreams.md")
    assert [each.name for each in found.upstreams] == ["groq", "claude", "azure", "acme", "pool"]
    assert found.upstreams[4].pool.replica_slots == 64
    assert found.policy.routes[0].wait_seconds == 2
