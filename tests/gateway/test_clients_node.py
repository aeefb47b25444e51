"""The official OpenAI client for Node, unmodified, through the gateway to upstreams of every dialect.

`make test` installs it from the lock file beside the script. Without it this test fails, here as in CI: one that is
skipped has silently stopped testing.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import msgspec
import pytest
from tests.gateway.conftest import Bench

from baseload.load.calls import Status

HERE = Path(__file__).parent / "node"
SECONDS = 60


@pytest.mark.parametrize("serves", ["everything", "chats", "Anthropic"])
async def test_everything_once(bench: Bench, serves: str) -> None:
    node = shutil.which("node")
    assert node is not None, "Node is not on the PATH: install version 18 or newer"
    assert (HERE / "node_modules" / "openai").is_dir(), "its packages are not installed: run `make node`"
    _, gateway = await bench.before_simulated(serves)
    _, failing = await bench.before_simulated(serves, simulate="429=7")
    _, hanging = await bench.before_simulated(serves, simulate="hang=1")
    command = [node, str(HERE / "client.mjs"), *(f"{each.url}/v1" for each in (gateway, failing, hanging))]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 0, complained.decode()
    found = msgspec.json.decode(said)
    assert (found["chat"].split(), found["stream"].split()) == (["word"] * 2, ["word"] * 2)
    assert (found["usage"]["prompt_tokens"], found["usage"]["completion_tokens"]) == (5, 2)
    assert found["tool"] == {"name": "look_up", "arguments": '{"word":"word"}'}
    assert found["schema"] == {"word": "word"}
    assert found["response"].split() == ["word"] * 16
    assert found["kinds"][0] == "response.created"
    assert found["kinds"][-1] in ("response.completed", "response.incomplete")
    assert set(found["streamed"].split()) == {"word"}
    assert (found["error"]["name"], found["error"]["status"]) == ("RateLimitError", 429)
    assert found["error"]["id"]
    assert found["aborted"] > 0, "the stream ended without an error, as the client does when it is aborted"
    assert [call.status for call in bench.spool.calls].count(Status.CLIENT_GONE) == 1
    assert found["models"] == ["auto", "real"]
