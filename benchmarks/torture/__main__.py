"""The torture run: `baseload serve` under everything that goes wrong, and whether everything adds up afterwards.

    python -m benchmarks.torture [--store sqlite|postgres] [--seconds 600] [--workers 8] [--seed 1] [--quick] [--json]

Workers, supervisor and database are killed with SIGKILL, the database is locked and frozen, the disk is full, the clock
jumps, streams are cut on both sides, upstreams refuse in storms, requests and spool segments come twice, other programs
open the ledger and leave it, and budgets run out. `verdict.py` says what must hold afterwards. Exit status 1 when it
does not, and the folder is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import msgspec

from benchmarks.torture.askers import Asked, Askers
from benchmarks.torture.faults import EVERY, Hands, schedule
from benchmarks.torture.stage import Stage
from benchmarks.torture.verdict import Verdict, judge

CAPPED = ("web", "batch", "lab", "late")
"""Teams with a cap for all time."""
QUIET_SECONDS = 5.0
"""Nobody may have been served for so long before a cap counts as spent."""
MOST_QUIET_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done; the same `seed` is the same schedule of faults, and the same requests."""

    store: str = "sqlite"
    seconds: float = 600.0
    workers: int = 8
    askers: int = 32
    seed: int = 1
    kinds: tuple[str, ...] = tuple(EVERY)
    least: int = 0  # answers that clients must have had whole, however long that takes
    spend: bool = True  # every cap to its end, then seal and verify the ledger


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, and what came of it."""

    plan: Plan
    asked: Counter[str]
    replayed: int
    faults: Counter[str]
    means: dict[str, str]
    verdict: Verdict
    folder: str


async def torture(plan: Plan) -> Outcome:
    """One run, from nothing to the verdict."""
    stage = await asyncio.to_thread(Stage, plan.store, plan.workers, plan.seed, plan.seconds / 300)
    good = False
    try:
        outcome = await _run(plan, stage)
        good = outcome.verdict.good
        return outcome
    finally:
        await asyncio.to_thread(stage.close, keep=not good)


async def _run(plan: Plan, stage: Stage) -> Outcome:
    await asyncio.to_thread(stage.gateway.start)
    hands = Hands(stage)
    on_postgres = plan.store == "postgres"
    faults = schedule(plan.seed, plan.seconds, postgres=on_postgres, clock=stage.clock.jumps, kinds=plan.kinds)
    askers = Askers(stage.gateway.port, plan.seed)
    askers.start(plan.askers)
    began = time.monotonic()
    await hands.carry_out(faults)
    await asyncio.sleep(max(0.0, began + plan.seconds - time.monotonic()))
    await _until(lambda: askers.became["whole"] >= plan.least)
    await askers.stop()
    told = [*askers.told, *(await _spend_the_rest(plan, stage) if plan.spend else ())]
    errors = await asyncio.to_thread(_ended, stage, seal=plan.spend)
    with closing(stage.database.open()) as store:
        verdict = await asyncio.to_thread(judge, stage, store, told, hands.troubled, spend=plan.spend)
    verdict.differences["ended with an error"] += errors
    became = Counter(asked.became for asked in told)
    means = {"disk full": stage.disk.how, "clock": stage.clock.how}
    return Outcome(plan, became, askers.replayed, hands.done, means, verdict, str(stage.folder))


def _ended(stage: Stage, *, seal: bool) -> list[str]:
    """End the gateway in order, twice, for what somebody left who was killed; seal the ledger and have it verified.
    Returns what went wrong."""
    found = []
    for again in (False, True):
        if again:
            stage.gateway.start()
        if status := stage.gateway.stop():
            found.append(f"serve ended with {status}, see {stage.gateway.log}")
    for verb in ("seal", "verify") if seal else ():
        done = stage.gateway.run("ledger", verb)
        if done.returncode:
            found.append(f"ledger {verb} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return found


async def _spend_the_rest(plan: Plan, stage: Stage) -> list[Asked]:
    """When nothing goes wrong any more, spend every cap to its end: no money may be stuck. Each is asked for by clients
    of its own, until none was served for a while."""
    all_of_them = [Askers(stage.gateway.port, plan.seed, cut=False, teams=(team,)) for team in CAPPED]
    for askers in all_of_them:
        askers.start(3)
    await _until(lambda: all(_spent(askers) for askers in all_of_them))
    await asyncio.gather(*(askers.stop() for askers in all_of_them))
    return [asked for askers in all_of_them for asked in askers.told]


async def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + MOST_QUIET_SECONDS
    while time.monotonic() < deadline and not holds():  # noqa: ASYNC110 (what it waits for are others' answers)
        await asyncio.sleep(0.2)


def _spent(askers: Askers) -> bool:
    """Whether nobody has been served for a while, because there was no money."""
    since = time.monotonic() - QUIET_SECONDS
    lately = {asked.became for asked in askers.told if asked.ended > since}
    return "whole" not in lately and "budget_exceeded" in lately


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long things go wrong")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--askers", type=int, default=32, help="clients at once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="20 seconds, 3 workers")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    plan = Plan(asked.store, asked.seconds, asked.workers, asked.askers, asked.seed)
    if asked.quick:
        plan = Plan(asked.store, 20.0, 3, 12, asked.seed)
    outcome = asyncio.run(torture(plan))
    if asked.json:
        document = {"schema": "baseload.torture/1", "good": outcome.verdict.good, **msgspec.to_builtins(outcome)}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
    else:
        show(outcome)
    return 0 if outcome.verdict.good else 1


def show(outcome: Outcome) -> None:
    """What was done and what came of it, for people."""
    plan = outcome.plan
    print(f"{plan.store}, {plan.workers} workers, {plan.seconds:g} s, seed {plan.seed}")
    print(f"requests   {outcome.asked.total():,}, {outcome.replayed:,} of them under an id that was used before")
    print("  " + ", ".join(f"{count:,} {name}" for name, count in outcome.asked.most_common()))
    print("faults     " + ", ".join(f"{count} {name}" for name, count in outcome.faults.items()))
    print("           " + ", ".join(f"{name}: {how}" for name, how in outcome.means.items()))
    for name, value in outcome.verdict.figures.items():
        print(f"  {name:<46} {value:>18,}")
    for line in outcome.verdict.lines():
        print(line)
    print("verdict    " + ("all of it adds up" if outcome.verdict.good else f"differences; see {outcome.folder}"))


if __name__ == "__main__":
    sys.exit(main())
