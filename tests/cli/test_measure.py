"""`baseload measure` on simulated upstreams whose true curve is known, and on endpoints that misbehave."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from baseload.catalog.entries import Precedence
from baseload.documents import load_deployments
from baseload.gateway.simulation import Order, SimulatedUpstream, simulate

POOL = "qwen3-32b-fp8-2xh100-trtllm1.0"
TRIES = 3
MACHINE = "|--quantization|fp8|--engine|TensorRT-LLM 1.0.0rc3"
SHORT = "--input|30|--output|20|--level-seconds|2"
QUICK = "--input|64|--output|80|--level-seconds|6"


@pytest.fixture(scope="module")
def pool():
    """A pool on a measured curve at its real pace, and an API at a fixed one."""
    own = SimulatedUpstream(name="own", model="qwen3-32b", deployment=POOL)
    api = SimulatedUpstream(name="api", model="gpt-5-mini", first_token_seconds="0.05", tokens_per_second="2000")
    with simulate(Order(upstreams=(own, api))) as child:
        yield {name: f"http://127.0.0.1:{port}/v1" for name, port in child.ready.items()}


def test_the_true_curve_of_a_simulated_pool_is_recovered(baseload, pool):
    """Within 3 % at every measured load and between them, also where the machine was busy the first time."""
    true = load_deployments()[POOL].curve
    line = f"measure|{pool['own']}|--gpu|H100|--gpus|2|--most-in-flight|8|{QUICK}|--name|mine|--json{MACHINE}"
    for _ in range(TRIES):
        found = json.loads(baseload(line).out)
        mine = load_deployments()["mine"]
        rates = {each["in_flight"]: each["output_tokens_per_second"] for each in found["levels"]}
        rates |= {f"fitted {load}": mine.curve.tokens_per_second(load) for load in range(1, 9)}
        off = {key: rate / true.tokens_per_second(int(str(key).split()[-1])) - 1 for key, rate in rates.items()}
        if max(map(abs, off.values())) <= 0.03:
            break
    else:
        pytest.fail(f"missed by {off}")
    assert [each["in_flight"] for each in found["levels"]] == [1, 2, 4, 8]
    assert found["calibrated"]
    assert found["saturated"]["bounded"]  # prompts cost nothing there
    assert (mine.gpu, mine.gpus, mine.max_in_flight, mine.model) == ("h100-80gb", 2, 8, "qwen3-32b")
    assert mine.source.precedence is Precedence.YOURS
    assert found["model_fit"]["loads"] == 5
    assert found["model_fit"]["step"] > 0
    said = baseload("capacity|--model|qwen3-32b|--gpu|H100|--count|2|--quant|fp8|--engine|trtllm|--json")
    assert "calibrated on your mine" in said.err
    assert json.loads(said.out)["calibration"]["points"] == 5
    other = baseload("capacity|--model|qwen3-32b|--gpu|H100|--count|4|--quant|fp8|--engine|trtllm|--json")
    assert "your mine" not in other.err
    words = "decide|--input|1B|--output|1B|--price|3/15|--deployment|mine|--lease|rented|--json"
    decided = json.loads(baseload(words).out)
    assert any(option["kind"] == "rented" for option in decided["options"])


def test_an_open_loop_is_reported_and_says_why_it_makes_no_entry(baseload, pool):
    line = f"measure|{pool['api']}|--rate|40|--arrivals|gamma|{SHORT}|--gpu|H100|--json"
    found = json.loads(baseload(line).out)
    open_loop = found["open_loop"]
    assert open_loop["rate"] == 40
    assert open_loop["errors"] == {}
    # Little's law: what is in flight is what comes a second times how long it stays.
    stays = open_loop["latency"]["mean"]
    assert open_loop["mean_in_flight"] == pytest.approx(open_loop["requests_per_second"] * stays, rel=0.15)
    assert (found["entry"], found["curve"], found["levels"]) == (None, None, [])
    assert "are not known" in found["model_fit"]["why_not"]  # of a model that is bought nobody knows the layers
    assert "no step could be fitted" in baseload(line.removesuffix("|--json")).out


def test_an_open_loop_of_a_known_model_is_kept_as_a_step(baseload, pool):
    line = f"measure|{pool['own']}|--rate|40|--gpu|H100|--gpus|2|--name|opened|{SHORT}|--level-seconds|3{MACHINE}"
    found = json.loads(baseload(f"{line}|--json").out)
    assert found["entry"].endswith("opened.yaml")
    assert found["model_fit"]["loads"] >= 60
    mine = load_deployments()["opened"]
    assert mine.step is not None
    assert mine.doubt.held_out == pytest.approx(found["model_fit"]["held_out"], abs=1e-3)
    assert mine.doubt.calibrated is found["calibrated"]
    assert "measure --rate" in mine.source.reference


def test_bounds_end_it_and_what_was_measured_is_kept(baseload, pool):
    line = f"measure|{pool['api']}|--gpu|H100|{SHORT}|--max-requests|70|--name|short|--json"
    found = json.loads(baseload(line).out)
    assert found["used"]["requests"] == 70
    assert found["stopped"] == "70 requests, as bounded"
    assert found["entry"].endswith("short.yaml")
    assert found["long_prompts"] is None


def test_a_priced_endpoint_is_named_and_asked_about(baseload, pool):
    line = f"measure|{pool['api']}|--offer|openai/gpt-5-mini|--most-in-flight|2|{SHORT}"
    said = baseload(line, code=2)
    assert "USD at openai/gpt-5-mini" in said.err
    assert "Add --yes" in said.err
    found = json.loads(baseload(f"{line}|--yes|--max-usd|0.0008|--json").out)
    assert 0 < found["used"]["usd"] <= 0.0008
    assert found["stopped"] == "0.0008 USD, as bounded"


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        ("http://127.0.0.1:1/v1", 5, "nothing answers"),
        ("ftp://127.0.0.1/v1", 2, "is no address"),
        ("http://user:secret@127.0.0.1/v1", 2, "a key with --key-env"),
        ("URL|--model|other", 2, "does not serve 'other'"),
        ("URL|--gpu|h1000", 2, "no GPU is called"),
        ("URL|--lengths|long", 2, "Use one of fixed, spread"),
        ("URL|--lengths|trace", 2, "--trace FILE"),
        ("URL|--arrivals|poison|--rate|1", 2, "Use one of fixed, poisson"),
        ("URL|--arrivals|trace", 2, "needs one"),
        ("URL|--key-env|NO_SUCH_VARIABLE", 2, "holds no key"),
        ("URL|--max-usd|much", 2, "is no sum"),
        ("URL|--max-usd|1", 2, "cannot be kept"),
        ("URL|--own|--offer|openai/gpt-5-mini", 2, "Give one of them"),
        ("URL|--name|../escape", 2, "cannot be the name"),
        ("URL|--max-tokens|10", 2, "too small to begin"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_do(baseload, pool, more, code, says):
    said = baseload(f"measure|{more.replace('URL', pool['api'])}", code=code)
    assert says in said.err
    assert "next:" in said.err
    assert "secret" not in said.err


def test_the_page_shows_loads_curve_error_and_where_it_is_kept(baseload, pool):
    line = f"measure|{pool['api']}|--gpu|H100|{SHORT}|--most-in-flight|4|--name|paper"
    said = baseload(line).out
    assert "calibrated" in said
    assert "curve: a step takes" in said
    assert "paper.yaml" in said
    assert "next: baseload decide" in said
    assert "####" in said


def test_ctrl_c_leaves_what_was_measured(pool, tmp_path):
    command = [sys.executable, "-m", "baseload", "measure", pool["api"], "--gpu", "H100", "--input", "64"]
    command += ["--output", "200", "--level-seconds", "60", "--name", "cut", "--json"]
    environment = {**os.environ, "BASELOAD_HOME": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as child:
        for line in child.stderr:
            if "2 in flight" in line:
                break
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "interrupted" in err
    found = json.loads(out)
    assert found["stopped"] == "interrupted"
    assert [each["in_flight"] for each in found["levels"]][:2] == [1, 2]
    assert (tmp_path / "deployments" / "cut.yaml").exists()
