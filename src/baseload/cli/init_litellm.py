"""A LiteLLM configuration as one of Baseload's: what has a counterpart is taken over, what has none is named. No I/O.

Every value that is read is ticked off; what is left at the end is what was not taken over, with the reason where one is
known. Keys in plain are never copied: a variable stands in their place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

import msgspec

from baseload.cli.init_known import MODELINE, block, checked, comment, known
from baseload.errors import BadConfig, BadInput
from baseload.units import TOKENS_PER_MTOK
from baseload.upstreams import load_providers

Path = tuple[str | int, ...]
_ENVIRONMENT = "os.environ/"
_SECRET = re.compile(
    r"(?:.*[_-])?(?:key|secret|(?<!per_)token|password|credentials?|connection_string|dsn|url|authorization|headers)",
    re.IGNORECASE,
)
# A header that is known to hold no secret.
_HEADER = re.compile(
    r"anthropic-beta|anthropic-version|openai-(?:organization|project)|http-referer|x-title", re.IGNORECASE
)
_NOT_KNOWN = "no counterpart is known"
_EVERY_BUCKET = {"bandwidth": 0.9, "judgment": 0.9, "flagship": 0.9}
_MODES = {"chat": "chat", "responses": "chat", "embedding": "embeddings", "completion": "completions"}
_CAPABILITIES = {
    "tools": "supports_function_calling",
    "vision": "supports_vision",
    "json_schema": "supports_response_schema",
    "json_object": "",
}
_PRICES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "output_cost_per_reasoning_token": "reasoning",
}
_MOST_OUTPUT_TOKENS = 10_000_000
_AZURE_PATH = "/openai/v1"


class Unmapped(msgspec.Struct, frozen=True):
    """A key that has no counterpart, its value (a secret as `***`), and why."""

    key: str
    value: str
    reason: str


class Mapped(msgspec.Struct):
    """What became of a configuration."""

    upstreams: list[dict[str, Any]] = msgspec.field(default_factory=list)
    routes: list[dict[str, Any]] = msgspec.field(default_factory=list)
    policy: dict[str, Any] = msgspec.field(default_factory=dict)
    prices: list[dict[str, Any]] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)
    unmapped: list[Unmapped] = msgspec.field(default_factory=list)

    @property
    def document(self) -> dict[str, Any]:
        """The settings."""
        policy = {"name": "from-litellm", "routes": self.routes, **self.policy}
        return {"upstreams": self.upstreams, "policy": policy, **({"prices": self.prices} if self.prices else {})}


def mapped(document: object, origin: str) -> Mapped:
    """Take over a configuration. Raises BadInput when it is none of LiteLLM's."""
    if not isinstance(document, Mapping) or not isinstance(document.get("model_list"), list):
        remedy = "Give LiteLLM's config.yaml, with its `model_list` in the file itself."
        raise BadInput(f"{origin} has no model_list", remedy=remedy)
    taking = _Taking(document)
    for index in range(len(document["model_list"])):
        taking.model(index)
    taking.fallbacks()
    taking.aliases()
    taking.found.unmapped = list(taking.rest())
    if not taking.found.routes:
        raise BadInput(f"{origin} has no model that can be served here", remedy=_why_none(taking.found))
    return taking.found


def written(found: Mapped, origin: str) -> str:
    """The text of the configuration, with what was not taken over as comments."""
    head = [f"Taken over from LiteLLM's {origin} by `baseload init`. Check it with `baseload doctor`."]
    head += [
        "`success` is assumed to be the same for all: of the routes that may serve a request the cheapest is first."
    ]
    parts = [MODELINE, comment([*head, *found.notes]), block(found.document)]
    if found.unmapped:
        lines = [f"{each.key}: {each.value}   ({each.reason})" for each in found.unmapped]
        parts.append(comment(["Not taken over:", *lines]))
    return "\n".join(parts)


