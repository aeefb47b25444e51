"""Which offer a model's name stands for: the one rule behind every verb that prices a model by name. Pure.

`provider/model` is that offer. A bare name is looked for in the best books that know it (yours, then the providers',
then the market's, then the articles'). Among their offers it is the maker's own where the maker sells the model, else
the cheapest. An offer without a price for what is asked is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from baseload.catalog.books import Catalog, bare_name
from baseload.catalog.entries import Offer, Precedence, Rates
from baseload.errors import Unpriced

# Input and output weigh 3 to 1 where nothing says how much of either is asked.
INPUT_SHARE = Decimal("0.75")

# A family of names, and its maker as the books call it, its first sales channel first. Read from the names that
# providers list for their own models in genai-prices 0.2.3 and the articles' tables, 2026-11.
_MAKERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"(gpt|chatgpt|o\d|codex|davinci|babbage)\b", ("openai",)),
    (r"claude\b", ("anthropic",)),
    (r"(gemini|gemma)\b", ("google",)),
    (r"deepseek\b", ("deepseek",)),
    (r"(mistral|open-mistral|mixtral|ministral|magistral|codestral|devstral|pixtral)\b", ("mistral",)),
    (r"grok\b", ("x-ai",)),
    (r"glm\b", ("zai", "zhipuai", "z-ai", "glm")),
    (r"(kimi|moonshot)\b", ("moonshotai",)),
    (r"minimax\b", ("minimax",)),
    (r"(command|c4ai)\b", ("cohere",)),
    (r"(sonar|pplx)\b", ("perplexity",)),
    (r"(llama|muse)\b", ("meta",)),
    (r"(qwen|qwq)", ("qwen",)),
    (r"hunyuan\b", ("tencent",)),
    (r"(amazon\.)?(nova|titan)\b", ("aws",)),
    (r"(doubao|seed)\b", ("bytedance", "doubao")),
    (r"ernie\b", ("baidu",)),
    (r"voyage\b", ("voyageai",)),
    (r"step\b", ("stepfun",)),
    (r"(ling|ring)\b", ("inclusionai",)),
    (r"composer\b", ("cursor",)),
)

_WHOSE = {
    Precedence.YOURS: "your own prices",
    Precedence.PROVIDER: "the providers' books",
    Precedence.MARKET: "the market's books",
    Precedence.ARTICLES: "the articles",
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """The offer that a name stands for, and why that one; no reason where the name is the offer's own."""

    offer: Offer
    why: str


def choose(catalog: Catalog, name: str, cost: Callable[[Offer], Decimal]) -> Chosen:
    """The offer of a name by what it costs for what is asked; `cost` raises Unpriced where an offer cannot say.

    Raises UnknownModel with close matches, Unpriced when no offer of the name has a price.
    """
    rows = catalog.named(name)
    if not rows:
        raise catalog.unknown(name)
    first: dict[str, Offer] = {}
    for offer in rows:
        first.setdefault(offer.key, offer)
    costs, reason = _costs(list(first.values()), cost)
    if not costs:
        raise reason
    if len(first) == 1:
        only = costs[0][1]
        return Chosen(only, "" if only.key.lower() == name.strip().lower() else "the only offer of that name")
    return _among(costs)


def blended(rates: Rates) -> Decimal | None:
    """USD per million tokens, three parts read and one written; None where a price is not known."""
    if rates.input is None or rates.output is None:
        return None
    return rates.input * INPUT_SHARE + rates.output * (1 - INPUT_SHARE)


def makers(model: str) -> tuple[str, ...]:
    """The names under which the maker of a model sells it; none where the maker is not known.

    >>> makers("openrouter/openai/gpt-4o"), makers("GLM 5")[0], makers("house-blend")
    (('openai',), 'zai', ())
    """
    name = bare_name(model)
    return next((found for family, found in _MAKERS if re.match(family, name)), ())


def _costs(offers: list[Offer], cost: Callable[[Offer], Decimal]) -> tuple[list[tuple[Decimal, Offer]], Unpriced]:
    """What has a price, and the last reason why something has none."""
    reason = Unpriced("nothing is offered", remedy="Name a model.")
    found = []
    for offer in offers:
        try:
            found.append((cost(offer), offer))
        except Unpriced as error:
            reason = error
    return found, reason


def _among(costs: list[tuple[Decimal, Offer]]) -> Chosen:
    best = min(offer.source.precedence for _, offer in costs)
    books = [(usd, offer) for usd, offer in costs if offer.source.precedence == best]
    whose = _WHOSE[best]
    for provider in makers(books[0][1].model):
        own = [offer for _, offer in books if offer.provider == provider]
        if own:
            return Chosen(own[0], f"its maker's own, of {len(books)} offers in {whose}")
    cheapest = min(books, key=lambda pair: (pair[0], pair[1].key))[1]
    known = "its maker does not sell it there" if makers(cheapest.model) else "its maker is not known"
    return Chosen(cheapest, f"the cheapest of {len(books)} offers in {whose}; {known}")
