"""`baseload simulate`: a load through own pools and APIs, before anything is bought. Acts (reads, prints)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli.output import print_json
from baseload.cli.policy_file import read_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseload.cli.simulate_load import Typed
    from baseload.cli.simulate_page import SimulationDocument

EXAMPLE = "baseload simulate --pool model=qwen3-32b,gpu=H100,count=2,quant=fp8,usd=2.40 --api openai/gpt-5-mini"


def command(
    pool: Annotated[
        list[str] | None,
        typer.Option(
            help="An own pool, as in model=qwen3-32b,gpu=H100,count=2,quant=fp8,replicas=2,usd=2.40, or deployment="
            "NAME of one that was measured. Repeat it. Also: engine, tp, ep, pp, name, slots (in flight on a replica), "
            "routing (round-robin, least-loaded, prefix), on=mon-fri:8-18, startup and repair in seconds, failures per "
            "hour, max_requests, kv_tokens."
        ),
    ] = None,
    api: Annotated[
        list[str] | None,
        typer.Option(help="An offer to buy from: openai/gpt-5-mini, or offer=..,first_token=0.4,tokens_per_second=80."),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="The policy that routes; own first, then the cheapest API.")
    ] = None,
    trace: Annotated[Path | None, typer.Option(help="A trace: TIMESTAMP,ContextTokens,GeneratedTokens.")] = None,
    ledger: Annotated[str | None, typer.Option(help="The calls metered in this folder, or in postgresql://...")] = None,
    run: Annotated[str | None, typer.Option(help="Only the ledger's calls with this run tag.")] = None,
    profile: Annotated[
        str, typer.Option(help="Lengths to draw: azure-conv, azure-code, servegen-language, servegen-reason.")
    ] = "azure-conv",
    rate: Annotated[float, typer.Option(help="Requests a second to draw, the mean of a week.")] = 1.0,
    hours: Annotated[float, typer.Option(help="How long the drawn load lasts.")] = 24.0,
    concurrency: Annotated[
        int | None, typer.Option(help="A closed loop of so many clients, who ask again when they are answered.")
    ] = None,
    think: Annotated[float, typer.Option(help="Seconds that each of them thinks before, on average.")] = 0.0,
    requests: Annotated[
        int | None, typer.Option(min=1, help="Requests of the closed loop; 20 of each client, and 1,000 at least.")
    ] = None,
    shape: Annotated[
        str,
        typer.Option(help="Hours of a week: flat, office, diurnal, servegen-language, servegen-reason, or a file."),
    ] = "diurnal",
    gaps: Annotated[str, typer.Option(help="Between requests: fixed, poisson, gamma or weibull.")] = "poisson",
    cv: Annotated[float | None, typer.Option(help="Deviation of gaps over their mean; the profile's own.")] = None,
    growth: Annotated[float, typer.Option(help="Share by which the load grows in a week.")] = 0.0,
    input_tokens: Annotated[int | None, typer.Option(help="Tokens of every prompt, instead of the profile's.")] = None,
    output_tokens: Annotated[int | None, typer.Option(help="Tokens of every answer, instead of the profile's.")] = None,
    start: Annotated[
        str | None, typer.Option(help="When the load begins, UTC; a Monday of 2026 for a drawn one.")
    ] = None,
    cached: Annotated[float, typer.Option(help="Share of each prompt that a prefix cache holds.")] = 0.0,
    slo: Annotated[str | None, typer.Option(help="Bounds on times, as in ttft=1s,tpot=50ms.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed is the same load and the same failures.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="One JSON document, schema baseload.simulate/1.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the document's JSON Schema and stop.")] = False,
) -> None:
    """A load through own pools and APIs under the gateway's policy: who serves what, how fast, at what cost."""
    from baseload.cli.simulate_load import Typed
    from baseload.cli.simulate_page import SCHEMA, SimulationDocument, print_page
    from baseload.plan.json_schema import json_schema

    if schema:
        print_json(json_schema(SimulationDocument, SCHEMA))
        return
    typed = Typed(
        trace=trace,
        ledger=ledger,
        run=run,
        profile=profile,
        per_second=rate,
        hours=hours,
        shape=shape,
        gaps=gaps,
        cv=cv,
        growth=growth,
        tokens=(input_tokens, output_tokens),
        start=start,
        cached=cached,
        seed=seed,
        clients=concurrency,
        think=think,
        requests=requests,
    )
    document = _simulated(typed, pool or (), api or (), policy, slo)
    if json:
        print_json(document)
    else:
        print_page(document)


def _simulated(
    typed: Typed, pools: Sequence[str], apis: Sequence[str], file: Path | None, slo: str | None
) -> SimulationDocument:
    """Read everything, run it, and say what came of it."""
    from baseload.capacity.asked import objective
    from baseload.cli.simulate_fleet import policy_for, policy_of, read_apis, read_pools
    from baseload.cli.simulate_load import facts_of, read_load
    from baseload.cli.simulate_page import describe
    from baseload.documents import load_catalog
    from baseload.errors import BadInput, NotEnoughData
    from baseload.policy.policy import version
    from baseload.sim.closed import Clients, simulate_closed
    from baseload.sim.fleet import Load, simulate

    if not (pools or apis or file):
        raise BadInput("there is nothing to simulate", remedy=f"Name pools and APIs, as in {EXAMPLE}.")
    bounds = objective(slo) if slo is not None else None
    catalog = load_catalog()
    bought = read_apis(apis, catalog)
    load, words = read_load(typed, policy_for((), bought) if file is None else read_policy(file)[0])
    if not len(load.requests):
        raise NotEnoughData("no request came in that time", remedy="Raise --rate or --hours.")
    requests = load.requests
    own = read_pools(pools, (round(float(requests.prompt.mean())), round(float(requests.output.mean()))))
    if file is None:
        policy = policy_for(own, bought)
        # Without a policy of yours nobody says which supply may serve what: each serves everything.
        load = Load.plain(load.start_ns, load.requests, facts_of(policy))
    else:
        policy, bought = policy_of(file, own, bought, catalog)
    if typed.clients is None:
        outcome = simulate(load, own, bought, policy, seed=typed.seed)
    else:
        outcome = simulate_closed(load, Clients(typed.clients, typed.think), own, bought, policy, seed=typed.seed)
    return describe(outcome, words, typed.seed, version(policy), bounds)
