"""A small torture run on both stores, and that its verdict sees what is wrong."""

from __future__ import annotations

import pytest

from baseload.gateway.meter import DIED
from baseload.ledger.accounts import Account
from baseload.load.calls import Charge, Evidence, Status
from baseload.usage import Usage
from benchmarks.torture.__main__ import Plan, torture
from benchmarks.torture.askers import Asked
from benchmarks.torture.faults import EVERY, OF_POSTGRES, schedule
from benchmarks.torture.upstream import Billed
from benchmarks.torture.verdict import Verdict, compare_answers, compare_attempts, compare_budgets
from samples import attempt, call

KINDS = ("worker killed", "database locked", "database killed", "disk full", "segment delivered twice", "verb beside")
BOTH = {"billed and not recorded": 1, "recorded and not billed": 1}
LINE = Billed("r1", 100, 20, 1_000, 0.0)
SERVED = call("c1", attempt(cost=1_000), request_id="r1")
GUESSED = call("c2", attempt(cost=900, evidence=Evidence.ESTIMATED, status=Status.CUT, error=DIED), request_id="r1")


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
async def test_all_of_it_adds_up(store: str) -> None:
    outcome = await torture(Plan(store, seconds=2, workers=2, askers=8, seed=7, kinds=KINDS, least=40, spend=False))
    assert list(outcome.verdict.lines()) == []
    assert outcome.faults["worker killed"]
    assert outcome.verdict.figures["whole answers"] >= 40
    assert outcome.verdict.figures["billed and recorded alike: answers"] > 20


def compared(*calls: object, billed: tuple[Billed, ...] = (LINE,)) -> dict[str, int]:
    found = Verdict()
    compare_attempts(found, calls, {"api": list(billed)})
    return {kind: len(each) for kind, each in found.differences.items() if each}


@pytest.mark.parametrize(
    ("calls", "billed", "differences"),
    [
        ((SERVED,), (LINE,), {}),
        ((GUESSED,), (LINE,), {}),
        ((GUESSED,), (), {}),
        ((SERVED, GUESSED), (LINE, LINE), {}),
        ((), (LINE,), {"billed and not recorded": 1}),
        ((SERVED,), (LINE, LINE), {"billed and not recorded": 1}),
        ((SERVED,), (), {"recorded and not billed": 1}),
        ((call("c1", attempt(cost=999), request_id="r1"),), (LINE,), BOTH),
        (
            (call("c1", attempt(usage=Usage(input_tokens=100, output_tokens=21)), request_id="r1"),),
            (LINE,),
            BOTH,
        ),
        (
            (call("c1", attempt(cost=None), request_id="r1"),),
            (),
            {"an attempt without a price": 1, "recorded and not billed": 1},
        ),
    ],
)  # fmt: skip
def test_what_does_not_stand_beside_the_upstreams_count_is_named(calls, billed, differences):
    assert compared(*calls, billed=billed) == differences


def test_an_answer_that_is_not_recorded_or_was_told_otherwise_is_named():
    told = [
        Asked("r1", "web", 0.0, False, became="whole", decision="c1", usage=(100, 20)),
        Asked("r2", "web", 0.0, False, became="whole", decision="c9", usage=(1, 1)),
        Asked("r1", "web", 0.0, False, became="whole", decision="c1", usage=(100, 21)),
    ]
    found = Verdict()
    compare_answers(found, {"c1": SERVED}, told)
    assert {kind for kind, each in found.differences.items() if each} == {
        "answered and not recorded",
        "a client was told another usage",
        "one call answered twice",
    }


@pytest.mark.parametrize(
    ("account", "difference"),
    [
        (Account(("web usd/total", 0), 2_000, 1_000, 0, 0, 0), ""),
        (Account(("web usd/total", 0), 2_000, 1_001, 0, 0, 0), "charged, and not the sum of its calls"),
        (Account(("web usd/total", 0), 999, 1_000, 0, 0, 0), "a cap was passed"),
        (Account(("web usd/total", 0), 1_500, 1_000, 0, 501, 0), "a cap was passed"),
        (Account(("web usd/total", 0), 2_000, 1_000, 1, 0, 0), "still lent at rest"),
    ],
)
def test_an_account_that_does_not_add_up_is_named(account, difference):
    charged = call("c1", charges=(Charge("web usd/total", 0, 1_000, "w"),))
    found = Verdict()
    compare_budgets(found, [charged], [account], [])
    assert [kind for kind, each in found.differences.items() if each] == ([difference] if difference else [])


def test_the_same_seed_is_the_same_schedule_with_every_fault_in_it():
    faults = schedule(3, 20, postgres=True, clock=True)
    assert faults == schedule(3, 20, postgres=True, clock=True) != schedule(4, 20, postgres=True, clock=True)
    assert {fault.kind for fault in faults} == set(EVERY)
    assert not {fault.kind for fault in schedule(3, 20, postgres=False, clock=True)} & set(OF_POSTGRES)
