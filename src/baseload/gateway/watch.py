"""Somebody hears of it: budgets that fill, own GPUs that burn money unused. Acts (ledger, log, a webhook).

One process for all workers looks every few seconds. Each alert is sent once in each window, by whichever gateway on the
ledger is first. It goes to the log and to the address of the configuration, and nowhere else, one after the other and
beside the looking: an address that is slow keeps no budget from anybody. What could not be delivered is logged and not
sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from functools import cache

import msgspec

from baseload.capacity.deployment import Deployment
from baseload.clock import from_ns
from baseload.errors import BaseloadError, LedgerUnavailable
from baseload.gateway import metrics
from baseload.gateway.budget_status import BudgetStatus, statuses
from baseload.gateway.budgetfile import BudgetFile, in_force
from baseload.gateway.health import Status
from baseload.gateway.http import JSON
from baseload.gateway.loaded import Loaded
from baseload.gateway.metrics import Samples
from baseload.gateway.telling import Telling
from baseload.gateway.upstream import AttemptFailed, Client
from baseload.ledger.accounts import Place
from baseload.ledger.definitions import read_definitions
from baseload.ledger.hot import HotStore, open_store
from baseload.ledger.leases import Leases
from baseload.policy.budget import Budget, Per, Unit, said
from baseload.units import HOURS_PER_DAY, NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR, SECONDS_PER_MINUTE
from baseload.upstreams import Timeouts

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
EXPIRE_LOOKS = 30
"""How many looks there are between two at leases that nobody has renewed."""
MOST_SHOWN = 100
"""Values of one budget's tag that the metrics show."""
MOST_HEARD = 100_000
"""What was told is remembered here; beyond so much of it the ledger is asked again."""
KEPT_NS = 62 * HOURS_PER_DAY * SECONDS_PER_HOUR * NANOSECONDS_PER_SECOND
"""How long the accounts of minutes, hours and days are kept; those of months and totals stay."""
MOST_WAITING = 1_000
"""Alerts that wait for a webhook; what comes beyond stands in the log alone."""
_WEBHOOK = Timeouts(connect=3.0, first_byte=10.0, idle=10.0)


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """What a webhook is sent. `about` is `actual 80`, `forecast 100` or `idle`."""

    schema: str = "baseload.alert/1"
    about: str
    name: str
    message: str
    at: str
    budget: dict[str, object] | None = None


