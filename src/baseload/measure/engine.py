"""What serves an endpoint: asked of it, never guessed. Acts.

Engines say who they are in places of their own: vLLM at /version, SGLang at /server_info or /get_server_info, llama.cpp
at /props, TGI at /info, and all of them in `owned_by` of /v1/models.
"""

from __future__ import annotations

import msgspec

from baseload.errors import BadInput, UnknownModel, UpstreamUnreachable
from baseload.measure.asking import Dialect
from baseload.measure.endpoint import OK, Broken, Endpoint
from baseload.measure.levels import clean

IGNORES_END: dict[str, object] = {"ignore_eos": True}
# What each engine takes beside OpenAI's fields so that an answer is as long as asked.
_EXTRA: dict[str, dict[str, object]] = {
    "vLLM": IGNORES_END,
    "SGLang": IGNORES_END,
    "TensorRT-LLM": IGNORES_END,
    "llama.cpp": {**IGNORES_END, "cache_prompt": False},
}
_HAS_MINIMUM = {"vLLM", "TensorRT-LLM"}
_OWNERS = {"vllm": "vLLM", "sglang": "SGLang", "llamacpp": "llama.cpp", "tensorrt_llm": "TensorRT-LLM"}
# Who else says of a model that it owns it where a GPU serves it: LMDeploy, Ollama, our simulated upstreams. A gateway
# names whoever sells the model.
_SERVERS = {*_OWNERS, "", "lmdeploy", "library", "simulated"}


class Served(msgspec.Struct, frozen=True):
    """One endpoint: its models, the engine and its version (empty where it does not say), the longest context, and
    whose model it says that it is."""

    models: tuple[str, ...]
    engine: str = ""
    version: str = ""
    context_tokens: int | None = None
    owner: str = ""

    @property
    def resells(self) -> bool:
        """Whether no engine says that the model is its own: a gateway that buys tokens may stand at your address."""
        return self.owner.lower() not in _SERVERS

    @property
    def named(self) -> str:
        """The engine with its version, as far as it says."""
        return f"{self.engine} {self.version}".strip() if self.engine else ""

    def dialect(self, ignore_end: bool | None = None) -> Dialect:
        """What this engine takes so that answers are as long as asked. An unknown one is asked as OpenAI is, unless
        told to `ignore_end`."""
        extra = dict(_EXTRA.get(self.engine, IGNORES_END if ignore_end else {}))
        if ignore_end is False:
            extra.pop("ignore_eos", None)
        return Dialect(extra=extra, minimum=self.engine in _HAS_MINIMUM and ignore_end is not False)


class _Meta(msgspec.Struct):
    n_ctx: int | None = None


class _Card(msgspec.Struct):
    id: str
    owned_by: str = ""
    max_model_len: int | None = None
    meta: _Meta | None = None


class _Models(msgspec.Struct):
    data: list[_Card]


class _Said(msgspec.Struct):
    version: str = ""
    build_info: str = ""
    sglang_version: str = ""


async def ask_engine(endpoint: Endpoint, model: str | None) -> tuple[Served, str]:
    """What an endpoint serves, and the model to measure: the one named, or the only one.

    Raises UpstreamUnreachable where nothing answers, and UnknownModel where the model is not served.
    """
    try:
        reply = await endpoint.get(f"{endpoint.path}/models")
    except Broken as error:
        raise UpstreamUnreachable(
            f"{endpoint.url}: {error}", remedy="Check that an HTTP server listens there."
        ) from error
    if reply.status in {401, 403}:
        raise BadInput(f"{endpoint.url} wants a key", remedy="Name the variable that holds it: --key-env NAME.")
    cards = _cards(reply.body) if reply.status == OK else []
    chosen = _chosen(endpoint, model, cards)
    card = next((each for each in cards if each.id == chosen), None)
    engine = _OWNERS.get(card.owned_by.lower(), "") if card is not None else ""
    engine, version = await _version(endpoint, engine)
    context = (card.max_model_len or (card.meta.n_ctx if card.meta else None)) if card is not None else None
    return Served(
        tuple(each.id for each in cards),
        engine,
        clean(version),
        context,
        clean(card.owned_by) if card is not None else "",
    ), chosen


def _chosen(endpoint: Endpoint, model: str | None, cards: list[_Card]) -> str:
    names = [each.id for each in cards]
    if model is not None and (not names or model in names):
        return model
    listed = clean(", ".join(names[:8]))
    if model is not None:
        raise UnknownModel(f"{endpoint.url} does not serve {model!r}", remedy=f"It serves {listed}.")
    if len(names) == 1:
        return names[0]
    found = f"{len(names)} models are served there: {listed}" if names else f"{endpoint.url} lists no models"
    raise UnknownModel(found, remedy="Name the one to measure with --model.")


def _cards(body: bytes) -> list[_Card]:
    try:
        return msgspec.json.decode(body, type=_Models).data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


async def _version(endpoint: Endpoint, engine: str) -> tuple[str, str]:
    """The engine and its version, from the places where engines say so; only those that may be it are asked."""
    places = {
        "vLLM": ("/version", "version"),
        "SGLang": ("/get_server_info", "version"),
        "llama.cpp": ("/props", "build_info"),
        "TensorRT-LLM": ("/version", "version"),
        "TGI": ("/info", "version"),
    }
    for name, (path, field) in places.items():
        if engine and name != engine:
            continue
        try:
            reply = await endpoint.get(path)
            said = msgspec.json.decode(reply.body, type=_Said) if reply.status == OK else _Said()
        except (Broken, UpstreamUnreachable, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        version = getattr(said, field) or said.sglang_version
        if version:
            return (engine or (name if path != "/version" else "vLLM")), version
    return engine, ""
