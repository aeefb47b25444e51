"""Shares of budgets: never more is lent than the cap leaves, and what comes back, or is charged, is counted once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from tests.samples import call

from baseload.ledger.accounts import CEILING, Ask
from baseload.ledger.held import RECORDS, Held, held_file, read_held, reserved
from baseload.ledger.hot import HotStore, open_store
from baseload.ledger.leases import Leases
from baseload.load.calls import Charge

PLACE = ("acme usd/day", 0)
CAP = 1_000


@pytest.fixture
def store(tmp_path: Path):
    found = open_store(tmp_path)
    yield found
    found.close()


def spend(store: HotStore, holder: str, amount: int, name: str, place: tuple[str, int] = PLACE) -> None:
    store.record([call(name, charges=(Charge(*place, amount, holder),))])


def standing(leases: Leases):
    found = leases.standing([PLACE])[PLACE]
    return found.charged, found.leased, found.forfeited, found.forgiven


def test_needs_are_met_one_by_one_and_wishes_in_part(store):
    leases = Leases(store)
    [first] = leases.lend("a", [Ask(PLACE, CAP, needs=(600, 500, 300))])
    assert first.given == 900
    [second] = leases.lend("b", [Ask(PLACE, CAP, needs=(101,), wish=50)])
    assert second.given == 12  # an eighth of what is free, and not the need
    [third] = leases.lend("b", [Ask(PLACE, CAP, needs=(100,), give=12)])
    assert (third.given, third.account.free) == (100, 0)
    assert standing(leases) == (0, 1_000, 0, 0)


def test_a_call_is_charged_when_it_is_recorded_and_once(store):
    leases = Leases(store)
    leases.lend("a", [Ask(PLACE, CAP, needs=(300,))])
    for _ in range(2):
        spend(store, "a", 120, "one")
    assert standing(leases) == (120, 180, 0, 0)
    leases.lend("a", [Ask(PLACE, CAP, give=180)])
    assert standing(leases) == (120, 0, 0, 0)


def test_more_than_was_lent_is_charged_all_the_same_and_then_owed(store):
    leases = Leases(store)
    leases.lend("a", [Ask(PLACE, CAP, needs=(100,))])
    spend(store, "a", 1_300, "one")
    assert standing(leases) == (1_300, -1_200, 0, 0)
    [grant] = leases.lend("a", [Ask(PLACE, CAP, needs=(1,), owed=1_200)])
    assert (grant.given, grant.account.free) == (1_200, -300)


def test_nothing_breaks_by_a_figure_that_nobody_ever_spent(store):
    for number in range(3):
        spend(store, "a", CEILING, f"{number}")
    assert standing(Leases(store)) == (CEILING, 0, 0, 0)


def test_a_holder_that_died_forfeits_what_it_had_reserved(store):
    leases = Leases(store)
    leases.lend("a", [Ask(PLACE, CAP, needs=(500,))])
    spend(store, "a", 200, "one")
    assert leases.release("a", {PLACE: 70}) == 70
    assert standing(leases) == (200, 0, 70, 0)
    assert leases.release("a", {PLACE: 70}) == 0


def test_an_expired_lease_is_spent_until_its_calls_come_to_light(store):
    leases = Leases(store)
    leases.lend("a", [Ask(PLACE, CAP, needs=(500,))])
    spend(store, "a", 100, "before")
    assert leases.expire(2**62) == 1
    assert leases.expire(2**62) == 0
    assert standing(leases) == (100, 0, 400, 0)
    spend(store, "a", 150, "late")
    assert standing(leases) == (250, 0, 250, 0)
    [grant] = leases.lend("a", [Ask(PLACE, CAP, needs=(10,))], frozenset({PLACE}))
    assert (grant.gone, grant.given) == (True, 0)
    [again] = leases.lend("a", [Ask(PLACE, CAP, needs=(10,))])
    assert (again.gone, again.given) == (False, 10)
    leases.release("a", {PLACE: 10})
    assert standing(leases) == (250, 0, 10, 0)


def test_a_reset_forgives_what_is_spent_and_not_what_is_reserved(store):
    leases = Leases(store)
    leases.lend("a", [Ask(PLACE, CAP, needs=(900,))])
    spend(store, "a", 400, "one")
    leases.forgive([PLACE])
    assert standing(leases) == (400, 500, 0, 400)
    [grant] = leases.lend("b", [Ask(PLACE, CAP, needs=(500,))])
    assert (grant.given, grant.account.free, grant.account.spent) == (500, 0, 0)


def test_what_is_over_is_forgotten_unless_somebody_holds_it(store):
    leases = Leases(store)
    old, held = ("acme usd/day", 1), ("acme usd/day", 2)
    spend(store, "", 5, "one", old)
    leases.lend("a", [Ask(held, CAP, needs=(5,)), Ask(("acme usd/day", 9), CAP)])
    leases.forget({"acme usd/day": 9})
    assert set(leases.standing([old, held, ("acme usd/day", 9)])) == {held, ("acme usd/day", 9)}


def test_people_are_told_once(store):
    leases = Leases(store)
    assert [leases.first(PLACE, about, 1) for about in ("actual 50", "actual 50", "forecast 50")] == [True, False, True]


def test_what_a_worker_held_outlives_it(tmp_path):
    held = Held(tmp_path, "w")
    records = [held.take((f"b{number}", number)) for number in range(RECORDS + 1)]
    assert records[-1] == -1
    held.write(records[3], 77)
    held.write(records[4], 5)
    held.write(-1, 5)
    held.give(records[4])
    held.close()
    assert read_held(held_file(tmp_path, "w")) == {("b3", 3): 77}
    other = Held(tmp_path, "v")
    other.write(other.take(("b3", 3)), 3)
    assert reserved(tmp_path) == {("b3", 3): 80}
    assert read_held(tmp_path / "none") == {}


class Borrowing(RuleBasedStateMachine):
    """Holders that borrow, spend, die and expire in any order. A model keeps what each may spend; the cap must hold."""

    directory: Path

    def __init__(self) -> None:
        super().__init__()
        self.number = Borrowing.runs = getattr(Borrowing, "runs", 0) + 1
        self.place = (f"b{self.number}", 0)
        self.store = open_store(self.directory)
        self.leases = Leases(self.store)
        self.room = dict.fromkeys("abc", 0)
        self.spent, self.calls, self.forfeited, self.forgiven = 0, 0, 0, 0

    @rule(holder=st.sampled_from("abc"), needs=st.lists(st.integers(0, 700), max_size=3), wish=st.integers(0, 300))
    def borrow(self, holder, needs, wish):
        [grant] = self.leases.lend(holder, [Ask(self.place, CAP, tuple(needs), wish)])
        self.room[holder] += grant.given
        fits = min(needs, default=0)
        assert grant.given or fits > CAP - self.committed or fits == 0

    @rule(holder=st.sampled_from("abc"), share=st.floats(0, 1))
    def spend(self, holder, share):
        amount = int(self.room[holder] * share)
        self.calls += 1
        self.spent += amount
        self.room[holder] -= amount
        for _ in range(2):
            spend(self.store, holder, amount, f"{self.number}-{self.calls}", self.place)

    @rule(holder=st.sampled_from("abc"), share=st.floats(0, 1))
    def give_back(self, holder, share):
        amount = int(self.room[holder] * share)
        self.room[holder] -= amount
        self.leases.lend(holder, [Ask(self.place, CAP, give=amount)])

    @rule(holder=st.sampled_from("abc"), share=st.floats(0, 1))
    def die(self, holder, share):
        held = int(self.room[holder] * share)
        self.room[holder] = 0
        assert self.leases.release(holder, {self.place: held}) == held
        self.forfeited += held

    @rule()
    def reset(self):
        self.leases.forgive([self.place])
        self.forgiven = self.spent + self.forfeited

    @property
    def committed(self) -> int:
        return self.spent + self.forfeited - self.forgiven + sum(self.room.values())

    @invariant()
    def the_cap_holds_and_the_sums_are_right(self):
        account = self.leases.standing([self.place]).get(self.place)
        if account is None or not account.cap:  # nobody has borrowed of it yet
            return
        found = (account.charged, account.leased, account.forfeited, account.forgiven)
        assert found == (self.spent, sum(self.room.values()), self.forfeited, self.forgiven)
        assert 0 <= account.free == CAP - self.committed

    def teardown(self) -> None:
        self.store.close()


def test_the_cap_holds_whatever_happens(tmp_path):
    Borrowing.directory = tmp_path
    bounded = settings(max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Borrowing, settings=bounded)
