"""What an imported request costs by our books, beside what its log says. Acts (reads bundled data).

A model is looked up under its provider as the log spells it, then as the market book's own patterns know it
(`gpt-4o-2024-08-06` is `gpt-4o`). What no book knows stays unpriced.
"""

from __future__ import annotations

from baseload.audit.pricer import Pricer
from baseload.catalog.books import Catalog
from baseload.catalog.entries import Offer
from baseload.catalog.litellm import provider_of
from baseload.errors import UnknownModel
from baseload.usage import Usage

# What makers of models are called whose names alone tell them.
_BY_NAME = (("gpt-", "openai"), ("o1", "openai"), ("o3", "openai"), ("o4", "openai"), ("claude-", "anthropic"),
            ("gemini-", "google"), ("deepseek-", "deepseek"), ("mistral-", "mistral"), ("grok-", "x-ai"))  # fmt: skip
# Different models that are remembered; a log with more of them is hostile, and merely slower.
_MOST = 10_000

Known = tuple[str, str, Pricer | None, str]


class Prices:
    """Prices by provider and model, each looked up once."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._found: dict[tuple[str, str], Known] = {}

    def known(self, provider: str, model: str) -> Known:
        """The provider and the offer's key as we call them, its pricer (None when no book has it), the book."""
        found = self._found.get((provider, model))
        if found is None:
            if len(self._found) >= _MOST:
                self._found.clear()
            found = self._found[provider, model] = self._find(provider, model)
        return found

    def nanousd(self, provider: str, model: str, usage: Usage, at_ns: int) -> int | None:
        """Integer nano-dollars; None when no book has a price."""
        pricer = self.known(provider, model)[2]
        return None if pricer is None else pricer.nanousd(usage, at_ns)

    def offer(self, provider: str, model: str) -> Offer | None:
        """The offer that prices a model; None when no book has it."""
        key = self.known(provider, model)
        return self._catalog.offer(key[1]) if key[2] is not None else None

    def _find(self, provider: str, model: str) -> Known:
        maker, bare = _split(provider, model)
        for candidate in dict.fromkeys((bare, model)):
            offer = self._offer(maker, candidate)
            if offer is not None:
                return maker, offer.key, Pricer(offer), offer.source.book
        return maker, f"{maker}/{bare}" if maker else bare, None, ""

    def _offer(self, maker: str, model: str) -> Offer | None:
        if not maker or not model:
            return None
        try:
            return self._catalog.offer(f"{maker}/{model}")
        except UnknownModel:
            pattern = _patterns(maker, model)
        try:
            return None if pattern is None else self._catalog.offer(f"{maker}/{pattern}")
        except UnknownModel:
            return None


def _split(provider: str, model: str) -> tuple[str, str]:
    """Who sells the model, and its name there.

    >>> _split("", "openai/gpt-5"), _split("azure_openai", "gpt-5"), _split("", "claude-sonnet-4-5")
    (('openai', 'gpt-5'), ('azure', 'gpt-5'), ('anthropic', 'claude-sonnet-4-5'))
    """
    said = _SAID.get(provider.lower(), provider.lower())
    if not said and "/" in model:
        said, _, model = model.partition("/")
        said = said.lower()
    elif said and model.lower().startswith(f"{said}/"):
        model = model[len(said) + 1 :]
    if not said:
        said = next((maker for start, maker in _BY_NAME if model.startswith(start)), "")
    return provider_of(said), model


# Other spellings of providers: OpenTelemetry's, Langfuse's, FOCUS's.
_SAID = {
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "azure_openai": "azure",
    "az.ai.openai": "azure",
    "aws.bedrock": "aws",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google-vertex",
    "gcp.gen_ai": "google",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
}


def _patterns(maker: str, model: str) -> str | None:
    """The model that the market book's own patterns take a name for."""
    # Imported here: it takes 0.2 s that `baseload --help` must not pay.
    from genai_prices.data import providers

    for provider in providers:
        if provider.id == maker:
            found = provider.find_model(model)
            return None if found is None else found.id
    return None
