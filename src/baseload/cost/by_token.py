"""What is bought by the token: leaves, tiers, requests and what stands beside them. Pure; see `model.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from baseload.cost.model import Entry, Figures, Number, currency, happens, monthly, most
from baseload.units import TOKENS_PER_MTOK


def api(v: Figures, share: Number) -> list[Entry]:
    """`share` of the load bought by the token."""
    tokens = _tokens(v)
    bill = sum(entry.amount for entry in tokens)
    for entry in _token_extras(v, tokens, bill):
        tokens.append(entry)
        bill = bill + entry.amount
    used = [
        Entry(each.component, each.title, each.quantity * share, each.unit, each.price, each.names) for each in tokens
    ]
    spent = bill * share
    fee = v("usd_per_request")
    used.append(Entry("request_fees", "request fees", _requests(v, fee) * share, "requests", fee, ("usd_per_request",)))
    minimum = v("minimum_usd_per_month")
    used += [
        Entry("commitment", "missing to the minimum", most(minimum - spent, 0 * spent), "USD", 1,
              ("minimum_usd_per_month",), "idle"),
        monthly("standby", "standby at an API", v, "standby_usd_per_month"),
        monthly("api_input", "cache storage", v, "cache_storage_usd_per_month"),
        Entry("monitoring", "monitoring of an API", v("api_monitoring_share"), "of", v("monitoring_usd_per_month"),
              ("api_monitoring_share", "monitoring_usd_per_month")),
    ]  # fmt: skip
    return [*used, currency(v, sum(entry.amount for entry in used))]


def _tokens(v: Figures) -> list[Entry]:
    """What the load's own tokens cost at the plain price."""
    read, wrote = v("input_tokens_per_month") * v("input_share"), v("output_tokens_per_month") * v("output_share")
    price_in, price_out = v("api_input_usd_per_mtok"), v("api_output_usd_per_mtok")
    cached = (
        ("cache reads", "cache_read_share", "cache_read_ratio"),
        ("cache writes", "cache_write_share", "cache_write_ratio"),
        ("cache writes, 1 h", "cache_write_1h_share", "cache_write_1h_ratio"),
    )
    plain = 1 - sum(v(share) for _, share, _ in cached)
    thought = v("reasoning_per_output_token")
    return [
        _token_entry("api_input", "input tokens", read * plain, price_in,
                     ("input_tokens_per_month", "input_share", "api_input_usd_per_mtok")),
        *(_token_entry("api_input", title, read * v(share), price_in * v(ratio),
                       ("input_tokens_per_month", "input_share", share, "api_input_usd_per_mtok", ratio))
          for title, share, ratio in cached),
        _token_entry("api_output", "output tokens", wrote, price_out,
                     ("output_tokens_per_month", "output_share", "api_output_usd_per_mtok")),
        _token_entry("api_output", "reasoning tokens", wrote * thought, price_out,
                     ("output_tokens_per_month", "output_share", "reasoning_per_output_token",
                      "api_output_usd_per_mtok")),
    ]  # fmt: skip


def _token_extras(v: Figures, tokens: Sequence[Entry], bill: Number) -> Iterator[Entry]:
    """What comes on top of the plain tokens, each a share of what stands before it."""
    read = sum(entry.amount for entry in tokens if entry.component == "api_input")
    wrote = sum(entry.amount for entry in tokens if entry.component == "api_output")
    ratio = v("tokenizer_ratio") - 1
    yield Entry("tokenizer", "tokenizer", ratio, "x token bill", bill, ("tokenizer_ratio",))
    counted = bill * (1 + ratio)
    longer = (v("long_input_ratio") - 1) * read + (v("long_output_ratio") - 1) * wrote
    longer = longer * (1 + ratio)
    names = ("long_context_share", "long_input_ratio", "long_output_ratio")
    yield Entry("api_variants", "long context", v("long_context_share"), "x surcharge", longer, names)
    counted = counted + longer * v("long_context_share")
    saved = (v("batch_price_ratio") - 1) * counted
    yield Entry("api_variants", "batch", v("batch_share"), "x discount", saved, ("batch_share", "batch_price_ratio"))
    counted = counted + saved * v("batch_share")
    again = v("attempts_per_answer") - 1
    yield Entry("retries", "attempts billed again", again, "x token bill", counted, ("attempts_per_answer",))
    counted = counted * (1 + again)
    yield Entry(
        "compliance", "regional endpoint", v("regional_premium"), "x token bill", counted, ("regional_premium",)
    )
    yield Entry("request_fees", "markup", v("markup_share"), "x token bill", counted, ("markup_share",))


def _token_entry(component: str, title: str, tokens: Number, usd_per_mtok: Number, names: tuple[str, ...]) -> Entry:
    return Entry(component, title, tokens / TOKENS_PER_MTOK, "M tokens", usd_per_mtok, names)


def _requests(v: Figures, fee: Number) -> Number:
    """Requests are asked for only where they cost something: they may not be known."""
    return v("requests_per_month") * v("input_share") * v("attempts_per_answer") if happens(fee > 0) else 0 * fee
