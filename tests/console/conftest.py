"""A real ledger of real calls, and the console over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from starlette.testclient import TestClient

from baseload.console.app import create_app
from baseload.console.source import LedgerSource
from baseload.ledger.hot import open_store
from baseload.load.calls import Call, Evidence, Skip, Status
from baseload.load.facts import Bucket
from baseload.policy.policy import Policy, Route
from baseload.settings import Settings, Upstream
from baseload.usage import Usage
from samples import attempt, call

DEPLOYMENT = "qwen3-32b-2xh100-vllm0.12"
# Everything a browser, a spreadsheet or a template could trip over.
HOSTILE = "=1+1</script><script>alert(1)</script>\"'&{{7*7}}"
OWN, API = "own/qwen3-32b", "openai/gpt-5.5"
ALL = {Bucket.BANDWIDTH: 0.9, Bucket.JUDGMENT: 0.9, Bucket.FLAGSHIP: 0.9}


@pytest.fixture
def configured() -> Settings:
    """A pool and two APIs; one of the offers to compare is in no book."""
    return Settings(
        upstreams=(
            Upstream(
                name="pool",
                base_url="http://127.0.0.1:1/v1",
                kind="own",
                deployment=DEPLOYMENT,
                usd_per_gpu_hour=Decimal("2.40"),
            ),
            Upstream(name="api", base_url="http://127.0.0.1:1/v1"),
        ),
        policy=Policy(
            name="test",
            routes=(
                Route(name="pool", upstream="pool", model="qwen3-32b", offer=OWN, own=True, slots=8, success=ALL),
                Route(name="api", upstream="api", model="gpt-5.5", offer=API, success=ALL),
            ),
        ),
        compare=("openai/gpt-4o", "openai/gpt-5-mini", "nobody/knows-this"),
    )


def traffic(count: int = 360, run: str = "one") -> list[Call]:
    """Calls over ten minutes: two of three on the pool, the rest found it full; streams broke, a try failed."""
    return [_call(place, run) for place in range(count)]


def _call(place: int, run: str) -> Call:
    usage = Usage(input_tokens=900 + place * 7 % 600, output_tokens=100 + place * 13 % 200)
    own = place % 3 != 0
    cost = usage.completion_tokens * 301 if own else usage.prompt_tokens * 5_000 + usage.completion_tokens * 30_000
    status = Status.CUT if place % 50 == 1 else Status.OK
    tries = [attempt(route="pool" if own else "api", offer=OWN if own else API, usage=usage, cost=cost, status=status)]
    if place == 4:
        down = attempt(route="pool", offer=OWN, status=Status.FAILED, usage=Usage(), evidence=Evidence.NONE, cost=None)
        tries = [down, attempt(2, route="api", offer=API, usage=usage, cost=cost)]
    bucket = list(Bucket)[place % 3]
    written = call(f"{run}-{place}", *tries, seconds=place * 5 / 3, bucket=bucket, tags={"run": run})
    skipped = () if own else (Skip("pool", "full: 8 requests in flight"),)
    return msgspec.structs.replace(written, decision=msgspec.structs.replace(written.decision, skipped=skipped))


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Callable[[list[Call]], None]]:
    """Writes calls down in the ledger that the console reads."""
    store = open_store(tmp_path)
    yield store.record
    store.close()


@pytest.fixture
def source(tmp_path: Path, configured: Settings) -> Iterator[LedgerSource]:
    found = LedgerSource(tmp_path, configured, pause_seconds=0.0)
    yield found
    found.close()


@pytest.fixture
def console(source: LedgerSource) -> Iterator[TestClient]:
    with TestClient(create_app(source), raise_server_exceptions=False) as client:
        yield client
