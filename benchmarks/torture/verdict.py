"""Whether everything adds up: the ledger beside the upstreams' own count, clients and budgets. Pure but for reading.

What must hold, of every request by its id:

- An attempt that the upstream's own count was read for (`reported`) stands beside an answer that the upstream billed,
  with the same tokens and the same nano-dollars.
- Every other answer that was billed (it was cut on either side, or its worker was killed) stands beside an attempt that
  is marked `estimated`. An estimate may stand alone: nobody knows whether what was cut off has cost anything.
- An answer that a client had whole is in the ledger once, with the tokens that the client was told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import select

from baseload.gateway.meter import DIED
from baseload.ledger.accounts import Account, account_of, accounts, leases
from baseload.ledger.segments import Damage
from baseload.ledger.store import HotStore
from baseload.load.calls import Call, Evidence
from benchmarks.torture.askers import Asked
from benchmarks.torture.faults import TWICE
from benchmarks.torture.stage import Stage
from benchmarks.torture.upstream import Billed

NAMED = 5
"""Differences of one kind that are spelled out."""
AFTER_TROUBLE_SECONDS = 8.0
"""So long after the store or the whole gateway was away, money may still be on its way back."""
RETURNS_SECONDS = 4.0
"""What lies unused at another worker returns within about three seconds (`docs/budgets.md`)."""
PARTS, CALLS = 64, 16
"""What a worker may hold of a cap without spending it (`docs/budgets.md`): a 64th of it, or what 16 calls need."""


@dataclass
class Verdict:
    """What was counted, and every difference by kind; none is what a run should end with."""

    figures: dict[str, int] = field(default_factory=dict)
    differences: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def good(self) -> bool:
        return not any(self.differences.values())

    def count(self, what: str, amount: int = 1) -> None:
        """Add to a figure."""
        self.figures[what] = self.figures.get(what, 0) + amount

    def lines(self) -> Iterator[str]:
        """Every difference, in words."""
        for kind, found in self.differences.items():
            if not found:
                continue
            yield f"{kind}: {len(found):,}"
            yield from (f"  {each}" for each in found[:NAMED])


def judge(
    stage: Stage, store: HotStore, told: Sequence[Asked], troubled: Sequence[tuple[float, float]], *, spend: bool
) -> Verdict:
    """Compare everything, once nothing moves any more. `spend`: at last every cap was spent to its end."""
    found = Verdict()
    calls = list(store.calls())
    compare_attempts(found, calls, stage.billed())
    compare_answers(found, {call.id: call for call in calls}, told)
    standing = [account_of(row) for row in store.rows(select(accounts))]
    compare_budgets(found, calls, standing, store.rows(select(leases)))
    check_refusals(found, calls, standing, told, troubled, len(stage.ports) * 16)
    if spend:
        check_spent(found, standing, told)
    compare_caps(found, calls, stage.billed(), standing, told)
    check_spool(found, stage)
    return found


def compare_attempts(found: Verdict, calls: Iterable[Call], billed: Mapping[str, list[Billed]]) -> None:
    """The ledger beside the upstreams' own count."""
    reported: Counter[tuple[str, str, int, int, int]] = Counter()
    estimated: Counter[tuple[str, str]] = Counter()
    for call in calls:
        found.count("calls recorded")
        for each in call.attempts:
            found.count("attempts recorded")
            if each.cost_nanousd is None and each.evidence is not Evidence.NONE:
                found.differences["an attempt without a price"].append(f"{call.id} at {each.upstream}")
            key, cost = (call.facts.request_id, each.upstream), each.cost_nanousd or 0
            if each.evidence is Evidence.REPORTED:
                reported[(*key, each.usage.prompt_tokens, each.usage.completion_tokens, cost)] += 1
                found.count("recorded tokens", each.usage.prompt_tokens + each.usage.completion_tokens)
                found.count("recorded nano-dollars", cost)
            elif each.evidence is Evidence.ESTIMATED:
                estimated[key] += 1
                found.count("estimated attempts")
                found.count("of them, their worker was killed", each.error == DIED)
                found.count("estimated nano-dollars", cost)
    _match(found, billed, reported, estimated)


def _match(
    found: Verdict,
    billed: Mapping[str, list[Billed]],
    reported: Counter[tuple[str, str, int, int, int]],
    estimated: Counter[tuple[str, str]],
) -> None:
    """Each answer that was billed takes an attempt that says the same, else one that is an estimate."""
    for name, lines in billed.items():
        for line in lines:
            found.count("answers billed")
            key = (line.request, name, line.prompt, line.completion, line.nanousd)
            if reported[key]:
                reported[key] -= 1
                found.count("billed and recorded alike: answers")
                found.count("billed and recorded alike: tokens", line.prompt + line.completion)
                found.count("billed and recorded alike: nano-dollars", line.nanousd)
            elif estimated[key[:2]]:
                estimated[key[:2]] -= 1
                found.count("billed where we estimate: answers")
                found.count("billed where we estimate: nano-dollars", line.nanousd)
            else:
                found.differences["billed and not recorded"].append(f"{name}: {line}")
    for alone, count in reported.items():
        found.differences["recorded and not billed"] += [str(alone)] * count


