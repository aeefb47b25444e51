"""The supplies of `baseload simulate`: pools from the capacity model, APIs from the books, a policy. Acts (reads)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

from baseload.cli.policy_file import read_policy
from baseload.errors import BadInput

if TYPE_CHECKING:
    from baseload.capacity.case import Case
    from baseload.capacity.steptime import StepTime
    from baseload.catalog.books import Catalog
    from baseload.policy.policy import Policy, Route
    from baseload.sim.supplies import Api, Pool

EXAMPLE = "model=qwen3-32b,gpu=H100,count=2,quant=fp8,replicas=2,usd=2.40"
_CASE = ("model", "gpu", "count", "quant", "engine", "tp", "ep", "pp")
_POOL = (
    "deployment",
    "name",
    "replicas",
    "usd",
    "slots",
    "routing",
    "on",
    "startup",
    "failures",
    "repair",
    "max_requests",
    "kv_tokens",
)
_API = ("offer", "name", "first_token", "tokens_per_second")


def parts(text: str, known: Sequence[str], option: str) -> dict[str, str]:
    """`name=value,name=value` as a mapping; `;` stands for a comma inside a value. Raises BadInput."""
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or not value or name not in known or name in found:
            raise BadInput(
                f"{option}: {part.strip()[:40]!r} says nothing", remedy=f"Use each of {', '.join(known)} once."
            )
        found[name] = value.strip().replace(";", ",")
    return found


def read_pools(texts: Sequence[str], lengths: tuple[int, int]) -> list[Pool]:
    """The pools that were typed; `lengths` are the load's mean tokens in and out."""
    typed = [parts(text, (*_CASE, *_POOL), "--pool") for text in texts]
    return [_pool(each, place, lengths) for place, each in enumerate(typed)]


def _pool(typed: Mapping[str, str], place: int, lengths: tuple[int, int]) -> Pool:
    from baseload.cost.schedule import schedule
    from baseload.sim.supplies import Pool, Routing

    routing = typed.get("routing", Routing.LEAST_LOADED)
    if routing not in list(Routing):
        raise BadInput(f"--pool: no routing is called {routing!r}", remedy=f"Use one of {', '.join(Routing)}.")
    step, gpus = _measured(typed) if "deployment" in typed else _modelled(typed, lengths)
    most = _count(typed, "max_requests", min(step.most_requests, 256))
    return Pool(
        name=typed.get("name", f"pool-{place + 1}" if place else "pool"),
        step=step._replace(
            most_requests=min(most, step.step_tokens), kv_tokens=_count(typed, "kv_tokens", step.kv_tokens)
        ),
        replicas=_count(typed, "replicas", 1),
        gpus=gpus,
        usd_per_gpu_hour=_usd(typed.get("usd")),
        routing=Routing(routing),
        slots=_count(typed, "slots", 0) if "slots" in typed else None,
        on=schedule(typed["on"]).on if "on" in typed else None,
        startup_seconds=_figure(typed, "startup", 0),
        failures_per_hour=_figure(typed, "failures", 0),
        repair_seconds=_figure(typed, "repair", 0),
    )


def _measured(typed: Mapping[str, str]) -> tuple[StepTime, int]:
    """The step of a deployment that was measured, or learnt from a log, and its GPUs."""
    from baseload.capacity.asked import Books
    from baseload.capacity.measured import step_of
    from baseload.documents import load_architectures, load_capacity_model, load_deployments, load_machines
    from baseload.errors import UnknownModel

    both = next((name for name in _CASE if name in typed), None)
    if both is not None:
        raise BadInput(
            f"--pool: deployment says what serves, and {both} was given too", remedy=f"Leave {both} or deployment out."
        )
    known, name = load_deployments(), typed["deployment"]
    if name not in known:
        raise UnknownModel(f"no deployment is called {name!r}", remedy=f"Use one of {', '.join(known)}.")
    found = known[name]
    return step_of(found, load_capacity_model(), Books(load_architectures(), load_machines(), {})), found.gpus


def _modelled(typed: Mapping[str, str], lengths: tuple[int, int]) -> tuple[StepTime, int]:
    """The step that the capacity model gives a model on its cards, and how many those are."""
    case = _case(typed, lengths)
    return _step(case), case.machine.count


