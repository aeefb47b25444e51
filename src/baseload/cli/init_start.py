"""A first configuration from the provider keys of the environment. Acts (reads the price books)."""

from __future__ import annotations

from collections.abc import Mapping

from baseload.cli.init_known import MODELINE, block, comment, known
from baseload.documents import load_catalog
from baseload.errors import UnknownModel
from baseload.upstreams import load_providers

FALLBACK = "openai"
"""The provider that is written down when no key is found."""

_HEAD = """\
Baseload's configuration: where requests can go, and which of them a request goes to.
Every field is explained in docs/reference/settings.md; `baseload doctor` checks it, `baseload serve` runs it.
A secret is better not written here: ${NAME} is taken from the environment."""

_UPSTREAMS = """\
Where requests can go. A preset fills in the address and takes the key from the variable of its provider.
An own pool:  - {name: pool, preset: vllm, base_url: "http://10.0.0.7:8000/v1", deployment: NAME,
                 usd_per_gpu_hour: "2.40"}
and `own: true` at its routes (`baseload gpu list`: what an hour of a GPU costs)."""

_POLICY = """\
Which upstream a request goes to: of the routes that can serve it, the one with the least expected cost per success.
`success` is the share of tries that get a task right, by bucket (bandwidth, judgment, flagship); a bucket that is left
out is not served. These shares are assumed: put your own in their place.
Clients ask for auto, auto:economy, auto:standard or auto:flagship, or for a model by its name."""

_TAIL = """\
Further settings, with what they are when left out:
listen: 127.0.0.1:8790        # 0.0.0.0:8790 for other machines too; they need keys: baseload key create NAME
data_dir: ~/.local/share/baseload
workers: 1
admin_key: "${BASELOAD_ADMIN_KEY}"        # opens /admin; none when left out"""


def detected(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The presets whose key is in the environment."""
    providers = load_providers().items()
    return tuple(name for name, each in providers if each.key_env and environment.get(each.key_env, "").strip())


def starting(presets: tuple[str, ...]) -> tuple[str, dict[str, object]]:
    """The text of a configuration for some presets, and the same as a document."""
    started = [name for name in presets if name in known().starters]
    listed = [{"name": name, "preset": name} for name in started or [FALLBACK]]
    routes = [route for each in listed for route in _routes(each["name"])]
    policy = {"name": "start", "routes": routes}
    others = [name for name in presets if name not in known().starters]
    text = "\n".join(
        (
            MODELINE,
            comment(_HEAD.splitlines()),
            comment(_UPSTREAMS.splitlines()) + block({"upstreams": listed}) + _further(others),
            comment(_POLICY.splitlines()) + block({"policy": policy}),
            comment(_TAIL.splitlines()),
        )
    )
    return text, {"upstreams": listed, "policy": policy}


def _routes(preset: str) -> list[dict[str, object]]:
    """A route for each model that a preset starts with."""
    catalog, book = load_catalog(), known().books[preset]
    found = []
    for size, model in known().starters[preset].items():
        offer = f"{book}/{model}"
        try:
            context = catalog.offer(offer).context_tokens
        except UnknownModel:
            context = None
        route: dict[str, object] = {"name": f"{preset}-{size}", "upstream": preset, "model": model, "offer": offer}
        if context is not None:
            route["context_tokens"] = context
        capabilities = ["tools", "json_schema", "json_object", *(["vision"] if preset in known().sees else [])]
        found.append({**route, "capabilities": capabilities, "success": known().success[size]})
    return found


def _further(presets: list[str]) -> str:
    """Providers whose key is there and whose models are not known: one line each, to be taken in by hand."""
    if not presets:
        return ""
    lines = [
        f"  - {{name: {name}, preset: {name}}}   # its key is set; add a route for a model of it" for name in presets
    ]
    return comment(lines)
