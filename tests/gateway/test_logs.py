"""What is logged: by level and format, one line for each call, and never a prompt or a key."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from tests.gateway.conftest import Bench, plain

from baseload.configuration import parse_settings
from baseload.gateway.logs import JsonLines, line_of, tell_access, write_logs
from baseload.gateway.run import serving
from baseload.settings import Log
from samples import FAILED, attempt, call


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = before, level


def test_a_call_has_one_line_at_info_in_either_format(capfd: pytest.CaptureFixture[str]) -> None:
    made = call("a", FAILED, attempt(2, route="pool"), request_id="mine")
    write_logs(Log(level="info", format="json"))
    tell_access([made])
    (line,) = capfd.readouterr().err.splitlines()
    event = json.loads(line)
    assert (event["level"], event["logger"]) == ("info", "baseload.access")
    assert event["call"] == "a"
    assert (event["request_id"], event["upstream"], event["status"]) == ("mine", "pool", "ok")
    assert (event["attempts"], event["input_tokens"], event["output_tokens"]) == (2, 100, 20)
    assert event["cost_usd"] == "0.000001"
    write_logs(Log(level="info"))
    tell_access([made])
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("INFO baseload.access: call=a request_id=mine status=ok")
    for level in ("warning", "error"):
        write_logs(Log(level=level))
        tell_access([made])
    assert capfd.readouterr().err == ""


def test_an_unknown_cost_is_unknown_and_not_nothing() -> None:
    assert line_of(call("a", attempt(cost=None)))["cost_usd"] == "unknown"
    assert "upstream" not in line_of(call("a", FAILED)) or line_of(call("a", FAILED))["upstream"] == "api"


def test_a_failure_is_one_json_line_with_its_traceback() -> None:
    try:
        raise ValueError("no\nway")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "it\nfailed %s", ("so",), (ValueError, error, None))
    (line,) = JsonLines().format(record).splitlines()
    event = json.loads(line)
    assert event["message"] == "it\nfailed so"
    assert "ValueError: no" in event["exception"]


async def test_nothing_that_was_said_is_logged(tmp_path: Path, bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    up = await bench.upstream(plain)
    route = {"name": "r", "upstream": "u", "model": "real", "offer": "u/real", "success": {"judgment": 1}}
    document = {
        "listen": "127.0.0.1:0",
        "data_dir": str(tmp_path),
        "upstreams": [{"name": "u", "base_url": up.url, "api_key": "upstream-secret"}],
        "policy": {"aliases": {"auto": "judgment"}, "routes": [route]},
    }
    write_logs(Log(level="debug", format="json"))
    async with (
        serving(parse_settings(document, {}, origin="test")) as served,
        AsyncOpenAI(base_url=f"{served.url}/v1", api_key="client-secret", max_retries=0) as client,
    ):
        await client.chat.completions.create(
            model="auto",
            messages=[{"role": "user", "content": "my private words"}],
            extra_headers={"x-request-id": "evil id\twith tab" * 20},
        )
    written = capfd.readouterr().err
    lines = [json.loads(line) for line in written.splitlines() if '"baseload.access"' in line]
    assert len(lines) == 1
    assert lines[0]["status"] == "ok"
    assert len(lines[0]["request_id"]) <= 128
    assert " " not in lines[0]["request_id"]
    server_side = "".join(line for line in written.splitlines() if '"logger":"baseload' in line)
    for secret in ("private words", "hello there", "upstream-secret", "client-secret"):
        assert secret not in server_side
