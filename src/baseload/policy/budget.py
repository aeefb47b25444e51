"""Caps on what is spent: which requests a budget counts, for how long, and what a request may cost at most. Pure.

Amounts are integers of the budget's unit: nano-dollars, tokens or requests. A request is counted twice: before it is
sent at the worst it may cost (`worst`), afterwards at what it has cost (`actual`). The worst is a bound, no estimate:
a token has at least one byte, a price is the dearest that the offer may ask at that moment, an answer is as long as it
may become. `gateway/budgets.py` reserves the one and settles the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Annotated, NamedTuple

import msgspec

from baseload.capacity.offer import OWN
from baseload.catalog.entries import Offer, PriceRow, Processing
from baseload.clock import from_ns, to_ns
from baseload.errors import BadConfig
from baseload.load.calls import Attempt, Evidence
from baseload.load.facts import Facts, Operation
from baseload.policy.policy import Name, Route
from baseload.units import (
    NANOSECONDS_PER_SECOND,
    PICO_PER_NANO,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
    nanousd,
    pico_per_token,
    usd,
)

MOST = 10**18
"""The largest cap, in any unit: a billion dollars in nano-dollars. Sums of a few of them still fit in 63 bits."""
MOST_OUTPUT_TOKENS = 393_216
"""An answer without a cap, on a route that states no `output_tokens`: 384K, the longest that a provider of the books
says of its own models (DeepSeek's table of models and prices, api-docs.deepseek.com/quick_start/pricing, read
2026-11-21; Anthropic's say 128K, platform.claude.com/docs/en/models/opus-5/overview, read 2026-11-21)."""
MOST_CONTEXT_TOKENS = 10_000_000
"""A prompt whose bytes do not bound it (a file or a conversation that the provider keeps), where neither the route nor
the book states a context: the longest of the 2,163 offers in the books (Llama 4 Scout; market book of 2026-11)."""
TOKENS_PER_IMAGE = 48_169
"""An image that is named by its address, on a route that states no `image_tokens`: 2,833 + 8 tiles of 5,667 tokens, the
dearest model of OpenAI's vision guide. Its own page could not be read again in 2026-11; 2,845 and 8,512 tokens were
measured for no tile and for one, with a prompt of some ten (community.openai.com/t/1262691, 2025)."""
EACH = "\n"
"""What stands between a budget's name and the value of a tag, where each value has an account: no name holds it."""
MOST_VALUE_BYTES = 200
"""Of a longer value, an account is named by its beginning and a digest."""
_UNNAMED = {0: "\ufffd", ord(EACH): " "}
ROUNDING = 8
"""Nano-dollars that rounding each line of a charge half-even, instead of their sum, may add."""

MOST_OF_ONE = 10**15
"""The most that is ever reserved for one attempt: a million dollars, so that sums of many still fit in 63 bits."""
NOTHING: Mapping[str, int] = MappingProxyType({})

_ROUTE_FIELDS = frozenset(("model", "upstream", "route"))
_MINUTE = SECONDS_PER_MINUTE * NANOSECONDS_PER_SECOND
_HOUR = SECONDS_PER_HOUR * NANOSECONDS_PER_SECOND
ALWAYS_NS = (1 << 63) - 1
"""The end of a window that has none."""

Amount = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
Text = Annotated[str, msgspec.Meta(max_length=512)]


class Per(StrEnum):
    """How long a budget counts before it begins anew."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


class Mode(StrEnum):
    """What becomes of a request that may pass the cap."""

    BLOCK = "block"
    DOWNGRADE = "downgrade"
    WARN = "warn"


class Unit(StrEnum):
    """What a budget counts."""

    USD = "usd"
    TOKENS = "tokens"
    REQUESTS = "requests"


class Budget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A cap of `usd`, `tokens` or `requests` (one of them) `per` minute, hour, day, month or total.

    It has a `name` of its own and counts the requests that `match` says, all of them when it says nothing: `model`,
    `upstream` and `route` are those that serve, `bucket` is what the task needs, and every other name is a tag (`team`,
    `project`, `customer`, `key`, `feature` ...); values may hold `*`. Days and months begin at midnight in `zone`;
    minutes and hours are those of UTC.

    With `each`, there is one such cap for each value of that tag (`customer`, `key` ...), from its first request on; a
    request without the tag is not counted. Beyond so many `values` in one window, all others share one cap.

    `mode` says what becomes of a request whose worst case would pass the cap: `block` refuses it, `downgrade` tries
    cheaper routes, those of cheaper buckets and then those of the model or alias in `instead`, and `warn` serves it and
    says so. `output_tokens` is a cap that is sent upstream with requests that have none of their own, so that their
    worst case is not that of the longest answer there can be. `unpriced` says whether a model without a price may be
    used under a cap in USD, `own` whether your own pools count, at what their hours cost, and `unknown` what becomes of
    a request that the local share of the cap does not cover while the ledger cannot be reached.
    """

    name: Name
    per: Per
    match: dict[Name, Text] = msgspec.field(default_factory=dict)
    each: Annotated[str, msgspec.Meta(max_length=200)] = ""
    values: Annotated[int, msgspec.Meta(gt=0, le=10**6)] = 10_000
    usd: Decimal | None = None
    tokens: Amount | None = None
    requests: Amount | None = None
    mode: Mode = Mode.BLOCK
    zone: str = "UTC"
    instead: str = ""
    output_tokens: Annotated[int, msgspec.Meta(gt=0, le=10**7)] | None = None
    unpriced: Annotated[str, msgspec.Meta(pattern="^(refuse|serve)$")] = "refuse"
    own: bool = True
    unknown: Annotated[str, msgspec.Meta(pattern="^(refuse|serve)$")] = "refuse"

    def __post_init__(self) -> None:
        said = [name for name in Unit if getattr(self, name.value) is not None]
        if len(said) != 1:
            raise ValueError(f"budget {self.name} needs one of usd, tokens and requests")
        if self.usd is not None and not (self.usd.is_finite() and 0 <= self.usd <= usd(MOST)):
            raise ValueError(f"budget {self.name}: {self.usd} is no cap in USD")
        if self.each in (*_ROUTE_FIELDS, "bucket"):
            raise ValueError(f"budget {self.name}: each needs a tag, and {self.each} is none")

    @property
    def unit(self) -> Unit:
        if self.usd is not None:
            return Unit.USD
        return Unit.TOKENS if self.tokens is not None else Unit.REQUESTS

    @property
    def limit(self) -> int:
        """The cap in nano-dollars, tokens or requests."""
        if self.usd is not None:
            return nanousd(self.usd)
        return (self.tokens if self.tokens is not None else self.requests) or 0

    @property
    def account(self) -> str:
        """What its sums are kept under: another unit, or another span, begins another account."""
        return f"{self.name} {self.unit.value}/{self.per.value}"

    def account_of(self, value: str | None) -> str:
        """The same for a value of the tag that has one `each`; None stands for those beyond `values`."""
        if value is None:
            return f"{self.account}{EACH}{EACH}"
        data = value.translate(_UNNAMED).encode("utf-8", "replace")
        if len(data) > MOST_VALUE_BYTES:
            digest = hashlib.blake2b(data, digest_size=16).hexdigest()
            data = data[: MOST_VALUE_BYTES - len(digest) - 1] + b"~" + digest.encode()
        return f"{self.account}{EACH}{data.decode('utf-8', 'ignore')}"

    @property
    def of_routes(self) -> bool:
        """Whether it depends on the route which requests it counts."""
        return not _ROUTE_FIELDS.isdisjoint(self.match)

    def counts(self, facts: Facts) -> bool:
        """Whether it counts a request, as far as that can be said without its route."""
        if self.each and self.each not in facts.tags:
            return False
        for name, pattern in self.match.items():
            if name in _ROUTE_FIELDS:
                continue
            found = facts.bucket.value if name == "bucket" else facts.tags.get(name)
            if found is None or not fnmatchcase(found, pattern):
                return False
        return True

    def counts_on(self, route: Route) -> bool:
        """Whether it counts what goes over a route."""
        for name in _ROUTE_FIELDS & self.match.keys():
            pattern = self.match[name]
            if name == "model":
                if not any(fnmatchcase(each, pattern) for each in (route.model, *route.names)):
                    return False
            elif not fnmatchcase(route.upstream if name == "upstream" else route.name, pattern):
                return False
        return True


class Window(NamedTuple):
    """From one beginning of a budget to the next, in nanoseconds since the epoch."""

    start_ns: int
    end_ns: int


def window(budget: Budget, at_ns: int, zone: tzinfo) -> Window:
    """The window of a moment. Days are as long as they are: 23 or 25 hours where clocks change."""
    if budget.per is Per.TOTAL:
        return Window(0, ALWAYS_NS)
    if budget.per in (Per.MINUTE, Per.HOUR):
        length = _MINUTE if budget.per is Per.MINUTE else _HOUR
        start = at_ns - at_ns % length
        return Window(start, start + length)
    day = from_ns(at_ns).astimezone(zone).date()
    if budget.per is Per.DAY:
        after = day + timedelta(days=1)
    else:
        day = day.replace(day=1)
        after = (day + timedelta(days=32)).replace(day=1)
    return Window(*(to_ns(datetime(each.year, each.month, each.day, tzinfo=zone)) for each in (day, after)))


class Demand(msgspec.Struct, frozen=True, gc=False):
    """What bounds a request: the `bytes_` of its body, how many `images` it names, how many `answers` it asks for (`n`,
    `best_of`, prompts), the `cap` of each, whether it reads what is not in it (`beyond`), and how it asks to be
    processed (`tier`; empty when it leaves that to the provider)."""

    bytes_: int
    images: int = 0
    answers: int = 1
    cap: int | None = None
    beyond: bool = False
    tier: str = ""


_STANDARD = ("default", "standard", "standard_only", "on_demand")


def ways(tier: str) -> tuple[Processing, ...]:
    """How a provider may process a request that asks for a tier: the named way, else in the standard way. Who names
    none may get what the provider's account is set to, but never the fast way, which is asked for by name.

    >>> ways("flex"), ways("default")
    ((<Processing.FLEX: 'flex'>, <Processing.STANDARD: 'standard'>), (<Processing.STANDARD: 'standard'>,))
    """
    if tier in _STANDARD:
        return (Processing.STANDARD,)
    if tier in ("", "auto"):
        return Processing.STANDARD, Processing.FLEX, Processing.PRIORITY
    try:
        return Processing(tier), Processing.STANDARD
    except ValueError:
        return ()


class Dearest(NamedTuple):
    """The most that an offer asks at a moment, by prompts longer than so many tokens, the steepest last: pico-USD per
    input token, per output token, nano-USD per request. `context` is what the book says that its model can read."""

    tiers: tuple[tuple[int, int, int, int], ...]
    context: int | None = None

    def of(self, input_tokens: int, output_tokens: int, answers: int) -> int:
        """Nano-dollars at the most; a prompt that is shorter than its bound may fall into any tier below."""
        if len(self.tiers) == 1:
            _, read, write, request = self.tiers[0]
            return -(-(input_tokens * read + output_tokens * answers * write) // PICO_PER_NANO) + request + ROUNDING
        most = request = 0
        for above, read, write, each in self.tiers:
            if input_tokens > above:
                pico = input_tokens * read + output_tokens * answers * write
                if pico > most:
                    most = pico
                if each > request:
                    request = each
        return -(-most // PICO_PER_NANO) + request + ROUNDING


def dearest(offer: Offer | None, moments: Iterable[datetime], tier: str = "") -> Dearest | None:
    """The most that an offer asks at any of these moments of a request that asks for a service tier; None when it has
    no price at one of them, or none for a tier that is asked for by name."""
    if offer is None:
        return None
    own = offer.provider == OWN  # costs its hours, however it serves
    found: set[tuple[int, int, int, int]] = set()
    asked = (Processing.STANDARD,) if own else ways(tier)
    for when in moments:
        for way in asked:
            row = offer.row(when, way)
            if row is None and (way is Processing.STANDARD or way is asked[0]):
                return None
            if row is not None and not _add_steps(row, found):
                return None
    return Dearest(tuple(sorted(found)), offer.context_tokens) if found else None


def _add_steps(row: PriceRow, found: set[tuple[int, int, int, int]]) -> bool:
    """The steps of a row of prices; False where one has no price."""
    for above, rates in ((-1, row.rates), *((tier.above_prompt_tokens, tier.rates) for tier in row.tiers)):
        if rates.input is None or rates.output is None:
            return False
        reads = (rates.input, rates.cache_read, rates.cache_write, rates.cache_write_1h)
        writes = (rates.output, rates.reasoning)
        read, write = (max(pico_per_token(rate) for rate in side if rate is not None) for side in (reads, writes))
        found.add((above, read, write, nanousd(rates.per_request)))
    return True


def bounds(demand: Demand, route: Route, operation: Operation, known: int | None = None) -> tuple[int, int]:
    """The most tokens that a request may read, and that one of its answers may have. `known` is the context of the
    model, as a book states it: no limit of ours, but all that it can read of what it is only told the name of."""
    context = route.context_tokens
    most_read = demand.bytes_
    if demand.images:
        most_read += demand.images * (route.image_tokens or TOKENS_PER_IMAGE)
    if demand.beyond:
        most_read = max(most_read, context or known or MOST_CONTEXT_TOKENS)
    if context is not None and context < most_read:
        most_read = context
    if operation is Operation.EMBEDDINGS:
        return most_read, 0
    longest = route.output_tokens or MOST_OUTPUT_TOKENS
    if context is not None and context < longest:
        longest = context
    if demand.cap is None:
        return most_read, longest
    # A cap above what the model can write bounds nothing, but a figure that the route does not state is no bound.
    return most_read, demand.cap if route.output_tokens is None else min(demand.cap, longest)


def most(demand: Demand, route: Route, operation: Operation, prices: Dearest | None) -> tuple[int, int | None]:
    """What one attempt on a route may take at the most: tokens, and nano-dollars; None where a price is missing."""
    reads, writes = bounds(demand, route, operation, prices.context if prices is not None else None)
    tokens = reads + writes * demand.answers
    nanousd = prices.of(reads, writes, demand.answers) if prices is not None else None
    if tokens > MOST_OF_ONE:
        tokens = MOST_OF_ONE
    if nanousd is not None and nanousd > MOST_OF_ONE:
        nanousd = MOST_OF_ONE
    return tokens, nanousd


def worst(budget: Budget, found: tuple[int, int | None], route: Route) -> int | None:
    """The most that one attempt on a route may add to a budget, of what it may take at the most; None when that cannot
    be known for want of a price."""
    if route.own and not budget.own:
        return 0
    if budget.usd is not None:
        return 0 if found[1] is None and budget.unpriced == "serve" else found[1]
    return found[0] if budget.tokens is not None else 1


def actual(
    budget: Budget, attempts: Iterable[Attempt], own: frozenset[str], unpriced: Mapping[str, int] = NOTHING
) -> int:
    """What the attempts of one request have added to a budget; `own` names the routes of own pools.

    An attempt without a price adds to a cap in USD what `unpriced` says by its route, which is the worst case that was
    reserved for it: what nobody can price is no way around a cap. Under a budget that serves what is unpriced it adds
    nothing, and is counted as unpriced.
    """
    all_ = budget.own
    if budget.requests is not None:
        return int(any(all_ or each.route not in own for each in attempts))
    in_usd, total = budget.usd is not None, 0
    for each in attempts:
        if each.evidence is Evidence.NONE or not (all_ or each.route not in own):
            continue
        if not in_usd:
            total += each.usage.prompt_tokens + each.usage.completion_tokens
        elif each.cost_nanousd is not None:
            total += each.cost_nanousd
        elif budget.unpriced == "refuse":
            total += unpriced.get(each.route, 0)
    return total


def said(budget: Budget, amount: int) -> str:
    """An amount as people say it; dollars to the cent, or to the digits that tell it from nothing.

    >>> dollars = Budget(name="b", per=Per.DAY, usd=Decimal(10))
    >>> said(dollars, 9_800_000_000), said(dollars, 310_000_000), said(dollars, 123_456)
    ('$9.80', '$0.31', '$0.000123')
    """
    if budget.unit is not Unit.USD:
        one = f"{budget.unit.value.removesuffix('s')}" if amount == 1 else budget.unit.value
        return f"{amount:,} {one}"
    exact = usd(amount)
    if abs(exact) >= 1 or exact == 0 or exact == exact.quantize(Decimal("0.01")):
        return f"${exact:,.2f}"
    return f"${Decimal(f'{exact:.3g}'):f}"


OTHERS = "(others)"
"""What the account is called that values share which have none."""


def value_of(account: str) -> str | None:
    """The value of a tag that an account is for; None for the account of a whole budget."""
    _, between, value = account.partition(EACH)
    if not between:
        return None
    return OTHERS if value == EACH else value


class Standing(NamedTuple):
    """Where a budget stands in a window: its cap, what was spent, and what calls under way may yet spend."""

    limit: int
    spent: int
    reserved: int


_NOW = {
    Per.MINUTE: "this minute",
    Per.HOUR: "this hour",
    Per.DAY: "today",
    Per.MONTH: "this month",
    Per.TOTAL: "in all",
}


def refusal(budget: Budget, standing: Standing, need: int, span: Window, zone: tzinfo, title: str = "") -> str:
    """Why a request is refused, and what to do next. `title` names the value of a budget that has a cap for each."""
    used = f"{said(budget, standing.spent)} of {said(budget, standing.limit)} {_NOW[budget.per]}"
    spent = f"{title or budget.name} has spent {used}"
    if standing.spent + need <= standing.limit:
        spent += f", calls under way may spend {said(budget, standing.reserved)} more"
    verb = "cost" if budget.unit is Unit.USD else "take"
    message = f"{spent} and this call could {verb} {said(budget, need)}. Raise the budget {budget.name}"
    if budget.unit is not Unit.REQUESTS:
        message += ", send a lower cap on the answer (max_tokens)"
    if budget.per is Per.TOTAL:
        return f"{message}."
    ends = from_ns(span.end_ns).astimezone(zone)
    name = "UTC" if budget.zone == "UTC" else budget.zone
    day = f"{ends:%Y-%m-%d} " if budget.per is Per.MONTH else ""
    clock = f"{ends:%H:%M}" if ends.second == 0 else f"{ends:%H:%M:%S}"
    return f"{message} or wait for {day}{clock} {name}."


def check_budgets(budgets: Iterable[Budget]) -> None:
    """Raise BadConfig when two budgets have one name."""
    names = [budget.name for budget in budgets]
    for name in names:
        if names.count(name) > 1:
            raise BadConfig(f"the budget {name!r} stands {names.count(name)} times", remedy="Rename one.")
