"""What each budget has been charged, and what of it is lent to whom. Acts on a transaction that is handed in.

    committed = charged + leased + forfeited - forgiven <= cap

`charged` is what calls of the ledger have cost: a call is charged in the transaction that records it, so the sum of an
account is the sum of the ledger, and a call that comes twice is charged once. `leased` is lent to workers (`holders`),
who spend it without asking. `forfeited` is what a worker that died had reserved for calls under way: charged in full,
since nobody knows what they have cost. `forgiven` is what somebody has reset.

Every statement is plain SQL that SQLite and PostgreSQL share. An account's row is locked while it is changed, and what
is lent is added by a statement that holds only while the cap has room for it. Rows are locked in the order of their
names, accounts before leases, whoever changes them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Table, Text, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from baseload.errors import LedgerUnavailable
from baseload.ledger.tables import metadata
from baseload.load.calls import Call
from baseload.policy.budget import EACH
from baseload.units import NANOSECONDS_PER_SECOND

CEILING = 1 << 62
"""What a sum stops at: a provider that reports more than anybody ever spent breaks no arithmetic."""

accounts = Table(
    "budget_accounts",
    metadata,
    Column("budget", Text, primary_key=True),
    Column("window_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("cap", BigInteger, nullable=False),
    Column("charged", BigInteger, nullable=False),
    Column("leased", BigInteger, nullable=False),
    Column("forfeited", BigInteger, nullable=False),
    Column("forgiven", BigInteger, nullable=False),
)

leases = Table(
    "budget_leases",
    metadata,
    Column("holder", Text, primary_key=True),
    Column("budget", Text, primary_key=True),
    Column("window_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("amount", BigInteger, nullable=False),
    Column("forfeited", BigInteger, nullable=False),
    Column("until_ns", BigInteger, nullable=False),
)

rounds = Table(
    "budget_rounds",
    metadata,
    Column("holder", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("grants", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
)

alerts = Table(
    "budget_alerts",
    metadata,
    Column("budget", Text, primary_key=True),
    Column("window_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("about", Text, primary_key=True),
    Column("at_ns", BigInteger, nullable=False),
)

EXPIRED = -1
"""Until when an expired lease holds."""

Place = tuple[str, int]
"""A budget's name, and when its window began."""


class Ask(NamedTuple):
    """What a holder wants of an account whose cap is `cap`: what each waiting call `needs`, what more it would like
    (`wish`); and what it gives back, what it has `lost` (calls that were served but not written down) and what it must
    have whatever the cap (`owed`: calls that cost more than their worst case, or under a budget that only warns). Of a
    budget with an account for each value of a tag there are at most so many in one window (`values`; 0 for others)."""

    place: Place
    cap: int
    needs: tuple[int, ...] = ()
    wish: int = 0
    give: int = 0
    lost: int = 0
    owed: int = 0
    values: int = 0


class Account(NamedTuple):
    """An account as it stands."""

    place: Place
    cap: int
    charged: int
    leased: int
    forfeited: int
    forgiven: int

    @property
    def spent(self) -> int:
        return max(0, self.charged + self.forfeited - self.forgiven)

    @property
    def free(self) -> int:
        """What may still be lent; below zero where the cap was passed, or lowered."""
        return self.cap - (self.charged + self.leased + self.forfeited - self.forgiven)


class Grant(NamedTuple):
    """What a holder was given beyond what it had, and the account after that. `gone`: the ledger knows of no lease of
    it (somebody has removed it, or put an older ledger in its place); it starts from nothing. `full`: its budget has
    as many accounts as it may have, and this is none of them."""

    given: int
    account: Account
    gone: bool = False
    full: bool = False


