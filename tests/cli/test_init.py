"""`baseload init`: what it writes is read back, no file is overwritten, nothing of LiteLLM's is lost in silence."""

from __future__ import annotations

import json
import re
import sys
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from baseload.cli.init_known import checked, known
from baseload.cli.init_litellm import Mapped, mapped, written
from baseload.cli.init_start import detected, starting
from baseload.cli.main import main
from baseload.configuration import read_settings
from baseload.documents import catalog_of, load_catalog
from baseload.errors import BadInput
from baseload.load.facts import Operation
from baseload.settings import Settings
from baseload.upstreams import load_providers

KEYS = {"OPENAI_API_KEY": "sk-from-the-environment", "ANTHROPIC_API_KEY": "sk-ant-from-the-environment"}


@pytest.fixture
def baseload(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for provider in load_providers().values():
        monkeypatch.delenv(provider.key_env or "X", raising=False)

    def run(*words: object, code: int = 0):
        monkeypatch.setattr(sys, "argv", ["baseload", *map(str, words)])
        ended = 0
        try:
            main()
        except SystemExit as stop:
            ended = stop.code or 0
        said = capsys.readouterr()
        assert ended == code, said.err
        return said

    return run


class TestFromTheEnvironment:
    def test_the_providers_whose_keys_are_there(self, tmp_path: Path, baseload, monkeypatch):
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)
        said = baseload("init")
        text = (tmp_path / "baseload.yaml").read_text()
        schema = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)[1]
        jsonschema.validate(YAML(typ="safe").load(text), json.loads((tmp_path / schema).read_text()))
        assert "keys found: anthropic, openai" in said.err
        found = read_settings(tmp_path / "baseload.yaml", KEYS)
        assert [upstream.name for upstream in found.upstreams] == ["anthropic", "openai"]
        assert found.upstreams[1].api_key == KEYS["OPENAI_API_KEY"]
        assert {"auto", "auto:economy", "gpt-5-mini"} <= set(found.policy.models)
        assert all(value not in text + said.out + said.err for value in KEYS.values())

    def test_without_any_key_it_says_which_to_export(self, tmp_path: Path, baseload):
        said = baseload("init", "--output", "deep/down.yaml")
        assert "Export OPENAI_API_KEY" in said.err
        assert read_settings(tmp_path / "deep" / "down.yaml", KEYS).upstreams[0].preset == "openai"

    def test_a_file_that_is_there_is_left_alone(self, tmp_path: Path, baseload):
        path = tmp_path / "baseload.yaml"
        path.write_text("mine")
        assert "is there already" in baseload("init", code=2).err
        assert path.read_text() == "mine"
        assert "policy:" in baseload("init", "--dry-run").out
        assert [each.name for each in tmp_path.iterdir()] == ["baseload.yaml"]

    def test_one_document(self, baseload):
        document = json.loads(baseload("init", "--dry-run", "--json").out)
        assert (document["schema"], document["file"], document["presets"]) == ("baseload.init/1", None, [])

    @pytest.mark.parametrize("preset", sorted(load_providers()))
    def test_every_provider_gives_a_configuration_that_can_be_read(self, preset: str):
        text, document = starting((preset,))
        settings = checked(document, "x")
        assert YAML(typ="safe").load(text) == document
        assert settings.policy.routes
        if preset not in known().starters:
            assert f"preset: {preset}}}" in text

    def test_every_starter_has_a_price(self):
        catalog = load_catalog()
        for preset, models in known().starters.items():
            for model in models.values():
                rates = catalog.offer(f"{known().books[preset]}/{model}").schedule[-1].rates
                assert rates.input is not None
                assert rates.output is not None

    def test_only_keys_that_hold_something_count(self):
        assert detected({"OPENAI_API_KEY": " ", "GROQ_API_KEY": "x"}) == ("groq",)


