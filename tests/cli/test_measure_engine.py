"""A real engine, llama.cpp, is measured from its first token to a decision on the curve that was found."""

import json
import select
import subprocess
import sys

import pytest

from tiny_model import write_tiny_model

pytest.importorskip("xllamacpp", reason="llama.cpp is installed for Linux on x86-64 alone")

SERVER = """
import sys, xllamacpp
asked = xllamacpp.CommonParams()
asked.model.path, asked.n_ctx, asked.n_parallel, asked.cpuparams.n_threads, asked.port = sys.argv[1], 16384, 8, 1, 0
server = xllamacpp.Server(asked)
print("listening", server.listening_address, flush=True)
sys.stdin.read()
"""
START_SECONDS = 60


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """llama.cpp with a model of chance on one core, eight requests at once."""
    folder = tmp_path_factory.mktemp("engine")
    model = folder / "chance.gguf"
    write_tiny_model(model)
    with (folder / "log").open("w") as log:
        child = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        yield _address(child, folder / "log")
    finally:
        child.stdin.close()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()


def _address(child, log):
    while select.select([child.stdout], [], [], START_SECONDS)[0]:
        line = child.stdout.readline()
        if not line:
            break
        if line.startswith("listening "):
            return line.split()[1]
    raise AssertionError(f"llama.cpp did not start: {log.read_text()[-2000:]}")


def test_from_a_real_engine_to_a_decision(baseload, engine):
    line = (
        f"measure|{engine}|--gpu|cpu|--quantization|f16|--input|120|--output|24|--most-in-flight|8"
        "|--level-seconds|4|--name|chance|--json"
    )
    said = baseload(line)
    found = json.loads(said.out)
    assert found["engine"].startswith("llama.cpp")
    assert found["model"].endswith("chance.gguf")
    assert [each["in_flight"] for each in found["levels"]] == [1, 2, 4, 8]
    for level in found["levels"]:
        assert level["errors"] == {}
        assert level["answered"] == level["requests"]
        # A letter is a token there, and the words are made to measure all the same.
        assert level["mean_input_tokens"] == pytest.approx(120, rel=0.15)
        assert level["mean_output_tokens"] == pytest.approx(24, rel=0.15)
        assert 0 < level["ttft"]["p50"] <= level["latency"]["p50"]
        assert level["cached_share"] == pytest.approx(0, abs=0.1)
    assert found["long_prompts"]["mean_input_tokens"] > 3 * 120
    assert found["curve"]["measured_to"] in {4, 8}
    assert found["held_out"] is not None
    assert found["calibrated"] == (abs(found["held_out"]["error"]) <= 0.15)
    assert "8 in flight" in said.err
    decided = baseload("decide|--input|300M|--output|100M|--price|3/15|--deployment|chance|--gpu-hour|0.10|--json")
    answer = json.loads(decided.out)
    assert any(option["kind"] != "api" for option in answer["options"])
