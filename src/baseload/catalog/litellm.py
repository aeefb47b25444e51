"""The price map of LiteLLM as our offers. Pure: it is handed the parsed JSON, whose numbers must be exact `Decimal`s.

A price there is USD per token; it becomes USD per million tokens with six decimals. Suffixes of its keys are tiers
(`_above_200k_tokens`) and ways of processing (`_batches`, `_flex`, `_priority`); `off_peak_pricing` holds daily windows
whose hours are UTC and whose weekdays are those of `weekday_timezone`. What is left out: everything that is not priced
by text tokens, and rows at 0/0, which mark what is sold otherwise. A cache write at 0 beside a priced input is how the
map says that there is no such line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from decimal import Decimal
from itertools import pairwise
from typing import Any

from baseload.catalog.entries import EVERY_DAY, Offer, PriceRow, Processing, Rates, Source, Tier, Variant, Window
from baseload.errors import BadInput
from baseload.units import per_mtok

LICENCE = "MIT"
_TEXT_MODES = frozenset({"chat", "completion", "responses"})
# What the map calls a provider, where the other books say it otherwise.
_PROVIDERS = {
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "github_copilot": "github-copilot",
    "meta_llama": "meta",
    "moonshot": "moonshotai",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "vertex_ai": "google-vertex",
    "xai": "x-ai",
}
_KEYS = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "reasoning": "output_cost_per_reasoning_token",
}
_SUFFIXES = {
    Processing.BATCH: "_batches",
    Processing.FLEX: "_flex",
    Processing.PRIORITY: "_priority",
}
_LONGER = re.compile(r"_above_(\d+)k_tokens")
_THOUSAND = 1_000
_WEEK = 7
# A day in winter and one in summer: a zone whose offset differs between them has no fixed week in UTC.
_WINTER, _SUMMER = datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 7, 15, tzinfo=UTC)

Entry = Mapping[str, Any]


def litellm_offers(entries: Mapping[str, Entry], source: Source, *, zone: Callable[[str], tzinfo]) -> Iterator[Offer]:
    """Every text model with a token price. The map spells some models twice; equal rows are taken once.

    Raises BadInput that names the entry.
    """
    seen: dict[str, list[Offer]] = {}
    for name, entry in entries.items():
        if name == "sample_spec" or entry.get("mode") not in _TEXT_MODES:
            continue
        try:
            offer = _offer(name, entry, source, zone)
        except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
            raise BadInput(f"{name}: {error!r}", remedy="Mend that entry, or take it out.") from error
        except BadInput as error:
            raise BadInput(f"{name}: {error.message}", remedy=error.remedy) from error
        if offer is None:
            continue
        twins = seen.setdefault(offer.key, [])
        if all((twin.schedule, twin.variants) != (offer.schedule, offer.variants) for twin in twins):
            twins.append(offer)
            yield offer


def _offer(name: str, entry: Entry, source: Source, zone: Callable[[str], tzinfo]) -> Offer | None:
    base = _base(entry)
    if not base.input and not base.output:
        return None
    tag = str(entry.get("litellm_provider") or "")
    family = _family(tag)
    provider = _PROVIDERS.get(family, family)
    model = name.removeprefix(f"{family}/")
    if not provider or not model:
        raise BadInput("it names no provider", remedy="Give it a litellm_provider.")
    url = entry.get("source")
    return Offer(
        provider,
        model,
        replace(source, reference=f"{source.reference}; {url}") if url else source,
        (PriceRow(base, tiers=_tiers(entry, base, "")), *_off_peak(entry, base, zone)),
        context_tokens=_whole(entry.get("max_input_tokens")),
        variants=tuple(_variants(entry, base)),
    )


def provider_of(tag: str) -> str:
    """What the other books call a provider of LiteLLM's.

    >>> provider_of("bedrock_converse"), provider_of("openai")
    ('aws', 'openai')
    """
    family = _family(tag)
    return _PROVIDERS.get(family, family)


def _family(tag: str) -> str:
    """Tags such as vertex_ai-mistral_models name a family below the provider."""
    return tag.split("-", maxsplit=1)[0] if tag.startswith("vertex_ai") else tag


def _base(entry: Entry) -> Rates:
    """The rates of a short prompt, from the entry itself or from the first of its ranges."""
    ranges = entry.get("tiered_pricing") or ()
    first: Entry = next((each for each in ranges if each.get("range", [0])[0] == 0), {})
    rates = _changed(Rates(None, None), {**first, **{key: entry[key] for key in _KEYS.values() if key in entry}}, "")
    per_request = _price(entry.get("input_cost_per_request"))
    if rates.input and rates.cache_write == 0:
        rates = replace(rates, cache_write=None)
    return rates if per_request is None else replace(rates, per_request=per_request)


def _changed(rates: Rates, entry: Entry, suffix: str) -> Rates:
    """Rates with every price in place that the entry states under that suffix."""
    stated = {leaf: _price(entry.get(key + suffix)) for leaf, key in _KEYS.items()}
    return replace(rates, **{leaf: per_mtok(price) for leaf, price in stated.items() if price is not None})


def _tiers(entry: Entry, base: Rates, processing: str) -> tuple[Tier, ...]:
    """Cliffs by length: from keys with a bound in their name, and from ranges."""
    ending = re.escape(processing)
    bounds = {int(found[1]) for key in entry if (found := re.search(rf"_above_(\d+)k_tokens{ending}$", key))}
    named = [Tier(bound * _THOUSAND, _changed(base, entry, f"_above_{bound}k_tokens{processing}")) for bound in bounds]
    ranges = [] if processing else entry.get("tiered_pricing") or []
    # A range begins above its lower bound, as prices with a bound in their key do.
    ranged = [Tier(bound, _changed(base, each, "")) for each in ranges if (bound := int(each["range"][0]))]
    return tuple(sorted([*named, *ranged], key=lambda tier: tier.above_prompt_tokens))


def _variants(entry: Entry, base: Rates) -> Iterator[Variant]:
    for processing, suffix in _SUFFIXES.items():
        rates = _changed(base, entry, suffix)
        if rates != base:
            # A bound that the map states for standard requests alone is no bound of this way of processing.
            yield Variant(processing, (PriceRow(rates, tiers=_tiers(entry, rates, suffix)),))


def _off_peak(entry: Entry, base: Rates, zone: Callable[[str], tzinfo]) -> Iterator[PriceRow]:
    """Its cheaper hours, on the clock whose weekdays they go by."""
    pricing = entry.get("off_peak_pricing")
    if not pricing:
        return
    rates = _changed(base, pricing, "")
    name = pricing.get("weekday_timezone") or "UTC"
    clock = UTC if name == "UTC" else zone(name)
    for each in pricing["windows"]:
        days = frozenset(day - 1 for day in each["weekdays"]) if each.get("weekdays") else EVERY_DAY
        hours = [each["hours_utc"]] if isinstance(each["hours_utc"], str) else each["hours_utc"]
        for span in hours:
            for window in _windows(span, days, _offset(clock, name)):
                yield PriceRow(rates, window=window, zone=clock)


def _offset(clock: tzinfo, name: str) -> timedelta:
    winter, summer = _WINTER.astimezone(clock).utcoffset(), _SUMMER.astimezone(clock).utcoffset()
    if winter is None or winter != summer:
        raise BadInput(
            f"hours in UTC with weekdays of {name}, whose clocks change, are no fixed hours of a week",
            remedy="State that price in `prices` with a `zone`.",
        )
    return winter


def _windows(span: str, days: frozenset[int], offset: timedelta) -> Iterator[Window]:
    """A span of UTC hours on a clock that is `offset` ahead, cut at its midnight: a weekday is that of the moment."""
    day = timedelta(days=1)
    start, end = (_clock(part) for part in span.split("-"))
    length = (end - start) % day or day
    local = (start + offset) % day
    stop = local + length
    cuts = [local, *([day] if local < day < stop else []), stop]
    for begin, finish in pairwise(cuts):
        yield Window(_time(begin % day), _time(finish % day), days)


def _clock(text: str) -> timedelta:
    at = time.fromisoformat(text.strip())
    return timedelta(hours=at.hour, minutes=at.minute)


def _time(since_midnight: timedelta) -> time:
    return (_WINTER.replace(hour=0) + since_midnight).time()


def _price(value: str | int | Decimal | None) -> Decimal | None:
    """A price that is stated; refuses what is none."""
    if value is None:
        return None
    price = Decimal(value)
    if not price.is_finite() or price < 0:
        raise BadInput(f"{value} is no price", remedy="Write what one token costs in USD.")
    return price


def _whole(value: int | Decimal | str | None) -> int | None:
    return int(value) if isinstance(value, int | Decimal) and value > 0 else None
