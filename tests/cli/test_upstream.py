"""`baseload upstream` as a process, and the page that a configuration without a key stands on."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from openai import OpenAI

from baseload.configuration import read_settings

PAGE = Path(__file__).parent.parent.parent / "docs" / "start.md"
QUESTION = [{"role": "user", "content": "one two three"}]


@contextmanager
def started(verb: str, *arguments: str) -> Iterator[tuple[subprocess.Popen, dict[str, str]]]:
    """A verb that serves until it is told, and the document that it prints once it does."""
    command = [sys.executable, "-m", "baseload", verb, *arguments, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        document = ""
        while not document.endswith("}\n") or document.count("{") != document.count("}"):
            line = process.stdout.readline()
            assert line, process.stderr.read()
            document += line
        yield process, msgspec.json.decode(document)
    finally:
        process.kill()
        process.communicate()


def test_it_serves_one_model_and_says_at_its_end_what_it_served():
    with started("upstream", "gpt-5-mini", "--listen", "127.0.0.1:0", "--first-token-seconds", "0") as (process, said):
        with OpenAI(base_url=said["url"], api_key="none") as client:
            answer = client.chat.completions.create(model="gpt-5-mini", messages=QUESTION, max_tokens=2)
        assert answer.usage.completion_tokens == 2
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "served 1 requests, 3 tokens in, 2 out\n")


def test_the_configuration_without_a_key_serves_as_the_page_says(tmp_path):
    text = re.search(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[1]
    on_the_page = tmp_path / "page.yaml"
    on_the_page.write_text(text)
    own, api = "qwen3-32b", "gpt-5-mini"
    assert [route.model for route in read_settings(on_the_page).policy.routes] == [own, api]
    place = ("--listen", "127.0.0.1:0")
    deployment = re.search(r"deployment: ([\w.-]+)", text)[1]
    with (
        started("upstream", api, *place) as (_, large),
        started("upstream", own, *place, "--deployment", deployment) as (
            _,
            pool,
        ),
    ):
        text = text.replace("http://127.0.0.1:8791/v1", large["url"]).replace("http://127.0.0.1:8792/v1", pool["url"])
        config = tmp_path / "try.yaml"
        config.write_text(text.replace("./try", str(tmp_path / "data")))
        with (
            started("serve", "--config", str(config), "--no-console", *place) as (_, serving),
            OpenAI(base_url=serving["gateway"], api_key="none") as client,
        ):
            served = client.chat.completions.with_raw_response.create(model="auto", messages=QUESTION, max_tokens=2)
    assert served.headers["x-baseload-upstream"] == "pool"
    assert float(served.headers["x-baseload-cost-usd"]) > 0


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("upstream|m|--deployment|nobodys|--listen|127.0.0.1:0", 2, "no deployment is named nobodys"),
        ("upstream|m|--listen|nowhere", 2, "is no address to listen on"),
        ("upstream|m|--tokens-per-second|0", 2, "--tokens-per-second"),
    ],
)
def test_what_cannot_be_simulated(baseload, line, code, said):
    assert said in baseload(line, code).err