def _case(typed: Mapping[str, str], lengths: tuple[int, int]) -> Case:
    from baseload.capacity.asked import Books, case_of
    from baseload.documents import load_architectures, load_machines

    row = {name: typed[name] for name in _CASE if name in typed}
    prompt, output = lengths
    given = {"count": "1", "quant": "bf16", "engine": "vllm", "concurrency": "64"} | row
    lengths_row = {"input_tokens": str(max(prompt, 1)), "output_tokens": str(max(output, 1))}
    return case_of({**given, **lengths_row}, Books(load_architectures(), load_machines(), {}))


def _step(case: Case) -> StepTime:
    """What the capacity model says of its steps. Raises BadInput when the model does not fit its cards."""
    from baseload.capacity.columns import columns
    from baseload.capacity.estimate import case_fit
    from baseload.capacity.steadystate import step_times
    from baseload.documents import load_capacity_model

    found = case_fit(case)
    if not found.fits:
        raise BadInput(found.sentence, remedy="Give more cards, or fewer bits.")
    model = load_capacity_model()
    return step_times(columns([case]), model.constants, model.factors([case]))[0]


def read_apis(texts: Sequence[str], catalog: Catalog) -> list[Api]:
    """The APIs that were typed: an offer's key alone, or with the pace of its answers."""
    from baseload.audit.pricer import Pricer
    from baseload.sim.supplies import Api

    found = []
    for text in texts:
        typed = parts(text if "=" in text else f"offer={text}", _API, "--api")
        if "offer" not in typed:
            raise BadInput(f"--api {text[:60]!r} names no offer", remedy="Write --api offer=openai/gpt-5-mini.")
        offer = catalog.offer(typed["offer"])
        found.append(
            Api(
                name=typed.get("name", offer.key),
                price=Pricer(offer).nanousd,
                first_token_seconds=_figure(typed, "first_token", 0.4),
                tokens_per_second=_figure(typed, "tokens_per_second", 80),
            )
        )
    return found


def policy_for(pools: Sequence[Pool], apis: Sequence[Api]) -> Policy:
    """Own pools first while they have room, then the cheapest API: what the gateway does with equal quality."""
    from baseload.load.facts import Bucket
    from baseload.policy.policy import Policy, Route

    success = dict.fromkeys(Bucket, 1.0)
    own = [
        Route(
            name=each.name, upstream=each.name, model="simulated", offer=f"own/{each.name}", own=True, success=success
        )
        for each in pools
    ]
    bought = [
        Route(name=each.name, upstream=each.name, model="simulated", offer=each.name, success=success) for each in apis
    ]
    return Policy(name="simulated", routes=(*own, *bought), aliases={"auto": Bucket.JUDGMENT})


def policy_of(path: Path, pools: Sequence[Pool], apis: Sequence[Api], catalog: Catalog) -> tuple[Policy, list[Api]]:
    """A policy file, and the APIs its routes lead to: those that were typed, and for the others the route's offer."""
    policy, _ = read_policy(path)
    named = {*(each.name for each in pools), *(each.name for each in apis)}
    missing: dict[str, Route] = {}
    for route in policy.routes:
        if route.upstream not in named and route.upstream not in missing:
            if route.own:
                raise BadInput(
                    f"route {route.name} leads to the own pool {route.upstream}, which is not among --pool",
                    remedy=f"Add --pool name={route.upstream},{EXAMPLE}.",
                )
            missing[route.upstream] = route
    return policy, [*apis, *(_api_of(route, catalog) for route in missing.values())]


def _api_of(route: Route, catalog: Catalog) -> Api:
    return read_apis([f"offer={route.offer},name={route.upstream}"], catalog)[0]


def _count(typed: Mapping[str, str], name: str, usual: int) -> int:
    text = typed.get(name, str(usual))
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise BadInput(f"{name} is {text[:40]!r}, which is no count", remedy="Write a whole number.")
    return int(text)


def _figure(typed: Mapping[str, str], name: str, usual: float) -> float:
    try:
        return float(typed.get(name, str(usual)))
    except ValueError as error:
        raise BadInput(f"{name} is {typed[name][:40]!r}, which is no figure", remedy="Write a number.") from error


def _usd(text: str | None) -> Decimal | None:
    if text is None:
        return None
    from baseload.units import is_usd

    try:
        found = Decimal(text)
    except InvalidOperation as error:
        raise BadInput(
            f"usd is {text[:40]!r}, which is no price", remedy="Write USD per GPU-hour, as in 2.40."
        ) from error
    if not is_usd(found):
        raise BadInput(f"usd is {text[:40]!r}, which is no price", remedy="Write USD per GPU-hour, as in 2.40.")
    return found