def compare_answers(found: Verdict, calls: Mapping[str, Call], told: Iterable[Asked]) -> None:
    """What clients had, beside the ledger."""
    seen: Counter[str] = Counter()
    for asked in told:
        if asked.became != "whole":
            continue
        seen[asked.decision] += 1
        call = calls.get(asked.decision)
        if call is None:
            found.differences["answered and not recorded"].append(f"{asked.id}: {asked.decision}")
        elif asked.usage is not None and call.attempts[-1].evidence is Evidence.REPORTED:
            usage = call.attempts[-1].usage
            if asked.usage != (usage.prompt_tokens, usage.completion_tokens):
                found.differences["a client was told another usage"].append(f"{asked.id}: {asked.usage}, not {usage}")
    found.count("whole answers", seen.total())
    if not seen:
        found.differences["nobody was answered"].append("nothing was tried")
    found.differences["one call answered twice"] += [name for name, count in seen.items() if count > 1]


def compare_budgets(found: Verdict, calls: Iterable[Call], standing: Iterable[Account], lent: Sequence[Any]) -> None:
    """Accounts beside the calls that were charged to them."""
    charged: Counter[tuple[str, int]] = Counter()
    for call in calls:
        for charge in call.charges:
            charged[charge.budget, charge.window_ns] += charge.amount
    for account in standing:
        spent = account.charged + account.forfeited - account.forgiven
        if account.leased:
            found.differences["still lent at rest"].append(f"{account}")
        if account.charged != charged.pop(account.place, 0):
            found.differences["charged, and not the sum of its calls"].append(f"{account}")
        if spent > account.cap:
            found.differences["a cap was passed"].append(f"{account}")
        if account.forfeited < 0:
            found.differences["forfeited below zero"].append(f"{account}")
        found.count("accounts")
    found.differences["charged to no account"] += [str(place) for place, amount in charged.items() if amount]
    found.differences["leases at rest"] += [str(each) for each in lent if each.amount or each.forfeited]


def check_refusals(
    found: Verdict,
    calls: Iterable[Call],
    standing: Iterable[Account],
    told: Sequence[Asked],
    troubled: Sequence[tuple[float, float]],
    holders: int,
) -> None:
    """Whether anybody was refused by a cap for all time while there was money: more than what was spent and reserved,
    forfeited, and held by other workers."""
    totals = {account.place[0].split(" ")[0]: account for account in standing if account.place[1] == 0}
    spent: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for call in calls:
        for charge in call.charges:
            spent[charge.budget.split(" ")[0]][call.facts.request_id] += charge.amount
    for asked in told:
        if asked.became == "budget_exceeded":
            found.count("refused by a budget")
        account = totals.get(asked.budget)
        if asked.became != "budget_exceeded" or account is None:
            continue
        if any(start <= asked.ended and asked.began <= end + AFTER_TROUBLE_SECONDS for start, end in troubled):
            continue
        need = asked.amounts["needed"]
        before = [each for each in told if each.team == asked.team and each.began <= asked.ended]
        gone = sum(spent[asked.budget][name] for name in {each.id for each in before})
        flying = sum(each.ended + AFTER_TROUBLE_SECONDS >= asked.began for each in before)
        slack = holders * max(account.cap // PARTS, CALLS * need) + flying * need
        if gone + account.forfeited + slack + need <= account.cap:
            found.differences["refused while there was money"].append(f"{asked}: {gone} spent of {account}")


def check_spent(found: Verdict, standing: Iterable[Account], told: Sequence[Asked]) -> None:
    """Whoever was refused when nobody had been served for a while was refused because not as much was left: no money is
    stuck anywhere."""
    totals = {account.place[0].split(" ")[0]: account for account in standing if account.place[1] == 0}
    for name, account in totals.items():
        served = max((asked.ended for asked in told if asked.team == name and asked.became == "whole"), default=0.0)
        last = [
            asked
            for asked in told
            if asked.budget == name and asked.became == "budget_exceeded" and asked.began > served + RETURNS_SECONDS
        ]
        found.count("caps spent to their end", bool(last))
        for asked in last:
            if account.free >= asked.amounts["needed"]:
                found.differences["refused at rest while there was money"].append(f"{asked} of {account}")


def compare_caps(
    found: Verdict,
    calls: Iterable[Call],
    billed: Mapping[str, list[Billed]],
    standing: Iterable[Account],
    told: Iterable[Asked],
) -> None:
    """What the upstreams bill of each team, beside the cap of its budget in USD. What they bill for an answer that was
    cut may be more than the estimate that was charged: nobody told us how long it had become there."""
    guessed = {
        call.facts.request_id for call in calls if any(each.evidence is Evidence.ESTIMATED for each in call.attempts)
    }
    teams = {asked.id: asked.team for asked in told}
    sums: Counter[str] = Counter()
    known: Counter[str] = Counter()
    for lines in billed.values():
        for line in lines:
            team = teams.get(line.request, "")
            sums[team] += line.nanousd
            known[team] += line.nanousd * (line.request not in guessed)
    for account in standing:
        name, _, unit = account.place[0].partition(" ")
        if unit == "usd/total" and name in sums:
            found.figures[f"cap of {name}, nano-dollars"] = account.cap
            found.figures[f"charged to {name}"] = account.charged
            found.figures[f"forfeited of {name}"] = account.forfeited
            found.figures[f"billed to {name} by upstreams"] = sums[name]
            if known[name] > account.cap:
                found.differences["billed beyond a cap, and not estimated"].append(f"{name}: {known[name]}")


def check_spool(found: Verdict, stage: Stage) -> None:
    """What lies in the spool's folder once everything was drained."""
    for path in sorted(stage.spool.iterdir()):
        if path.suffix != ".damaged":
            found.differences["left in the spool"].append(path.name)
            continue
        damage = msgspec.json.decode(path.read_bytes(), type=Damage)
        found.count("torn lines set aside")
        if damage.reason != "the line was never finished" and not path.name.startswith(TWICE):
            found.differences["a damaged line"].append(f"{path.name}: {damage.reason}")