def lend(
    connection: Connection, holder: str, number: int, asks: Sequence[Ask], seconds: float, held: frozenset[Place]
) -> list[Grant]:
    """Settle what a holder gives back and lend it what it asks for, as far as the caps reach, for so many seconds.

    `held` are the accounts of which it believes to hold a lease. `number` is that of its round, which begins at 1: a
    round that comes again, because its holder never heard what came of it, is answered as it was and changes nothing.
    """
    found = connection.execute(select(rounds).where(rounds.c.holder == holder)).first()
    if found is not None and found.number == number:
        answers = msgspec.json.decode(found.grants, type=list[tuple[int, bool, bool]])
        return [
            Grant(given, _read(connection, ask), gone, full)
            for ask, (given, gone, full) in zip(asks, answers, strict=True)
        ]
    now = now_ns(connection)
    until = now + int(seconds * NANOSECONDS_PER_SECOND)
    in_order = sorted(range(len(asks)), key=lambda each: asks[each].place)
    counts: dict[Place, int] = {}
    grants = {each: _lend(connection, holder, asks[each], until, asks[each].place in held, counts) for each in in_order}
    answer = [grants[each] for each in range(len(asks))]
    text = msgspec.json.encode([(grant.given, grant.gone, grant.full) for grant in answer]).decode()
    if found is None:
        _insert(connection, rounds, {"holder": holder, "number": number, "grants": text, "at_ns": now})
    else:
        values = {"number": number, "grants": text, "at_ns": now}
        connection.execute(update(rounds).where(rounds.c.holder == holder).values(**values))
    return answer