SMALL = """
model_list:
  - model_name: gpt-4o
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, rpm: 480, tpm: 100000}
  - model_name: claude
    litellm_params: {model: claude-sonnet-4-5, api_key: os.environ/ANTHROPIC_API_KEY}
  - model_name: text-embedding-3-small
    litellm_params: {model: text-embedding-3-small, api_key: os.environ/OPENAI_API_KEY}
litellm_settings:
  drop_params: true
  num_retries: 3
  request_timeout: 600
  fallbacks: [{gpt-4o: [claude]}]
general_settings:
  master_key: sk-1234
  database_url: "postgresql://user:pass@db:5432/litellm"
"""

BALANCED = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://my-endpoint-europe.openai.azure.com/
      api_key: os.environ/AZURE_API_KEY_EU
      api_version: "2024-08-01-preview"
      rpm: 6
      order: 1
    model_info: {base_model: azure/gpt-4o, mode: chat, supports_vision: false, id: eu-1}
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-ca
      api_base: https://my-endpoint-canada.openai.azure.com/
      api_key: os.environ/AZURE_API_KEY_CA
      weight: 2
  - model_name: gpt-4o
    litellm_params: {model: gpt-4o, api_key: sk-in-plain-0123456789, timeout: 30, stream_timeout: 10, max_retries: 1}
  - model_name: gpt-4o-mini
    litellm_params: {model: openai/gpt-4o-mini, api_key: os.environ/OPENAI_API_KEY, organization: os.environ/OPENAI_ORG}
    model_info: {max_input_tokens: 128000}
router_settings:
  routing_strategy: usage-based-routing-v2
  model_group_alias: {gpt-4: gpt-4o, hidden-mini: {model: gpt-4o-mini, hidden: true}}
  num_retries: 2
  timeout: 60
  allowed_fails: 3
  cooldown_time: 30
  fallbacks: [{gpt-4o: [gpt-4o-mini, not-there]}]
  context_window_fallbacks: [{gpt-4o-mini: [gpt-4o]}]
  redis_host: os.environ/REDIS_HOST
  redis_password: hunter2-hunter2
"""

OWN = """
model_list:
  - model_name: llama
    litellm_params:
      model: hosted_vllm/meta-llama/Llama-3.3-70B-Instruct
      api_base: http://10.0.0.7:8000/v1
      api_key: none
      max_parallel_requests: 64
      input_cost_per_token: 0.0000002
      output_cost_per_token: 4.0e-07
  - model_name: local
    litellm_params: {model: ollama_chat/qwen3:8b, api_base: "http://localhost:11434"}
  - model_name: proxy
    litellm_params: {model: openai/house-model, api_base: "https://llm.example.com/v1", api_key: os.environ/HOUSE_KEY}
  - model_name: bedrock
    litellm_params: {model: bedrock/anthropic.claude-3-5-sonnet, aws_region_name: us-east-1, aws_secret_access_key: abc}
  - model_name: "anthropic/*"
    litellm_params: {model: "anthropic/*", api_key: os.environ/ANTHROPIC_API_KEY}
  - model_name: dall-e-3
    litellm_params: {model: openai/dall-e-3}
    model_info: {mode: image_generation}
  - model_name: instruct
    litellm_params: {model: text-completion-openai/gpt-3.5-turbo-instruct}
litellm_settings:
  default_fallbacks: [proxy]
  success_callback: [langfuse]
  cache: true
  cache_params: {type: redis, host: localhost, password: abc}
environment_variables: {LANGFUSE_SECRET_KEY: sk-lf-0123, DEBUG: "true"}
guardrails: [{guardrail_name: pii, litellm_params: {guardrail: presidio, mode: pre_call}}]
"""


PRICED = """
model_list:
  - model_name: house
    litellm_params: {model: openai/gpt-4o, litellm_credential_name: second, vertex_credentials: sk-in-plain-0,
      extra_headers: {Authorization: sk-in-plain-1, anthropic-beta: context-1m}}
    model_info: {max_output_tokens: 16384, input_cost_per_token: 0.0000025, output_cost_per_token: 0.00001,
      cache_read_input_token_cost: 0.00000125, cache_creation_input_token_cost: 0.000003125}
  - model_name: embed
    litellm_params: {model: openai/text-embedding-3-small, input_cost_per_token: 2.0e-08}
  - model_name: half
    litellm_params: {model: openai/gpt-5-mini, output_cost_per_token: 0.000002, litellm_credential_name: in-database}
  - model_name: plain
    litellm_params: {model: openai/gpt-5-nano, litellm_credential_name: third,
      input_cost_per_token: 1.0e-07, output_cost_per_token: 1.0e-06}
