"""Models counted from their published configs, and configs that lie."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.capacity.architecture import architecture_named
from baseload.capacity.config_json import KINDS, shape_of
from baseload.documents import DATA, load_architectures
from baseload.errors import BadInput, UnknownModel

ROWS = json.loads((DATA / "architectures.json").read_text())["models"]
PUBLISHED = [row for row in ROWS if "published_billions" in row]
QWEN = next(row["config"] for row in ROWS if row["name"] == "qwen3-32b")


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row["name"])
def test_the_parameters_counted_are_those_published(row):
    counted = shape_of(row["config"]).total_parameters
    assert counted == pytest.approx(float(row["published_billions"]) * 1e9, rel=0.02)


def test_active_parameters_and_cache_of_known_models():
    known = load_architectures()
    billions = {name: round(float(known[name].active_parameters) / 1e9, 1) for name in ("deepseek-v3", "gpt-oss-120b")}
    assert billions == {"deepseek-v3": 36.6, "gpt-oss-120b": 5.1}
    assert known["qwen3-32b"].kv_bytes_per_token == 262_144
    assert known["deepseek-v3"].kv_bytes_per_token == 70_272


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("Qwen/Qwen3-32B", "qwen3-32b"),
        ("nvidia/DeepSeek-R1-NVFP4", "deepseek-v3"),
        ("nvidia/Llama-3.1-8B-Instruct-FP8", "llama-3.1-8b"),
        ("meta-llama/Meta-Llama-3.1-70B", "llama-3.1-70b"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "qwen3-235b-a22b"),
        ("GLM-4.5-Air", "glm-4.5-air"),
    ],
)
def test_a_model_goes_by_its_name_its_path_and_its_packings(asked, name):
    assert architecture_named(asked, load_architectures()).name == name


def test_an_unknown_model_says_what_to_give():
    with pytest.raises(UnknownModel, match=r"--config config\.json"):
        architecture_named("acme/secret-9b", load_architectures())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "rwkv"}, "of the kind 'rwkv'"),
        ({"model_type": ["qwen3"]}, "whose layers are not known"),
        ({"num_hidden_layers": -1}, "num_hidden_layers"),
        ({"num_hidden_layers": 10**7}, "10000000 layers"),
        ({"hidden_size": "5120"}, "hidden_size"),
        ({"hidden_size": True}, "hidden_size"),
        ({"hidden_size": 0}, "no hidden_size"),
        ({"vocab_size": None}, "no vocab_size"),
        ({"num_experts": 8}, "8 experts of which a token takes 0"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(change, says):
    with pytest.raises(BadInput, match=says):
        shape_of({**QWEN, **change})


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=4)


@given(st.dictionaries(st.sampled_from(sorted(QWEN)), ANYTHING), st.sampled_from(sorted(KINDS)))
def test_a_hostile_config_is_a_shape_or_an_error_of_ours(change, kind):
    try:
        shape = shape_of({**QWEN, **change, "model_type": kind})
    except BadInput:
        return
    assert shape.total_parameters >= 0