class _Taking:
    """A configuration while it is taken over: `found` so far, and what was ticked off."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.found = Mapped()
        self._document = document
        self._taken: set[Path] = set()
        self._reasons: dict[Path, str] = {}
        self._groups: dict[str, list[dict[str, Any]]] = {}  # LiteLLM's model_name -> our routes

    def model(self, index: int) -> None:
        """One entry of model_list: an upstream, where it is a new one, and a route."""
        at: Path = ("model_list", index)
        params = (*at, "litellm_params")
        group, model = self._text(*at, "model_name"), self._text(*params, "model")
        where = self._where(params, model)
        if isinstance(where, str) or not group:
            self._refuse(at, where if isinstance(where, str) else "it has no model_name")
            return
        preset, name = where
        operation = self._operation(at, model)
        if operation is None:
            self._refuse(at, "only chat, text completions and embeddings are served here")
            return
        before = (len(self.found.upstreams), len(self.found.prices), len(self.found.notes), set(self._taken))
        upstream = self._upstream(params, preset)
        self._take(*at, "model_name")
        self._take(*params, "model")
        route = self._route(at, group, name, upstream, operation)
        obstacle = self._obstacle(upstream, route)
        if obstacle:
            upstreams, prices, notes, self._taken = before
            del self.found.upstreams[upstreams:], self.found.prices[prices:], self.found.notes[notes:]
            self._refuse(at, obstacle)
            return
        self.found.routes.append(route)
        self._groups.setdefault(group, []).append(route)
        provider = load_providers().get(preset)
        if operation == "chat" and provider is not None and not {"chat", "messages"} & {*provider.operations}:
            only = f"{upstream} serves {', '.join(provider.operations)} only: no chat completion can go there"
            self.found.notes += [] if only in self.found.notes else [only]

    def _obstacle(self, upstream: str, route: dict[str, Any]) -> str:
        """Why an entry cannot stand in a configuration; empty when it can."""
        upstreams = [each for each in self.found.upstreams if each["name"] == upstream]
        prices = [each for each in self.found.prices if each["offer"] == route["offer"]]
        try:
            checked({"upstreams": upstreams, "policy": {"routes": [route]}, "prices": prices}, "it")
        except BadConfig as error:
            return " ".join(error.message.split())
        return ""

    def fallbacks(self) -> None:
        """`fallbacks`, `default_fallbacks` and `context_window_fallbacks`, of the router's settings or of LiteLLM's."""
        for field, ours in (("fallbacks", "fallbacks"), ("context_window_fallbacks", "context_fallbacks")):
            for section in ("router_settings", "litellm_settings"):
                listed = self._get(section, field)
                for index, each in enumerate(listed if isinstance(listed, list) else ()):
                    for name, others in (each if isinstance(each, Mapping) else {}).items():
                        self._fall_back(ours, name, others, (section, field, index, name))
        for section in ("router_settings", "litellm_settings"):
            default = self._get(section, "default_fallbacks")
            for name in self._groups if isinstance(default, list) else ():
                if name not in self.found.policy.get("fallbacks", {}) and name not in default:
                    self._fall_back("fallbacks", name, default, (section, "default_fallbacks"))

    def aliases(self) -> None:
        """`model_group_alias`: one more name for the routes of a group."""
        aliases = self._get("router_settings", "model_group_alias")
        for alias, target in (aliases if isinstance(aliases, Mapping) else {}).items():
            group = target.get("model") if isinstance(target, Mapping) else target
            at: Path = ("router_settings", "model_group_alias", alias)
            for route in self._groups.get(str(group), ()):
                route["names"] = [*route.get("names", ()), str(alias)]
                self._take(*at)
                self._take(*at, "model")

    def rest(self) -> Iterator[Unmapped]:
        """Everything that was not ticked off."""
        for path, value in _leaves(self._document):
            if any(path[:length] in self._taken for length in range(1, len(path) + 1)):
                continue
            reason = next((self._reasons[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self._reasons), "")
            words = [str(word) for word in path if isinstance(word, str)]
            reason = reason or next((known().reasons[word] for word in words[::-1] if word in known().reasons), "")
            secret = any(_SECRET.fullmatch(word) for word in words) and not str(value).startswith(_ENVIRONMENT)
            yield Unmapped(_dotted(path), "***" if secret else _plain(value), reason or _NOT_KNOWN)

    # Where a model is.

    def _where(self, params: Path, model: str) -> tuple[str, str] | str:
        """The preset (empty: an address of its own) and the model's name there; or why it can be nowhere."""
        if not model:
            return "it has no litellm_params.model"
        if "*" in model:
            return "every model is named here; list those that you use"
        prefix, slash, name = model.partition("/")
        if slash and prefix in known().prefixes:
            return known().prefixes[prefix], name
        if slash and not self._text(*self._said(params, "api_base")):
            return f"{prefix} is reached by its own protocol, which is not spoken here"
        if self._text(*self._said(params, "api_base")):
            return "", model
        for begins, preset in known().bare.items():
            if model.startswith(begins):
                return preset, model
        return f"the provider of {model!r} is not known"

    def _upstream(self, params: Path, preset: str) -> str:
        """The name of the upstream for an entry; entries that differ in nothing share one."""
        wanted: dict[str, Any] = {"preset": preset} if preset else {}
        base = self._text(*self._said(params, "api_base"))
        provider = load_providers().get(preset)
        if base:
            self._take(*self._said(params, "api_base"))
            wanted["base_url"] = _address(base, preset)
            if provider is not None and wanted["base_url"] == provider.base_url:
                del wanted["base_url"]
        organization = self._text(*self._said(params, "organization"))
        headers = self._headers(params)
        if organization:
            self._take(*self._said(params, "organization"))
            headers["openai-organization"] = _variable(organization)
        wanted |= {"headers": headers} if headers else {}
        wanted |= self._patience(params)
        name = preset or (urlsplit(wanted.get("base_url", "")).hostname or "upstream").replace(".", "-")
        key_at = self._said(params, "api_key")
        key = self._text(*key_at)
        literal = bool(key) and not key.startswith(_ENVIRONMENT)
        if key and not literal and (provider is None or _variable(key) != f"${{{provider.key_env}}}"):
            wanted["api_key"] = _variable(key)
        for upstream in self.found.upstreams:
            if not literal and {n: v for n, v in upstream.items() if n != "name"} == wanted:
                self._take(*key_at)
                return str(upstream["name"])
        taken = {str(upstream["name"]) for upstream in self.found.upstreams}
        name = _unused(name, taken)
        if literal:
            self._hide(key_at, name, wanted, provider.key_env if provider is not None and name == preset else "")
        self._take(*key_at)
        self.found.upstreams.append({"name": name, **wanted})
        return name

    def _said(self, params: Path, word: str) -> Path:
        """Where a parameter of an entry stands: in it, or in the credential that it names."""
        name = self._text(*params, "litellm_credential_name")
        if not name or self._get(*params, word) is not None:
            return *params, word
        listed = self._get("credential_list")
        for index, each in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(each, Mapping) and each.get("credential_name") == name:
                self._take(*params, "litellm_credential_name")
                self._take("credential_list", index, "credential_name")
                return "credential_list", index, "credential_values", word
        lacking = (
            f"{_dotted((*params, 'litellm_credential_name'))}: {name} is not in the file: set the upstream's api_key"
        )
        self.found.notes += [] if lacking in self.found.notes else [lacking]
        return *params, word

    def _headers(self, params: Path) -> dict[str, str]:
        """Headers that go along with every request; one that may hold a secret stays where it is."""
        found = {}
        said = self._get(*params, "extra_headers")
        for name, value in (said if isinstance(said, Mapping) else {}).items():
            plain = isinstance(value, str) and value.isascii() and value.isprintable() and "$" not in value
            if plain and _HEADER.fullmatch(str(name)):
                self._take(*params, "extra_headers", name)
                found[str(name)] = str(value)
        return found

    def _hide(self, at: Path, name: str, wanted: dict[str, Any], variable: str) -> None:
        """A key in plain is not copied: a variable stands for it."""
        variable = variable or f"{re.sub(r'[^A-Z0-9]', '_', name.upper())}_KEY"
        wanted["api_key"] = f"${{{variable}}}"
        self.found.notes.append(f"export {variable}: the key that stands in plain at {_dotted(at)}")

    def _patience(self, params: Path) -> dict[str, Any]:
        """Timeouts, retries and cooling, of the entry or else of the settings for all."""
        found: dict[str, Any] = {}
        for path in (
            (*params, "stream_timeout"),
            (*params, "timeout"),
            ("router_settings", "stream_timeout"),
            ("router_settings", "timeout"),
            ("litellm_settings", "request_timeout"),
        ):
            seconds = self._number(*path)
            if seconds is not None and seconds > 0:
                self._take(*path)
                found.setdefault("timeouts", {"first_byte": seconds})
        for path in (
            (*params, "max_retries"),
            (*params, "num_retries"),
            ("router_settings", "num_retries"),
            ("litellm_settings", "num_retries"),
        ):
            times = self._number(*path)
            if times is not None and 0 <= times <= 10:
                self._take(*path)
                found.setdefault("retries", {"times": int(times)})
        fails, cooling = (self._number("router_settings", word) for word in ("allowed_fails", "cooldown_time"))
        if fails is not None and fails >= 0:
            self._take("router_settings", "allowed_fails")
            found["circuit"] = {"failures": int(fails) + 1}
        if cooling is not None and cooling > 0:
            self._take("router_settings", "cooldown_time")
            found["circuit"] = {**found.get("circuit", {}), "open_seconds": cooling}
        return {name: value for name, value in found.items() if value != {"times": 0}}

    # What is served, and at what price.

    def _operation(self, at: Path, model: str) -> str | None:
        mode = self._text(*at, "model_info", "mode")
        if mode:
            if mode in _MODES:
                self._take(*at, "model_info", "mode")
            return _MODES.get(mode)
        if model.startswith("text-completion-openai/"):
            return "completions"
        return "embeddings" if "embed" in model.lower() else "chat"

    def _route(self, at: Path, group: str, model: str, upstream: str, operation: str) -> dict[str, Any]:
        preset = next(each.get("preset", "") for each in self.found.upstreams if each["name"] == upstream)
        provider = load_providers().get(preset)
        own = provider is not None and provider.kind == "own"
        route: dict[str, Any] = {
            "name": _unused(group, {str(each["name"]) for each in self.found.routes}),
            "upstream": upstream,
            "model": model,
            "offer": self._offer(at, preset, upstream, model, own=own, answers=operation != "embeddings"),
            **({"own": True} if own else {}),
            **({"names": [group]} if group != model else {}),
            **({"operations": [operation]} if operation != "chat" else {}),
        }
        slots = self._number(*at, "litellm_params", "max_parallel_requests")
        if slots is not None and slots >= 1:
            self._take(*at, "litellm_params", "max_parallel_requests")
            route["slots"] = int(slots)
        context = self._number(*at, "model_info", "max_input_tokens")
        if context is not None and context >= 1:
            self._take(*at, "model_info", "max_input_tokens")
            route["context_tokens"] = int(context)
        longest = self._number(*at, "model_info", "max_output_tokens")
        if longest is not None and 1 <= longest <= _MOST_OUTPUT_TOKENS:
            self._take(*at, "model_info", "max_output_tokens")
            route["output_tokens"] = int(longest)
        if operation == "chat":
            route["capabilities"] = [name for name, field in _CAPABILITIES.items() if self._can(at, field)]
        return {**route, "success": dict(_EVERY_BUCKET)}

    def _can(self, at: Path, field: str) -> bool:
        """LiteLLM lets every request through, so a model can what nobody says that it cannot."""
        said = self._get(*at, "model_info", field) if field else None
        if isinstance(said, bool):
            self._take(*at, "model_info", field)
        return said is not False

    def _offer(self, at: Path, preset: str, upstream: str, model: str, *, own: bool, answers: bool) -> str:
        """What prices a route: its own figures, else the book of its provider."""
        book = "own" if own else known().books.get(preset, upstream)
        base = self._text(*at, "model_info", "base_model")
        if base:
            self._take(*at, "model_info", "base_model")
        prices, taken = self._prices(at)
        if "input" in prices and not answers:
            prices.setdefault("output", "0")  # an embedding has none
        if {"input", "output"} <= prices.keys():
            self._taken |= taken
            offer = f"{upstream}/{model}"
            note = f"{_dotted(at)} of LiteLLM's configuration"
            if all(each["offer"] != offer for each in self.found.prices):
                self.found.prices.append({"offer": offer, **prices, "note": note})
                if answers and not own and "cache_read" not in prices:
                    self.found.notes.append(f"{offer} costs as much for cached input as for input: add `cache_read`")
            return offer
        if own:
            self.found.notes.append(
                f"upstream {upstream} is your own: name its `deployment` and `usd_per_gpu_hour`, and it is priced"
            )
        return (
            f"{base.partition('/')[0] if '/' in base else 'openai'}/{base.rpartition('/')[2]}"
            if base
            else f"{book}/{model}"
        )

    def _prices(self, at: Path) -> tuple[dict[str, str], set[Path]]:
        """An entry's own prices, in USD per million tokens, and where they stand."""
        prices: dict[str, str] = {}
        taken: set[Path] = set()
        for section in ("litellm_params", "model_info"):
            for theirs, ours in _PRICES.items():
                price = self._number(*at, section, theirs)
                if price is not None and price >= 0:
                    taken.add((*at, section, theirs))
                    prices[ours] = format((Decimal(str(price)) * TOKENS_PER_MTOK).normalize(), "f")
        return prices, taken

    def _fall_back(self, ours: str, name: object, others: object, at: Path) -> None:
        """One list of fallbacks, without models that are not served here."""
        listed = [str(each) for each in others] if isinstance(others, list) else []
        served = [each for each in listed if each in self._groups]
        if str(name) not in self._groups or not served:
            self._reasons[at] = "it names models that were not taken over"
            return
        self._take(*at)
        if served != listed:
            missing = ", ".join(each for each in listed if each not in served)
            self.found.notes.append(f"{_dotted(at)}: {missing} was not taken over, and is no fallback")
        self.found.policy.setdefault(ours, {}).setdefault(str(name), served)

    # Reading and ticking off.

    def _get(self, *path: str | int) -> Any:  # noqa: ANN401 - whatever stands there
        value: Any = self._document
        for word in path:
            if isinstance(value, Mapping):
                value = value.get(word)
            elif isinstance(value, list) and isinstance(word, int) and word < len(value):
                value = value[word]
            else:
                return None
        return value

    def _text(self, *path: str | int) -> str:
        value = self._get(*path)
        return value if isinstance(value, str) else ""

    def _number(self, *path: str | int) -> int | float | None:
        value = self._get(*path)
        if isinstance(value, str):
            try:
                value = float(Decimal(value))
            except (InvalidOperation, OverflowError):
                return None
        return value if isinstance(value, int | float) and not isinstance(value, bool) and value == value else None

    def _take(self, *path: str | int) -> None:
        self._taken.add(path)

    def _refuse(self, at: Path, reason: str) -> None:
        self._reasons[at] = reason