def _lend(
    connection: Connection, holder: str, ask: Ask, until_ns: int, believes: bool, counts: dict[Place, int]
) -> Grant:
    if ask.values and _is_full(connection, ask, counts):
        return Grant(0, Account(ask.place, ask.cap, 0, 0, 0, 0), full=True)
    account = _locked(connection, ask.place, ask.cap)
    lease = _lease(connection, holder, ask.place)
    if lease is None and believes:
        return Grant(0, account, gone=True)
    # A holder that was held for dead and is not has again what was forfeited for it.
    back = lease.forfeited if lease is not None and lease.until_ns == EXPIRED else 0
    amount = (lease.amount if lease is not None else 0) + back
    account = account._replace(leased=account.leased + back, forfeited=account.forfeited - back, cap=ask.cap)
    returned = ask.give + ask.lost
    account = account._replace(
        leased=account.leased - returned + ask.owed, forfeited=min(account.forfeited + ask.lost, CEILING)
    )
    _keep(connection, account)
    free, given = account.free, 0
    for need in ask.needs:
        if need <= free:
            free, given = free - need, given + need
    given += max(0, min(ask.wish, free // 8))
    if given:
        account = _lent(connection, account, given)
    given += ask.owed
    _keep_lease(connection, holder, ask.place, lease, amount - returned + given, until_ns)
    return Grant(given, account)


def _is_full(connection: Connection, ask: Ask, counts: dict[Place, int]) -> bool:
    """Whether this account is not there, and may not be made. `counts` are those there are, by family and window, as
    far as this round has counted them. Two rounds that ask at once may both make theirs."""
    (budget, window_ns), table = ask.place, accounts.c
    here = select(table.budget).where(table.budget == budget, table.window_ns == window_ns)
    if connection.execute(here).first() is not None:
        return False
    family = budget[: budget.index(EACH) + 1]
    found = counts.get((family, window_ns))
    if found is None:
        ours = func.substr(table.budget, 1, len(family)) == family
        count = select(func.count()).select_from(accounts).where(table.window_ns == window_ns, ours)
        found = int(connection.execute(count).scalar_one())
    full = found >= ask.values
    counts[family, window_ns] = found if full else found + 1
    return full


def _lent(connection: Connection, account: Account, amount: int) -> Account:
    """The account with that much more of it lent: one statement, which holds only while the cap leaves as much."""
    table, (budget, window_ns) = accounts.c, account.place
    committed = table.charged + table.leased + table.forfeited - table.forgiven
    lending = (
        update(accounts)
        .where(table.budget == budget, table.window_ns == window_ns, committed + amount <= table.cap)
        .values(leased=table.leased + amount)
        .returning(*table)
    )
    row = connection.execute(lending).first()
    if row is None:
        remedy = "Let nobody else write to the ledger's tables; the request may be sent again."
        raise LedgerUnavailable(f"the account of {budget} was changed by somebody who did not lock it", remedy=remedy)
    return account_of(row)


def now_ns(connection: Connection) -> int:
    """The time by the database's clock, which all of its gateways share; by the machine's, where it is a file."""
    if connection.dialect.name == "postgresql":
        seconds = connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one()
        return int(seconds * NANOSECONDS_PER_SECOND)
    return time.time_ns()


def charge(connection: Connection, calls: Iterable[Call]) -> None:
    """Charge calls that are new to the ledger, in the transaction that records them."""
    sums: dict[tuple[str, int, str], int] = defaultdict(int)
    for call in calls:
        for each in call.charges:
            sums[each.budget, each.window_ns, each.holder] += each.amount
    for (budget, window_ns, holder), amount in sorted(sums.items()):
        place = (budget, window_ns)
        account = _locked(connection, place, None)
        lease = _lease(connection, holder, place)
        charged = min(account.charged + amount, CEILING)
        late = rest = 0
        if lease is not None:
            late = min(lease.forfeited, amount)
            rest = amount - late if lease.until_ns != EXPIRED else 0
            values = {"amount": lease.amount - rest, "forfeited": lease.forfeited - late}
            connection.execute(_of(update(leases), holder, place).values(**values))
        _keep(
            connection,
            account._replace(charged=charged, leased=account.leased - rest, forfeited=account.forfeited - late),
        )


def release(connection: Connection, holder: str, reserved: Mapping[Place, int], *, full: bool = False) -> int:
    """End the leases of a holder that is gone and whose calls are all charged: what it had `reserved` is forfeited, the
    rest returns; of an account that it has not said anything of, all of it when its records were `full`. Returns how
    much was forfeited, over all units."""
    forfeited = 0
    ours = select(leases).where(leases.c.holder == holder).order_by(leases.c.budget, leases.c.window_ns)
    for lease in connection.execute(ours).all():
        place = (lease.budget, lease.window_ns)
        account = _locked(connection, place, None)
        most = lease.amount + lease.forfeited
        kept = max(0, min(reserved.get(place, most if full else 0), most))
        account = account._replace(
            leased=account.leased - lease.amount, forfeited=account.forfeited - lease.forfeited + kept
        )
        _keep(connection, account)
        forfeited += kept
    connection.execute(delete(leases).where(leases.c.holder == holder))
    connection.execute(delete(rounds).where(rounds.c.holder == holder))
    return forfeited


def expire(connection: Connection, now: int | None = None) -> int:
    """Forfeit the leases that nobody has renewed in time; calls that come to light later are charged against that, and
    a holder that lives after all has it again. Returns how many there were."""
    before = now_ns(connection) if now is None else now
    overdue = select(leases).where(leases.c.until_ns < before, leases.c.until_ns != EXPIRED)
    late = connection.execute(overdue.order_by(leases.c.budget, leases.c.window_ns, leases.c.holder)).all()
    for lease in late:
        place = (lease.budget, lease.window_ns)
        account = _locked(connection, place, None)
        lease = _lease(connection, lease.holder, place)  # noqa: PLW2901 (as it is now that its account is locked)
        if lease is None or not EXPIRED < lease.until_ns < before:
            continue
        gone = max(0, lease.amount)
        _keep(connection, account._replace(leased=account.leased - lease.amount, forfeited=account.forfeited + gone))
        values = {"amount": 0, "forfeited": lease.forfeited + gone, "until_ns": EXPIRED}
        connection.execute(_of(update(leases), lease.holder, place).values(**values))
    return len(late)


def forgive(connection: Connection, places: Iterable[Place]) -> None:
    """Let accounts begin anew: what was spent so far counts no more. What calls under way have reserved still does."""
    for place in places:
        account = _locked(connection, place, None)
        _keep(connection, account._replace(forgiven=account.charged + account.forfeited))


def forget(connection: Connection, before: Mapping[str, int]) -> None:
    """Remove accounts of budgets whose windows began before a moment, and that nobody holds a lease of."""
    for budget, start_ns in before.items():
        for table in (alerts, accounts, leases):
            name = table.c.budget
            ours = (name == budget) | (func.substr(name, 1, len(budget) + 1) == budget + EACH)
            lent = leases.alias()
            held = select(lent.c.amount).where(lent.c.budget == name, lent.c.window_ns == table.c.window_ns)
            old = delete(table).where(ours, table.c.window_ns < start_ns)
            connection.execute(old.where(~held.where(lent.c.amount != 0).correlate(table).exists()))
    if before:
        connection.execute(delete(rounds).where(rounds.c.at_ns < min(before.values())))


def once(connection: Connection, place: Place, about: str, at_ns: int) -> bool:
    """Whether this is the first time that somebody is to hear of it."""
    values = {"budget": place[0], "window_ns": place[1], "about": about, "at_ns": at_ns}
    found = connection.execute(
        select(alerts.c.at_ns).where(
            alerts.c.budget == place[0], alerts.c.window_ns == place[1], alerts.c.about == about
        )
    )
    if found.first() is not None:
        return False
    _insert(connection, alerts, values)
    return True


def account_of(row: Any) -> Account:  # noqa: ANN401 (a row of `accounts`)
    """An account from its row."""
    place = (row.budget, row.window_ns)
    return Account(place, row.cap, row.charged, row.leased, row.forfeited, row.forgiven)


def _at(place: Place) -> Any:  # noqa: ANN401 (a SELECT)
    return select(accounts).where(accounts.c.budget == place[0], accounts.c.window_ns == place[1])


def _read(connection: Connection, ask: Ask) -> Account:
    row = connection.execute(_at(ask.place)).first()
    return account_of(row) if row is not None else Account(ask.place, ask.cap, 0, 0, 0, 0)


def _locked(connection: Connection, place: Place, cap: int | None) -> Account:
    """The account, made where it is missing, with its row locked until the transaction ends."""
    query = _at(place).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        values = {"budget": place[0], "window_ns": place[1], "cap": cap or 0}
        _insert(connection, accounts, values | dict.fromkeys(("charged", "leased", "forfeited", "forgiven"), 0))
        row = connection.execute(query).one()
    return account_of(row)


def _keep(connection: Connection, account: Account) -> None:
    budget, window_ns = account.place
    connection.execute(
        update(accounts)
        .where(accounts.c.budget == budget, accounts.c.window_ns == window_ns)
        .values(
            cap=account.cap,
            charged=account.charged,
            leased=account.leased,
            forfeited=account.forfeited,
            forgiven=account.forgiven,
        )
    )


def _lease(connection: Connection, holder: str, place: Place) -> Any:  # noqa: ANN401 (a row of `leases`, or None)
    return connection.execute(_of(select(leases), holder, place)).first()


def _keep_lease(connection: Connection, holder: str, place: Place, lease: object, amount: int, until_ns: int) -> None:
    if lease is None:
        values = {"holder": holder, "budget": place[0], "window_ns": place[1], "amount": amount, "forfeited": 0}
        _insert(connection, leases, values | {"until_ns": until_ns})
    else:
        values = {"amount": amount, "forfeited": 0, "until_ns": until_ns}
        connection.execute(_of(update(leases), holder, place).values(**values))


def _of(statement: Any, holder: str, place: Place) -> Any:  # noqa: ANN401 (a SELECT or an UPDATE)
    return statement.where(leases.c.holder == holder, leases.c.budget == place[0], leases.c.window_ns == place[1])


def _insert(connection: Connection, table: Table, values: Mapping[str, object]) -> None:
    """Two that insert the same row at once both go on: PostgreSQL has no lock on what is not there yet."""
    make: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(make(table).values(**values).on_conflict_do_nothing())
