"""Every documented metric is exposed, exact, in both formats, and no label explodes."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from baseload.catalog.entries import Offer, Precedence, PriceRow, Rates, Source
from baseload.gateway import metrics
from baseload.gateway.health import Reload, Status, WorkerState
from baseload.gateway.loaded import Loaded
from baseload.gateway.metrics import FAMILIES, MOST_SERIES, OVER, Metrics, overflow
from baseload.load.calls import Call, Choice, Decision, Evidence, Skip
from baseload.load.calls import Status as Ended
from baseload.load.facts import Bucket
from baseload.policy.policy import Policy, Route
from baseload.settings import Settings
from baseload.units import usd
from baseload.upstreams import Upstream
from baseload.usage import Usage
from samples import START_NS, attempt, call

SERIES = re.compile(r'^(\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)$')


def read(text: bytes) -> dict[tuple[str, str], Decimal]:
    """Every sample by name and labels; fails on a line that is none, and on one that stands twice."""
    found: dict[tuple[str, str], Decimal] = {}
    for line in text.decode().splitlines():
        if line.startswith("# "):
            assert re.match(r"# (HELP \w+ .+|TYPE \w+ (counter|gauge|histogram|info)|EOF)$", line), line
            continue
        matched = SERIES.match(line)
        assert matched, line
        key = (matched[1], matched[2] or "")
        assert key not in found, line
        found[key] = Decimal(matched[3])
    return found


def status(counts: Metrics, **ledger: object) -> Status:
    source = Source("a book", Precedence.MARKET, date(2026, 11, 1), "a page")
    offer = Offer("acme", "api-model", source, (PriceRow(Rates(input=Decimal(1), output=Decimal(2))),))
    success = {Bucket.JUDGMENT: 0.9}
    routes = (
        Route(
            name="pool", upstream="pool", model="pool-model", offer="own/pool-model", own=True, slots=8, success=success
        ),
        Route(name="api", upstream="api", model="api-model", offer="acme/api-model", success=success),
    )
    upstreams = tuple(Upstream(name=name, base_url=f"http://{name}/v1") for name in ("pool", "api"))
    settings = Settings(upstreams=upstreams, policy=Policy(routes=routes))

    async def ask() -> list[WorkerState]:
        return []

    return Status(Loaded(settings=settings, offers={"acme/api-model": offer}), counts, ask, lambda: ledger)


def worker(**more: object) -> WorkerState:
    given = {
        "policy": "p@1",
        "writable": True,
        "usable": True,
        "in_flight": {"pool": 3, "api": 1},
        "left_out": (),
        "calls_written": 5,
        "calls_unwritten": 1,
        "unpriced": 0,
    }
    return WorkerState(**(given | more))


LEDGER = {"behind_bytes": 12, "lost_bytes": 0, "conflicts": 0}
FULL_POOL = Decision(
    id="d",
    policy="p@1",
    routes=(Choice("api", "cheapest", 1_000),),
    skipped=(Skip("pool", "full: 8 requests in flight"),),
)


def everything() -> Metrics:
    counts = Metrics(["pool"])
    told = attempt(first_byte_ns=START_NS + 250_000_000, provider_nanousd=900)
    unpriced = attempt(cost=None)
    counts.tell([call("a", told, stream=True), call("b", attempt(route="pool")), call("c", unpriced)])
    return counts


def test_every_documented_metric_is_exposed() -> None:
    found = status(everything(), **LEDGER)
    spent = ("limit", "spent", "reserved", "used")
    budgets = [
        family for family in FAMILIES if any(family.name.startswith(f"baseload_budget_{each}") for each in spent)
    ]
    found.budgets = lambda: {family: {("acme",): 1} for family in budgets}
    text = everything().text(found.samples([worker(), worker(left_out=("api",))]))
    names = {name for name, _ in read(text)}
    for family in FAMILIES:
        parts = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
        assert {family.printed + part for part in parts} <= names, family.name
        assert f"# HELP {family.printed} {family.help}" in text.decode()
    assert {family.printed for family in FAMILIES} == set(re.findall(r"^# TYPE (\w+) ", text.decode(), re.MULTILINE))


def test_the_gauges_are_of_all_workers() -> None:
    found = status(Metrics(), **LEDGER)
    found.restarts, found.unwritten_by_dead = 2, 4
    now = datetime(2026, 11, 21, tzinfo=UTC)
    found.reload = Reload(ok=False, at=now, error="no", in_force_since=now)
    seen = read(Metrics().text(found.samples([worker(), worker(left_out=("api",)), None])))
    assert seen["baseload_upstream_inflight_requests", 'upstream="pool"'] == 6
    assert seen["baseload_upstream_utilization_ratio", 'upstream="pool"'] == Decimal("0.75")
    assert ("baseload_upstream_utilization_ratio", 'upstream="api"') not in seen
    assert seen["baseload_breaker_state", 'upstream="api"'] == 1
    assert seen["baseload_breaker_state", 'upstream="pool"'] == 0
    assert seen["baseload_unwritten_requests_total", ""] == 6
    assert seen["baseload_workers", ""] == 2
    assert seen["baseload_worker_restarts_total", ""] == 2
    assert seen["baseload_config_last_reload_successful", ""] == 0
    assert seen["baseload_config_last_reload_success_timestamp_seconds", ""] == int(now.timestamp())
    assert seen["baseload_ledger_behind_bytes", ""] == 12
    assert seen["baseload_price_catalog_age_seconds", ""] > 0


def test_what_a_call_consumed_and_cost() -> None:
    seen = read(everything().text({}))
    where = 'route="api",bucket="judgment",upstream="api",model="api-model"'
    assert seen["baseload_requests_total", f'{where},outcome="ok"'] == 2
    assert seen["baseload_tokens_total", f'{where},type="input"'] == 200
    assert seen["baseload_tokens_total", f'{where},type="output"'] == 40
    assert seen["baseload_cost_usd_total", f'{where},source="computed"'] == Decimal("0.000001")
    assert seen["baseload_cost_usd_total", f'{where},source="provider"'] == Decimal("0.0000009")
    assert seen["baseload_unpriced_requests_total", where] == 1
    own = 'route="pool",bucket="judgment",upstream="pool",model="pool-model"'
    assert seen["baseload_cost_usd_total", f'{own},source="amortized"'] == Decimal("0.000001")
    assert seen["baseload_time_to_first_token_seconds_bucket", 'bucket="judgment",upstream="api",le="0.32"'] == 1
    assert seen["baseload_time_to_first_token_seconds_bucket", 'bucket="judgment",upstream="api",le="0.16"'] == 0
    assert seen["baseload_request_duration_seconds_count", 'bucket="judgment",upstream="api"'] == 2
    assert seen["baseload_request_duration_seconds_sum", 'bucket="judgment",upstream="api"'] == 2


usages = st.builds(Usage, **dict.fromkeys(Usage.__struct_fields__, st.integers(0, 10**9)))


@given(st.lists(st.tuples(usages, st.none() | st.integers(0, 10**15)), max_size=20))
def test_no_token_and_no_nano_dollar_is_lost(consumed: list[tuple[Usage, int | None]]) -> None:
    counts = Metrics()
    counts.tell(call(f"c{n}", attempt(usage=used, cost=cost)) for n, (used, cost) in enumerate(consumed))
    seen = read(counts.text({}))
    tokens = sum(value for (name, _), value in seen.items() if name == "baseload_tokens_total")
    assert tokens == sum(used.prompt_tokens + used.completion_tokens for used, _ in consumed)
    cost = sum((value for (name, _), value in seen.items() if name == "baseload_cost_usd_total"), Decimal(0))
    assert cost == usd(sum(cost or 0 for _, cost in consumed))
    assert sum(value for (name, _), value in seen.items() if name == "baseload_requests_total") == len(consumed)


def test_both_formats() -> None:
    samples = status(everything(), **LEDGER).samples([worker()])
    plain, open_metrics = everything().text(samples), everything().text(samples, open_metrics=True)
    assert read(plain) == read(open_metrics)
    assert open_metrics.endswith(b"\n# EOF\n")
    assert b"# TYPE baseload_requests counter" in open_metrics
    assert b"# TYPE baseload_requests_total counter" in plain
    assert b"# TYPE baseload_build info" in open_metrics


def test_names_are_written_so_that_they_can_be_read_back() -> None:
    counts = Metrics()
    counts.tell([call("a", attempt(model='a "quoted" \\ name'))])
    assert r'model="a \"quoted\" \\ name"' in counts.text({}).decode()
    read(counts.text({}))


def test_no_label_explodes() -> None:
    counts = Metrics()
    many = MOST_SERIES * 2
    counts.tell(
        call(f"c{n}", attempt(), model=f"asked-{n}", tags={"user": f"u{n}"}, request_id=f"r{n}") for n in range(many)
    )
    assert len([key for key in read(counts.text({})) if key[0] == "baseload_requests_total"]) == 1
    counts.tell(call(f"d{n}", attempt(model=f"m{n}")) for n in range(many))
    seen = read(counts.text({}))
    for name in ("baseload_requests_total", "baseload_tokens_total", "baseload_cost_usd_total"):
        assert len([key for key in seen if key[0] == name]) <= MOST_SERIES + 1
    others = [key for key in seen if key[0] == "baseload_requests_total" and f'model="{OVER}"' in key[1]]
    assert len(others) == 1
    assert sum(value for (name, _), value in seen.items() if name == "baseload_requests_total") == 2 * many


def overflowed(*attempts: object, decision: Decision) -> Call:
    made = call("x", *attempts)
    return Call(
        id="x", facts=made.facts, decision=decision, attempts=made.attempts, ended_ns=made.ended_ns, status=made.status
    )


def test_why_an_own_pool_did_not_serve() -> None:
    own = frozenset({"pool"})
    failed = attempt(route="pool", status=Ended.FAILED, evidence=Evidence.NONE, cost=None)
    taken = Decision(id="d", policy="p", routes=(Choice("pool", "own", 0), Choice("api", "next", 1)))
    sick = Decision(id="d", policy="p", routes=(), skipped=(Skip("pool", "upstream is unhealthy"),))
    late = Decision(id="d", policy="p", routes=(), skipped=(Skip("pool", "would take about 9.0 s"),))
    unfit = Decision(id="d", policy="p", routes=(), skipped=(Skip("pool", "lacks vision"),))
    assert overflow(overflowed(attempt(), decision=FULL_POOL), own) == "full"
    assert overflow(overflowed(attempt(), decision=taken), own) == "full"
    assert overflow(overflowed(failed, attempt(2), decision=taken), own) == "failed"
    assert overflow(overflowed(attempt(), decision=sick), own) == "unhealthy"
    assert overflow(overflowed(attempt(), decision=late), own) == "late"
    assert overflow(overflowed(attempt(), decision=unfit), own) == ""
    assert overflow(overflowed(attempt(route="pool"), decision=taken), own) == ""
    counts = Metrics(own)
    counts.tell([overflowed(attempt(), decision=FULL_POOL)])
    assert 'baseload_overflow_requests_total{reason="full"} 1' in counts.text({}).decode()


def test_a_scraper_says_which_format_it_wants() -> None:
    assert metrics.wants_open_metrics(b"Application/OpenMetrics-Text; version=1.0.0")
    assert not metrics.wants_open_metrics(b"*/*")
