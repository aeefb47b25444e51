"""Shares of budgets: never more is lent than the cap leaves, and what comes back, or is charged, is counted once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from tests.samples import call

from baseload.errors import LedgerUnavailable
from baseload.ledger import accounts
from baseload.ledger.accounts import CEILING, Ask, Grant, Place
from baseload.ledger.held import AFTER, NONE, RECORDS, Held, held_file, read_held, reserved
from baseload.ledger.hot import HotStore, open_store
from baseload.ledger.leases import InDoubt, Leases
from baseload.load.calls import Charge

PLACE = ("acme usd/day", 0)
CAP = 1_000


@pytest.fixture
def store(tmp_path: Path):
    found = open_store(tmp_path)
    yield found
    found.close()


ROUNDS = count(1)


def lend(leases: Leases, holder: str, asks: list[Ask], held: frozenset[Place] = frozenset()) -> list[Grant]:
    return leases.lend(holder, asks, held, number=next(ROUNDS))


def spend(store: HotStore, holder: str, amount: int, name: str, place: tuple[str, int] = PLACE) -> None:
    store.record([call(name, charges=(Charge(*place, amount, holder),))])


def standing(leases: Leases):
    found = leases.standing([PLACE])[PLACE]
    return found.charged, found.leased, found.forfeited, found.forgiven


def test_needs_are_met_one_by_one_and_wishes_in_part(store):
    leases = Leases(store)
    [first] = lend(leases, "a", [Ask(PLACE, CAP, needs=(600, 500, 300))])
    assert first.given == 900
    [second] = lend(leases, "b", [Ask(PLACE, CAP, needs=(101,), wish=50)])
    assert second.given == 12  # an eighth of what is free, and not the need
    [third] = lend(leases, "b", [Ask(PLACE, CAP, needs=(100,), give=12)])
    assert (third.given, third.account.free) == (100, 0)
    assert standing(leases) == (0, 1_000, 0, 0)


def test_a_call_is_charged_when_it_is_recorded_and_once(store):
    leases = Leases(store)
    lend(leases, "a", [Ask(PLACE, CAP, needs=(300,))])
    for _ in range(2):
        spend(store, "a", 120, "one")
    assert standing(leases) == (120, 180, 0, 0)
    lend(leases, "a", [Ask(PLACE, CAP, give=180)])
    assert standing(leases) == (120, 0, 0, 0)


def test_more_than_was_lent_is_charged_all_the_same_and_then_owed(store):
    leases = Leases(store)
    lend(leases, "a", [Ask(PLACE, CAP, needs=(100,))])
    spend(store, "a", 1_300, "one")
    assert standing(leases) == (1_300, -1_200, 0, 0)
    [grant] = lend(leases, "a", [Ask(PLACE, CAP, needs=(1,), owed=1_200)])
    assert (grant.given, grant.account.free) == (1_200, -300)


def test_nothing_breaks_by_a_figure_that_nobody_ever_spent(store):
    for number in range(3):
        spend(store, "a", CEILING, f"{number}")
    assert standing(Leases(store)) == (CEILING, 0, 0, 0)


def test_a_holder_that_died_forfeits_what_it_had_reserved(store):
    leases = Leases(store)
    lend(leases, "a", [Ask(PLACE, CAP, needs=(500,))])
    spend(store, "a", 200, "one")
    assert leases.release("a", {PLACE: 70}) == 70
    assert standing(leases) == (200, 0, 70, 0)
    assert leases.release("a", {PLACE: 70}) == 0


def test_an_expired_lease_is_spent_until_its_calls_come_to_light(store):
    leases = Leases(store)
    lend(leases, "a", [Ask(PLACE, CAP, needs=(500,))])
    spend(store, "a", 100, "before")
    assert leases.expire(2**62) == 1
    assert leases.expire(2**62) == 0
    assert standing(leases) == (100, 0, 400, 0)
    spend(store, "a", 150, "late")
    assert standing(leases) == (250, 0, 250, 0)
    assert leases.release("a", {PLACE: 250}) == 250  # what it had reserved, and nobody wrote down
    assert standing(leases) == (250, 0, 250, 0)


def test_a_holder_that_lives_after_all_has_its_lease_again(store):
    leases = Leases(store)
    lend(leases, "a", [Ask(PLACE, CAP, needs=(500,))])
    leases.expire(2**62)
    assert standing(leases) == (0, 0, 500, 0)
    [grant] = lend(leases, "a", [Ask(PLACE, CAP, needs=(10,), give=100)], frozenset({PLACE}))
    assert (grant.gone, grant.given) == (False, 10)
    assert standing(leases) == (0, 410, 0, 0)
    spend(store, "a", 150, "later")
    assert standing(leases) == (150, 260, 0, 0)


def test_a_holder_that_the_ledger_does_not_know_is_told_so(store):
    [grant] = lend(Leases(store), "a", [Ask(PLACE, CAP, needs=(10,), give=5)], frozenset({PLACE}))
    assert (grant.gone, grant.given, grant.account.leased) == (True, 0, 0)


def test_a_round_that_comes_again_is_answered_as_it_was(store):
    leases = Leases(store)
    asks = [Ask(("b usd/day", 1), CAP, needs=(300,)), Ask(PLACE, CAP, needs=(200,), wish=80)]
    first = leases.lend("a", asks, number=1)
    again = leases.lend("a", asks, frozenset({PLACE}), number=1)
    assert [grant.given for grant in again] == [grant.given for grant in first] == [300, 280]
    assert standing(leases) == (0, 280, 0, 0)
    leases.lend("a", [Ask(PLACE, CAP, give=280)], frozenset({PLACE}), number=2)
    leases.lend("a", [Ask(PLACE, CAP, give=280)], frozenset({PLACE}), number=2)
    assert standing(leases) == (0, 0, 0, 0)


def test_a_ledger_that_is_lost_during_a_commit_leaves_a_round_in_doubt(tmp_path, monkeypatch):
    """The file is taken away between the commit and the look whether it is still there."""
    store = open_store(tmp_path)
    leases = Leases(store)
    leases.lend("a", [Ask(PLACE, CAP, needs=(10,))], number=1)
    before = store._check_written

    def gone() -> None:
        (tmp_path / "ledger.db").rename(tmp_path / "elsewhere.db")
        before()

    monkeypatch.setattr(store, "_check_written", gone)
    with pytest.raises(InDoubt):
        leases.lend("a", [Ask(PLACE, CAP, needs=(20,))], frozenset({PLACE}), number=2)
    store.close()


def test_a_ledger_that_is_locked_leaves_no_doubt(tmp_path):
    with closing(open_store(tmp_path)) as store:
        Leases(store).expire()
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(open_store(tmp_path, busy_seconds=0.05)) as store, pytest.raises(LedgerUnavailable) as error:
            Leases(store).lend("a", [Ask(PLACE, CAP)], number=1)
    assert not isinstance(error.value, InDoubt)


def test_what_is_lent_fits_although_somebody_wrote_without_a_lock(store):
    """The statement that lends holds only while the cap has room, whatever was read before it."""
    leases = Leases(store)
    lend(leases, "a", [Ask(PLACE, CAP, needs=(900,))])
    with store.lending() as connection, pytest.raises(LedgerUnavailable):
        accounts._lent(connection, leases.standing([PLACE])[PLACE]._replace(leased=0), 101)


def test_there_are_so_many_accounts_for_values_and_no_more(store):
    leases = Leases(store)
    ask = [Ask((f"acme usd/day\n{value}", 0), CAP, needs=(10,), values=2) for value in "abc"]
    assert [grant.full for grant in lend(leases, "a", ask)] == [False, False, True]
    assert [grant.full for grant in lend(leases, "b", ask)] == [False, False, True]
    rest = ask[2]._replace(place=("acme usd/day\n\n", 0), values=0)
    assert lend(leases, "b", [rest])[0].given == 10
    assert lend(leases, "b", [ask[2]._replace(place=("acme usd/day\nc", 1))])[0].given == 10, "another window"


def test_a_reset_forgives_what_is_spent_and_not_what_is_reserved(store):
    leases = Leases(store)
    lend(leases, "a", [Ask(PLACE, CAP, needs=(900,))])
    spend(store, "a", 400, "one")
    leases.forgive([PLACE])
    assert standing(leases) == (400, 500, 0, 400)
    [grant] = lend(leases, "b", [Ask(PLACE, CAP, needs=(500,))])
    assert (grant.given, grant.account.free, grant.account.spent) == (500, 0, 0)


def test_what_is_over_is_forgotten_unless_somebody_holds_it(store):
    leases = Leases(store)
    old, held = ("acme usd/day", 1), ("acme usd/day", 2)
    spend(store, "", 5, "one", old)
    lend(leases, "a", [Ask(held, CAP, needs=(5,)), Ask(("acme usd/day", 9), CAP)])
    leases.forget({"acme usd/day": 9})
    assert set(leases.standing([old, held, ("acme usd/day", 9)])) == {held, ("acme usd/day", 9)}


def test_people_are_told_once(store):
    leases = Leases(store)
    assert [leases.first(PLACE, about, 1) for about in ("actual 50", "actual 50", "forecast 50")] == [True, False, True]


def test_what_a_worker_held_outlives_it(tmp_path):
    held = Held(tmp_path, "w")
    records = [held.take((f"b{number}", number)) for number in range(RECORDS)]
    held.cells[records[3]] = 77
    held.cells[records[4]] = 5
    held.give(records[4])
    assert not read_held(held_file(tmp_path, "w")).full
    spare = held.take(("c", 1))
    assert spare == records[4]
    for number in range(2):  # beyond the last one they share one that nobody reads
        held.cells[held.take((f"d{number}", 1))] = 9
    found = read_held(held_file(tmp_path, "w"))
    assert found.full
    assert {place: amount for place, amount in found.reserved.items() if amount} == {("b3", 3): 77}
    held.close()
    other = Held(tmp_path, "v")
    other.cells[other.take(("b3", 3))] = 3
    assert reserved(tmp_path) == {("b3", 3): 80}
    assert read_held(tmp_path / "none").reserved == {}
    other.close()


@pytest.mark.parametrize("step", range(6))
def test_a_call_is_charged_or_forfeited_and_never_both_wherever_its_worker_dies(tmp_path, step):
    """Two accounts of one call, and a death after each of the stores that end their reservations."""
    held = Held(tmp_path, "w")
    one, two = held.take(("one", 0)), held.take(("two", 0))
    cells = held.cells
    cells[one], cells[two] = 100, 30  # this call's 40 and 30, and another's 60
    stores = [
        lambda: (cells.__setitem__(one + AFTER, 60), cells.__setitem__(two + AFTER, 0)),
        lambda: held.name("call"),
        lambda: (cells.__setitem__(one, 60), cells.__setitem__(one + AFTER, NONE)),
        lambda: (cells.__setitem__(two, 0), cells.__setitem__(two + AFTER, NONE)),
        lambda: held.name(""),
    ]
    for each in stores[:step]:
        each()
    left = read_held(held.path)
    if step in (1, 2):
        assert left.settled(lambda _: False) == {("one", 0): 100, ("two", 0): 30}
    if step > 1:
        assert left.settled(lambda call: call == "call") == {("one", 0): 60, ("two", 0): 0}
    held.close()


def test_a_holder_with_more_accounts_than_records_forfeits_what_it_does_not_name(store):
    leases, other = Leases(store), ("other usd/day", 0)
    lend(leases, "a", [Ask(PLACE, CAP, needs=(500,)), Ask(other, CAP, needs=(300,))])
    assert leases.release("a", {PLACE: 0}, full=True) == 300


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
        [grant] = lend(self.leases, holder, [Ask(self.place, CAP, tuple(needs), wish)])
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
        lend(self.leases, holder, [Ask(self.place, CAP, give=amount)])

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
