"""Replicas are drained by the admin API: in every worker, over a restart, until they are put to work again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.gateway.conftest import Bench, Running, ScriptedUpstream, question
from tests.gateway.test_admin import ADMIN_KEY, call

from baseload.gateway import draining
from baseload.upstreams import Pool


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "LOOK_SECONDS", 0.02)


async def worker(bench: Bench, replicas: list[ScriptedUpstream], directory: Path) -> Running:
    pool = {"base_url": "", "replicas": tuple(each.url for each in replicas)}
    pool["pool"] = Pool(health_seconds=0, prefix_bytes=0)
    return await bench.gateway("http://unused/v1", upstream=pool, data_dir=str(directory), admin_key=ADMIN_KEY)


async def ask(gateway: Running, times: int = 4) -> None:
    for _ in range(times):
        await gateway.client().chat.completions.create(**question())


async def test_one_is_drained_everywhere_and_put_to_work_again(bench: Bench, tmp_path: Path) -> None:
    replicas = [await bench.upstream() for _ in range(2)]
    first, other = [await worker(bench, replicas, tmp_path) for _ in range(2)]
    said = await call(first, "POST", "/upstreams/u0/drain", json={"replica": replicas[0].url})
    (upstream,) = said.json()["upstreams"]
    assert [each["draining"] for each in upstream["replicas"]] == [True, False]
    assert (upstream["name"], upstream["left_out"], upstream["resting_keys"]) == ("u0", False, 0)
    await asyncio.sleep(0.2)
    for each in (first, other, await worker(bench, replicas, tmp_path)):
        await ask(each)
    assert [len(each.seen) for each in replicas] == [0, 12]
    await call(other, "POST", "/upstreams/u0/undrain", json={"replica": replicas[0].url})
    await asyncio.sleep(0.2)
    for each in (first, other):
        seen = await call(each, "GET", "/upstreams")
        assert [at["draining"] for at in seen.json()["upstreams"][0]["replicas"]] == [False, False]
    await ask(first)
    assert len(replicas[0].seen) > 0


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/upstreams/nobody/drain", {"replica": "http://x/v1"}, "no upstream 'nobody'"),
        ("/upstreams/u0/drain", {"replica": "http://x/v1"}, "no replica 'http://x/v1'"),
        ("/upstreams/u0/drain", {}, "replica"),
        ("/upstreams/u0/explode", {"replica": "http://x/v1"}, "not possible"),
    ],
)
async def test_what_is_not_there_cannot_be_drained(
    bench: Bench, tmp_path: Path, path: str, body: dict[str, str], says: str
) -> None:
    gateway = await worker(bench, [await bench.upstream()], tmp_path)
    answer = await call(gateway, "POST", path, json=body)
    assert answer.status_code in (400, 404)
    assert says in answer.json()["error"]["message"]
    assert not (tmp_path / draining.DRAINED).exists()


async def test_a_file_that_cannot_be_read_drains_nothing(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / draining.DRAINED).write_text("{")
    replicas = [await bench.upstream()]
    await ask(await worker(bench, replicas, tmp_path), 1)
    assert len(replicas[0].seen) == 1
    assert "nothing drains" in caplog.text