class Watch:
    """Looks after budgets and own pools while a gateway serves."""

    def __init__(self, loaded: Loaded, telling: Telling, status: Status) -> None:
        self._status = status
        self._telling = telling
        self._clock = loaded.settings.clock
        self._began_ns = self._clock.time_ns()
        self._store: HotStore | None = None
        self._task: asyncio.Task[None] | None = None
        self._found: tuple[BudgetStatus, ...] = ()
        self._idle: dict[str, int] = {}  # pools of which somebody has heard, and since when they were idle
        self._looks = 0
        self._waiting: deque[Alert] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._heard: set[tuple[Place, str]] = set()
        status.budgets = self.samples

    def start(self) -> None:
        """Begin to look. Needs a running loop."""
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Look no more."""
        for task in (self._task, self._sending):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        if self._store is not None:
            self._store.close()

    def samples(self) -> Samples:
        """What the metrics say of budgets."""
        seen: Counter[str] = Counter()
        shown = []
        for each in self._found:  # the most spent come first
            seen[each.budget.name] += 1
            if seen[each.budget.name] <= MOST_SHOWN:
                shown.append(each)
        usd = [each for each in shown if each.budget.unit is Unit.USD]
        return {
            metrics.BUDGET_LIMIT: {(each.title,): each.limit for each in usd},
            metrics.BUDGET_SPENT: {(each.title,): each.spent for each in usd},
            metrics.BUDGET_RESERVED: {(each.title,): each.reserved for each in usd},
            metrics.BUDGET_USED: {(each.title,): each.share for each in shown},
        }

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look(self._clock.time_ns())
            except BaseloadError as error:
                log.warning("budgets cannot be looked after: %s", error)
            except Exception:  # the edge of the task: it must outlive what nobody foresaw
                log.exception("budgets cannot be looked after")

    async def look(self, now_ns: int) -> None:
        """Look once, and have told what is new."""
        for alert in (*await asyncio.to_thread(self._budgets, now_ns), *self._pools(now_ns)):
            log.warning("%s", alert.message)
            if not self._status.loaded.settings.alerts.webhook:
                continue
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(alert)
            else:
                log.error("the webhook is not told of it: %d alerts wait for it already", MOST_WAITING)
        if self._waiting and (self._sending is None or self._sending.done()):
            self._sending = asyncio.create_task(self._deliver())

    async def delivered(self) -> None:
        """Until nothing waits for the webhook."""
        if self._sending is not None:
            await self._sending

    async def _deliver(self) -> None:
        while self._waiting:
            alert, webhook = self._waiting.popleft(), self._status.loaded.settings.alerts.webhook
            try:
                if webhook:
                    await self._send(webhook, alert)
            except Exception:  # the edge of the task: the next alert is to be sent all the same
                log.exception("the webhook could not be told of an alert")

    def _budgets(self, now_ns: int) -> list[Alert]:
        """In a thread: where budgets stand, and what is to be told of them for the first time."""
        settings = self._status.loaded.settings
        file = BudgetFile(settings.directory)
        if settings.store or settings.budgets or file.stamp() is not None:
            self._store = self._store or open_store(settings.directory, settings.store)
            said = read_definitions(self._store)
            file.keep(said.budgets, said.version)
        budgets = in_force(settings.budgets, file.read())
        if not budgets or self._store is None:
            self._found = ()
            return []
        leases = Leases(self._store)
        self._looks += 1
        if self._looks % EXPIRE_LOOKS == 0:
            leases.expire()
            old = [each.account for each in budgets if each.per not in (Per.MONTH, Per.TOTAL)]
            leases.forget(dict.fromkeys(old, now_ns - KEPT_NS))
        self._found = statuses(budgets, leases, settings.directory, now_ns)
        alerts: list[Alert] = []
        try:
            for each in self._found:
                alerts += self._crossed(each, leases, now_ns)
        except LedgerUnavailable as error:  # what the ledger holds for told by now is told
            log.warning("not every budget could be looked after: %s", error)
        return alerts

    def _crossed(self, status: BudgetStatus, leases: Leases, now_ns: int) -> Iterator[Alert]:
        """The highest mark that was newly reached; those below it are taken as told."""
        if not status.limit or status.budget.per is Per.MINUTE:  # a rate that is used to the full is no news
            return
        forecast = status.forecast(now_ns)
        for kind, share in (("actual", status.share), ("forecast", forecast)):
            reached = [mark for mark in self._status.loaded.settings.alerts.percents if (share or 0) * 100 >= mark]
            new = [mark for mark in reached if self._first(leases, status.place, f"{kind} {mark}", now_ns)]
            if new and share is not None and not (kind == "forecast" and status.share * 100 >= max(new)):
                yield self._told(status, kind, max(new), share, now_ns)

    def _first(self, leases: Leases, place: Place, about: str, now_ns: int) -> bool:
        """Whether nobody has heard of it yet; asked of the ledger once."""
        if (place, about) in self._heard:
            return False
        if len(self._heard) >= MOST_HEARD:
            self._heard.clear()
        first = leases.first(place, about, now_ns)
        self._heard.add((place, about))
        return first

    def _told(self, status: BudgetStatus, kind: str, mark: int, share: float, now_ns: int) -> Alert:
        budget: Budget = status.budget
        spent = f"budget {status.title} has spent {said(budget, status.spent)} of {said(budget, status.limit)}"
        ends = f" by {from_ns(status.span.end_ns):%Y-%m-%d %H:%M} UTC" if budget.per is not Per.TOTAL else ""
        pace = f"; at this pace {share:.0%} of it{ends}" if kind == "forecast" else f" ({share:.0%})"
        at, shown = from_ns(now_ns).isoformat(), status.shown(now_ns)
        return Alert(about=f"{kind} {mark}", name=status.title, message=spent + pace, at=at, budget=shown)

    def _pools(self, now_ns: int) -> Iterator[Alert]:
        """Own pools that have served nothing for long, each time once."""
        settings = self._status.loaded.settings
        longest = settings.alerts.idle_minutes * SECONDS_PER_MINUTE * NANOSECONDS_PER_SECOND
        for upstream in settings.upstreams if longest else ():
            if upstream.kind != "own":
                continue
            hourly = hourly_usd(self._status.loaded, upstream.name)
            since = max(self._telling.last_ns.get(upstream.name, 0), self._began_ns)
            if now_ns - since < longest or self._idle.get(upstream.name) == since:
                continue
            self._idle[upstream.name] = since
            message = f"own pool {upstream.name} has served nothing since {from_ns(since):%Y-%m-%d %H:%M} UTC: "
            if hourly is None:
                message += "what it costs is not known; state its deployment and usd_per_gpu_hour"
            else:
                burnt = hourly * Decimal(now_ns - since) / (SECONDS_PER_HOUR * NANOSECONDS_PER_SECOND)
                message += f"it costs ${hourly:,.2f} an hour, ${burnt:,.2f} so far"
            yield Alert(about="idle", name=upstream.name, message=message, at=from_ns(now_ns).isoformat())

    async def _send(self, webhook: str, alert: Alert) -> None:
        client = Client(webhook, _WEBHOOK)
        try:
            with await client.send("POST", "", [JSON], msgspec.json.encode(alert)) as answer:
                if answer.status >= 300:
                    log.error("the webhook did not take an alert: HTTP %d", answer.status)
        except AttemptFailed as error:
            log.error("the webhook could not be reached: %s", error.message)
        finally:
            client.close()


def hourly_usd(loaded: Loaded, upstream: str) -> Decimal | None:
    """What an hour of an own pool costs, all its replicas; None where that is not known."""
    found = next(each for each in loaded.settings.upstreams if each.name == upstream)
    if not found.deployment or found.usd_per_gpu_hour is None:
        return None
    deployment = _deployments().get(found.deployment)
    return None if deployment is None else found.usd_per_gpu_hour * deployment.gpus * max(1, len(found.urls))


@cache
def _deployments() -> Mapping[str, Deployment]:
    from baseload.documents import load_deployments  # one process needs it, and no worker

    return load_deployments()
