"""`baseload capacity` as a person types it."""

import json

import pytest

ASK = "capacity|--model|Qwen/Qwen3-32B|--gpu|h100_sxm|--count|2|--quant|fp8|--input-tokens|1024|--output-tokens|1024"
HEAD = "model,gpu,count,quant,input_tokens,output_tokens,concurrency,engine\n"


def test_one_case(baseload):
    document = json.loads(baseload(f"{ASK}|--concurrency|64|--engine|trtllm|--json").out)
    assert document["schema"] == "baseload.capacity/1"
    assert document["fits"] is True
    for name in ("output_tokens_per_s", "tpot_ms", "ttft_ms"):
        assert 0 < document[name]["low"] < document[name]["likely"] < document[name]["high"]
    page = baseload(f"{ASK}|--usd-per-gpu-hour|2.5|--slo|ttft=1s,tpot=30ms").out
    assert "requests of that context fit beside them" in page
    assert "first token within 1000 ms and token within 30 ms: up to " in page
    assert "USD per M output" in page


def test_a_model_that_does_not_fit_says_what_would(baseload):
    document = json.loads(baseload("capacity|--model|deepseek-v3|--gpu|H100|--count|8|--quant|fp8|--json").out)
    assert document["fits"] is False
    assert "or 4 bits per weight" in document["case"]["fit"]


def test_a_measured_point_takes_the_model_with_it(baseload):
    plain = json.loads(baseload(f"{ASK}|--json").out)["output_tokens_per_s"]
    half = f"concurrency=64,output_tokens_per_s={plain['likely'] / 2:.0f}"
    document = json.loads(baseload(f"{ASK}|--point|{half}|--json").out)
    assert document["output_tokens_per_s"]["likely"] == pytest.approx(plain["likely"] / 2, rel=0.05)
    assert document["calibration"]["points"] == 1
    dated = json.loads(baseload(f"{ASK}|--point|{half}|--measured-on|2025-01-01|--json").out)
    assert dated["output_tokens_per_s"]["low"] < document["output_tokens_per_s"]["low"]


def test_a_model_that_is_not_known_is_read_from_its_config(baseload, tmp_path):
    assert "--config config.json" in baseload("capacity|--model|acme/new|--gpu|H100", code=2).err
    config = tmp_path / "new-8b" / "config.json"
    config.parent.mkdir()
    shape = {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32}
    shape |= {"num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256}
    config.write_text(json.dumps(shape))
    document = json.loads(baseload(f"capacity|--config|{config}|--gpu|H100|--json").out)
    assert document["case"]["model"] == "new-8b"
    config.write_text("{")
    assert "is no config.json" in baseload(f"capacity|--config|{config}|--gpu|H100", code=2).err


def test_a_table_of_cases_is_answered_row_by_row(baseload, tmp_path):
    table = tmp_path / "cases.csv"
    table.write_text(
        HEAD + "Qwen/Qwen3-32B,h100_sxm,2,fp8,1024,1024,64,vllm\n"
        "acme/new,h100_sxm,2,fp8,1024,1024,64,vllm\n"
        "nvidia/DeepSeek-R1-NVFP4,b200_sxm,8,fp4,8192,1024,128,trtllm\n"
        "Qwen/Qwen3-32B,h100_sxm,two,fp8,1024,1024,64,vllm\n"
    )
    done = baseload(f"capacity|--batch|{table}|--json")
    first, unknown, second, wrong = json.loads(done.out)["cases"]
    assert first["output_tokens_per_s"]["likely"] > 0
    assert second["fits"] is True
    assert "acme/new" in unknown["error"]
    assert "count is 'two'" in wrong["error"]
    assert "2 rows could not be read; row 2" in done.err
    assert "qwen3-32b" in baseload(f"capacity|--batch|{table}").out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("capacity", "a model and a GPU make a case"),
        (f"{ASK}|--gpu|X100", "no GPU is called"),
        (f"{ASK}|--quant|fp3", "no precision is called"),
        (f"{ASK}|--concurrency|0", "make no load"),
        (f"{ASK}|--tp|4", "is not the 2 cards"),
        (f"{ASK}|--slo|speed=3", "no bound on a time"),
        (f"{ASK}|--point|output=3", "no figure of a point"),
        (f"{ASK}|--point|output_tokens_per_s=0", "is zero"),
        (f"{ASK}|--measured-on|yesterday", "is no day"),
        (f"{ASK}|--usd-per-gpu-hour|-1", "is no price"),
        (f"{ASK}|--results|nowhere.json", "cannot read"),
        ("capacity|--batch|nowhere.csv", "cannot read"),
    ],
)
def test_what_makes_no_sense_says_what_would(baseload, words, says):
    assert says in baseload(words, code=2).err