def _leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Every value that holds no others, with the way to it."""
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _leaves(each, (*path, name if isinstance(name, str | int) else str(name)))
    elif isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
        for index, each in enumerate(value):
            yield from _leaves(each, (*path, index))
    elif path:
        yield path, value


def _dotted(path: Path) -> str:
    """
    >>> _dotted(("model_list", 0, "litellm_params", "rpm"))
    'model_list[0].litellm_params.rpm'
    """
    return "".join(f"[{word}]" if isinstance(word, int) else f".{word}" for word in path).removeprefix(".")


def _plain(value: object) -> str:
    """A value on one line."""
    text = msgspec.json.encode(value, enc_hook=str).decode()
    return text if len(text) <= 200 else text[:200] + "..."


def _variable(said: str) -> str:
    """`os.environ/NAME` as `${NAME}`."""
    return f"${{{said.removeprefix(_ENVIRONMENT)}}}" if said.startswith(_ENVIRONMENT) else said


def _address(base: str, preset: str) -> str:
    """Where the paths begin: LiteLLM adds what these two leave out."""
    base = _variable(base).rstrip("/")
    if preset == "azure-openai" and not base.endswith(_AZURE_PATH):
        return base + _AZURE_PATH
    if preset in ("anthropic", "ollama") and not base.endswith("/v1"):
        return f"{base}/v1"
    return base


def _unused(name: str, taken: set[str]) -> str:
    """The name, with a number where it is taken."""
    clean = "".join(each if "!" <= each <= "~" else "-" for each in name)[:190] or "model"
    number, found = 2, clean
    while found in taken:
        found, number = f"{clean}-{number}", number + 1
    return found


def _why_none(found: Mapped) -> str:
    reasons = dict.fromkeys(each.reason for each in found.unmapped if each.key.startswith("model_list"))
    return f"Of its models: {'; '.join(reasons) or 'there are none'}."