credential_list:
  - {credential_name: second, credential_values: {api_key: os.environ/SECOND_KEY}}
  - {credential_name: third, credential_values: {api_key: sk-in-plain-2, api_base: "https://eu.example.com/v1"}}
litellm_settings: {max_budget: 100, budget_duration: 30d}
"""


def take(text: str) -> tuple[Mapped, Settings]:
    found = mapped(YAML(typ="safe").load(text), "config.yaml")
    return found, checked(found.document, "x")


def left(found: Mapped) -> dict[str, str]:
    return {each.key: each.reason for each in found.unmapped}


class TestFromLitellm:
    def test_a_small_one(self):
        found, settings = take(SMALL)
        assert [(each.name, each.preset) for each in settings.upstreams] == [
            ("openai", "openai"),
            ("anthropic", "anthropic"),
        ]
        assert {each.retries.times for each in settings.upstreams} == {3}
        assert {each.timeouts.first_byte for each in settings.upstreams} == {600}
        routes = {each.name: each for each in settings.policy.routes}
        assert (routes["gpt-4o"].model, routes["gpt-4o"].offer) == ("gpt-4o", "openai/gpt-4o")
        assert (routes["claude"].model, routes["claude"].names) == ("claude-sonnet-4-5", ("claude",))
        assert routes["text-embedding-3-small"].operations == {Operation.EMBEDDINGS}
        assert settings.policy.fallbacks == {"gpt-4o": ("claude",)}
        rest = left(found)
        assert set(rest) == {
            "model_list[0].litellm_params.rpm",
            "model_list[0].litellm_params.tpm",
            "litellm_settings.drop_params",
            "general_settings.master_key",
            "general_settings.database_url",
        }
        assert "baseload key create" in rest["general_settings.master_key"]

    def test_several_deployments_of_one_name(self):
        found, settings = take(BALANCED)
        assert [each.name for each in settings.upstreams] == ["azure-openai", "azure-openai-2", "openai", "openai-2"]
        eu, ca, plain, mini = settings.upstreams
        assert eu.base_url == "https://my-endpoint-europe.openai.azure.com/openai/v1"
        assert found.upstreams[1]["api_key"] == "${AZURE_API_KEY_CA}"
        assert (eu.circuit.failures, eu.circuit.open_seconds, eu.retries.times) == (4, 30, 2)
        assert (plain.timeouts.first_byte, plain.retries.times, ca.timeouts.first_byte) == (10, 1, 60)
        assert mini.headers["openai-organization"]
        routes = {each.name: each for each in settings.policy.routes}
        assert [*routes] == ["gpt-4o", "gpt-4o-2", "gpt-4o-3", "gpt-4o-mini"]
        assert (routes["gpt-4o"].model, routes["gpt-4o"].names) == ("gpt-4o-eu", ("gpt-4o", "gpt-4"))
        assert "vision" not in routes["gpt-4o"].capabilities
        assert "vision" in routes["gpt-4o-2"].capabilities
        assert routes["gpt-4o-mini"].names == ("hidden-mini",)
        assert routes["gpt-4o-mini"].context_tokens == 128000
        assert settings.policy.fallbacks == {"gpt-4o": ("gpt-4o-mini",)}
        assert settings.policy.context_fallbacks == {"gpt-4o-mini": ("gpt-4o",)}
        rest = left(found)
        assert "expected cost" in rest["model_list[0].litellm_params.order"]
        assert "expected cost" in rest["router_settings.routing_strategy"]
        assert any("not-there was not taken over" in each for each in found.notes)

    def test_own_pools_prices_and_what_cannot_be_served(self):
        found, settings = take(OWN)
        routes = {each.name: each for each in settings.policy.routes}
        assert [*routes] == ["llama", "local", "proxy", "instruct"]
        llama = routes["llama"]
        assert (llama.own, llama.slots, llama.names) == (True, 64, ("llama",))
        (price,) = settings.prices
        assert (price.offer, price.input, price.output) == (llama.offer, Decimal("0.2"), Decimal("0.4"))
        upstreams = {each.name: each for each in settings.upstreams}
        assert upstreams["ollama"].base_url == "http://localhost:11434/v1"
        assert upstreams["openai"].base_url == "https://llm.example.com/v1"
        assert routes["instruct"].operations == {Operation.COMPLETIONS}
        assert settings.policy.fallbacks == dict.fromkeys(("llama", "local", "instruct"), ("proxy",))
        rest = left(found)
        assert "own protocol" in rest["model_list[3].litellm_params.model"]
        assert "own protocol" in rest["model_list[3].litellm_params.aws_region_name"]
        assert "list those that you use" in rest["model_list[4].model_name"]
        assert "only chat" in rest["model_list[5].litellm_params.model"]
        assert {"guardrails[0].guardrail_name", "environment_variables.DEBUG"} <= set(rest)

    def test_every_price_of_an_entry_is_taken_over(self):
        found, settings = take(PRICED)
        house, embed, plain = settings.prices
        assert (house.input, house.output) == (Decimal("2.5"), Decimal(10))
        assert (house.cache_read, house.cache_write) == (Decimal("1.25"), Decimal("3.125"))
        assert (embed.input, embed.output) == (Decimal("0.02"), Decimal(0))
        assert (plain.offer, plain.cache_read) == ("openai-3/gpt-5-nano", None)
        assert "openai-3/gpt-5-nano costs as much for cached input as for input: add `cache_read`" in found.notes
        assert "model_list[2].litellm_params.output_cost_per_token" in left(found)
        assert settings.policy.routes[0].output_tokens == 16384
        catalog_of(settings)

    def test_the_key_of_a_credential_is_the_entry_s_own(self):
        found, settings = take(PRICED)
        by_route = {each.name: each.upstream for each in settings.policy.routes}
        upstreams = {each["name"]: each for each in found.upstreams}
        house, plain = upstreams[by_route["house"]], upstreams[by_route["plain"]]
        assert house["api_key"] == "${SECOND_KEY}"
        assert house["headers"] == {"anthropic-beta": "context-1m"}
        assert plain["base_url"] == "https://eu.example.com/v1"
        assert plain["api_key"].startswith("${")
        assert any("in-database is not in the file" in each for each in found.notes)
        rest = left(found)
        assert "model_list[0].litellm_params.extra_headers.Authorization" in rest
        assert not [each for each in rest if each.startswith("credential_list")]
        assert "budgets" in rest["litellm_settings.max_budget"]

    @pytest.mark.parametrize("text", [SMALL, BALANCED, OWN, PRICED])
    def test_no_secret_is_copied(self, text: str):
        found, _ = take(text)
        page = written(found, "config.yaml")
        for secret in ("sk-1234", "sk-in-plain", "hunter2", "user:pass", "sk-lf-0123", ": abc"):
            assert secret not in page + repr(found)

    @pytest.mark.parametrize("text", [SMALL, BALANCED, OWN, PRICED])
    def test_what_is_written_is_read_back_and_every_rest_is_in_it(self, text: str):
        found, settings = take(text)
        page = written(found, "config.yaml")
        assert checked(YAML(typ="safe").load(page), "y") == settings
        for each in found.unmapped:
            assert f"# {each.key}: " in page

    def test_as_a_person_types_it(self, tmp_path: Path, baseload):
        (tmp_path / "config.yaml").write_text(BALANCED)
        shown = baseload("init", "--from", "litellm", "config.yaml", "--dry-run")
        assert "upstreams:" in shown.out
        assert "not taken over: model_list[0].litellm_params.rpm" in shown.err
        assert not (tmp_path / "baseload.yaml").exists()
        baseload("init", "--from", "litellm", "config.yaml")
        environment = dict.fromkeys(re.findall(r"\$\{(\w+)\}", (tmp_path / "baseload.yaml").read_text()), "k")
        assert read_settings(tmp_path / "baseload.yaml", environment | KEYS).policy.name == "from-litellm"
        document = json.loads(baseload("init", "--from", "litellm", "config.yaml", "--dry-run", "--json").out)
        assert {"key": "router_settings.redis_host", "reason": "no counterpart is known"} in document["unmapped"]

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("--from", "litellm"), "cannot start from 'litellm'"),
            (("config.yaml",), "cannot start from"),
            (("--from", "nginx", "config.yaml"), "cannot start from 'nginx'"),
            (("--from", "litellm", "nowhere.yaml"), "there is no nowhere.yaml"),
        ],
    )
    def test_what_cannot_be_taken_over_is_said(self, baseload, words, says):
        said = baseload("init", *words, code=2)
        assert says in said.err
        assert " next: " in said.err

    @pytest.mark.parametrize("params", [{"model": "groq/\u00fc"}, {"model": "x", "api_base": "no address"}])
    def test_an_entry_that_cannot_be_is_left_out_and_its_reason_said(self, params: dict):
        document = {"model_list": [GOOD, {"model_name": "bad", "litellm_params": {**params, "api_key": "sk-plain"}}]}
        found = mapped(document, "x")
        assert [each["name"] for each in found.routes] == ["good"]
        assert [each["name"] for each in found.upstreams] == ["openai"]
        assert found.notes == []
        assert set(left(found)) == {
            "model_list[1].model_name",
            *(f"model_list[1].litellm_params.{each}" for each in (*params, "api_key")),
        }

    def test_a_chat_of_a_provider_that_ended_it_is_taken_over_with_a_word(self):
        sonar = {"model_name": "sonar", "litellm_params": {"model": "perplexity/sonar"}}
        found = mapped({"model_list": [GOOD, sonar, sonar]}, "x")
        assert [each["name"] for each in found.routes] == ["good", "sonar", "sonar-2"]
        assert found.notes == ["perplexity serves responses only: no chat completion can go there"]

    @pytest.mark.parametrize("text", ["{}", "[]", "model_list: {}", "model_list: []", "model_list: [1, null, {}]"])
    def test_a_file_without_models_is_refused(self, text: str):
        with pytest.raises(BadInput):
            mapped(YAML(typ="safe").load(text), "config.yaml")


WORDS = st.sampled_from(["model", "api_base", "api_key", "timeout", "rpm", "fallbacks", "mode", "num_retries"])
PLAIN = st.sampled_from(["openai/x", "os.environ/A", "http://h", "", "*", "-1", "nan", "é", "a\nb", "gpt-4", "groq/ü"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 50) | st.floats() | PLAIN,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=6,
)
ENTRIES = st.fixed_dictionaries(
    {"model_name": VALUES, "litellm_params": st.dictionaries(WORDS, VALUES, max_size=5) | VALUES},
    optional={"model_info": VALUES},
)
GOOD = {"model_name": "good", "litellm_params": {"model": "openai/gpt-4o"}}


@given(st.lists(ENTRIES, max_size=3), VALUES, VALUES)
def test_whatever_stands_in_it_nothing_is_lost_and_what_is_written_can_be_read(entries, router, general):
    document = {"model_list": [GOOD, *entries], "router_settings": router, "general_settings": general}
    found = mapped(document, "x")
    assert found.routes[0]["name"] == "good"
    checked(YAML(typ="safe").load(written(found, "x")), "x")
