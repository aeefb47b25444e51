"""`baseload measure`: benchmark a live endpoint, fit its curve, and write the entry that `decide` uses. Acts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from baseload.cli.output import note, print_json

if TYPE_CHECKING:
    import asyncio
    from datetime import datetime

    from baseload.catalog.entries import Offer
    from baseload.cli.measure_asked import Asked
    from baseload.measure.asking import Asker
    from baseload.measure.document import Measurement, ModelCard
    from baseload.measure.engine import Served
    from baseload.measure.entry import About, Fitted
    from baseload.measure.levels import Level
    from baseload.measure.running import Bounds
    from baseload.measure.sweep import Found

_Text = str | None
# Files that a process holds open beside its connections.
SPARE_DESCRIPTORS = 64


def command(
    url: Annotated[str, typer.Argument(help="An OpenAI-compatible address, as in http://127.0.0.1:8000/v1.")],
    model: Annotated[_Text, typer.Option(help="The model to ask; the only one that is served when left out.")] = None,
    catalog_model: Annotated[
        _Text, typer.Option(help="What the books call the model, where it is served by another name: qwen3-32b.")
    ] = None,
    gpu: Annotated[_Text, typer.Option(help="The GPU that serves it: H100. Without one nothing is kept.")] = None,
    gpus: Annotated[int, typer.Option(min=1, max=100_000, help="How many of them serve one copy of the model.")] = 1,
    engine: Annotated[
        _Text, typer.Option(help="The engine and its version, where it does not say: vLLM 0.12.0.")
    ] = None,
    quantization: Annotated[str, typer.Option(help="Precision of the weights, as in fp8.")] = "bf16",
    experts: Annotated[bool, typer.Option("--experts", help="The model is a mixture of experts.")] = False,
    name: Annotated[
        _Text, typer.Option(help="Name of the deployment; made of model, GPU and engine when left out.")
    ] = None,
    input: Annotated[int, typer.Option(min=1, help="Tokens in a prompt.")] = 1024,
    output: Annotated[int, typer.Option(min=2, help="Tokens in an answer.")] = 128,
    lengths: Annotated[
        str, typer.Option(help="fixed, spread (within a fifth), chat (pairs of a conversation trace), or trace.")
    ] = "spread",
    trace: Annotated[_Text, typer.Option(help="A trace of requests for --lengths trace and --arrivals trace.")] = None,
    shared_prefix: Annotated[
        int, typer.Option(min=0, help="Words that open every prompt alike; 0 meets no prefix cache.")
    ] = 0,
    most_in_flight: Annotated[int, typer.Option(min=1, max=4096, help="The most requests in flight.")] = 256,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="The whole curve: loads in between, and on past the peak.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Open loop: send so many requests a second, answered or not.")
    ] = None,
    arrivals: Annotated[
        str, typer.Option(help="With --rate: fixed, poisson, gamma (in bursts), or trace.")
    ] = "poisson",
    burstiness: Annotated[
        float, typer.Option(min=0.1, max=20, help="Variation of gamma's gaps: 1 is poisson, 3 comes in bursts.")
    ] = 3.0,
    level_seconds: Annotated[float, typer.Option(min=0.5, help="The longest that one load may take.")] = 30.0,
    seconds: Annotated[float, typer.Option(min=1, help="The longest that all may take.")] = 900.0,
    max_requests: Annotated[int | None, typer.Option(min=1, help="The most requests in all.")] = None,
    max_tokens: Annotated[_Text, typer.Option(help="The most tokens in all, as in 2M.")] = None,
    max_usd: Annotated[_Text, typer.Option(help="The most USD in all; what is in flight counts at its worst.")] = None,
    offer: Annotated[_Text, typer.Option(help="The offer whose price is paid here: openai/gpt-5-mini.")] = None,
    own: Annotated[bool, typer.Option("--own", help="It is a machine of mine: nothing is paid by the token.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Spend what it will cost without asking.")] = False,
    key_env: Annotated[_Text, typer.Option(help="The environment variable that holds the key.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds after which a request is given up.")] = 300.0,
    ignore_eos: Annotated[
        bool | None,
        typer.Option(
            "--ignore-eos/--no-ignore-eos", help="Ask for answers of full length; by the engine when left out."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the words and the lengths.")] = 1,
    config: Annotated[_Text, typer.Option(help="Configuration with prices and books of your own.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document, schema baseload.measure/1.")] = False,
) -> None:
    """Benchmark a live endpoint: throughput and latency by load, a fitted curve, an entry that `decide` uses at once.

    By default it asks alone, then with ever more in flight until that gains nothing, then with long prompts.
    """
    flags = dict(locals())
    from baseload.cli.measure_page import show

    document = measured(flags)
    if json:
        print_json(document)
    else:
        show(document)
    _end(document)


def measured(flags: Mapping[str, Any]) -> Measurement:
    """Measure as the flags say, which go by the names of `command`'s parameters."""
    import uvloop

    from baseload.cli.measure_asked import asked

    return uvloop.run(_measured(asked(flags)))


async def _measured(asked: Asked) -> Measurement:
    import asyncio
    import signal
    from datetime import UTC, datetime

    from baseload.measure.asking import Asker, Words
    from baseload.measure.endpoint import Endpoint
    from baseload.measure.engine import ask_engine
    from baseload.measure.sweep import warm_up

    flags = asked.flags
    endpoint, stop = Endpoint(flags["url"], asked.key), asyncio.Event()
    try:
        served, model = await ask_engine(endpoint, flags["model"])
        note(f"  {model} at {endpoint.url}{f', {served.named}' if served.named else ''}")
        offer, paid = asked.offer(endpoint.host, model, resells=served.resells)
        bounds = asked.bounds(offer)
        _agree(asked, served, offer, bounds, paid=paid)
        words = Words(flags["seed"], flags["shared_prefix"])
        asker = Asker(endpoint, model, words, served.dialect(flags["ignore_eos"]), timeout=flags["timeout"])
        raise_descriptors(flags["most_in_flight"])
        await warm_up(asker, bounds)
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
        found = await _found(asked, asker, served, bounds, stop)
    finally:
        endpoint.close()
    return _document(asked, endpoint.url, model, served, found, bounds, datetime.now(UTC), paid=offer is not None)


async def _found(asked: Asked, asker: Asker, served: Served, bounds: Bounds, stop: asyncio.Event) -> Found:
    from baseload.measure.sweep import closed, opened

    flags = asked.flags
    if asked.times is None:
        return await closed(asker, asked.probes(served.context_tokens), bounds, stop, _on_level)
    note(f"  {flags['rate']:g} requests a second for at most {flags['level_seconds']:g} s ...")
    lengths = asked.lengths(served.context_tokens)
    return await opened(
        asker,
        lengths,
        asked.times,
        bounds,
        stop,
        rate=flags["rate"],
        seconds=flags["level_seconds"],
        most=flags["most_in_flight"],
        seed=flags["seed"],
    )


def _on_level(level: Level, what: str) -> None:
    """A line of progress."""
    first = f", first token {level.ttft.p50:.3f} s" if level.ttft is not None else ""
    rate = f"{level.output_tokens_per_second:,.1f} tokens/s"
    unsteady = "" if level.steady else ", not steady"
    failed = f", {sum(level.errors.values())} failed" if level.errors else ""
    said = f"{level.in_flight:>4} in flight{f', {what}' if what else ''}: {rate}{first}{failed}{unsteady}"
    note(f"  {said}   ({level.answered} requests, {level.seconds:.1f} s)")


def _agree(asked: Asked, served: Served, offer: Offer | None, bounds: Bounds, *, paid: bool) -> None:
    """Say what it will use; where tokens are paid, ask first. Raises BadInput where nobody can be asked."""
    import sys

    from baseload.errors import BadInput
    from baseload.measure.spending import bounded, closed_estimate, open_estimate

    flags, cost = asked.flags, bounds.price if offer is not None else None
    if asked.times is None:
        estimate = closed_estimate(asked.probes(served.context_tokens), cost)
    else:
        count = int(flags["rate"] * flags["level_seconds"])
        estimate = open_estimate(asked.lengths(served.context_tokens), count, cost)
    estimate = bounded(estimate, bounds)
    requests, tokens = (f"{least:,} to {most:,}" for least, most in (estimate.requests, estimate.tokens))
    if asked.usd is not None and offer is None:
        raise BadInput(
            "--max-usd cannot be kept: what a token costs here is not known",
            remedy="Name what is paid with --offer, or bound it with --max-tokens.",
        )
    note(f"  it takes {requests} requests, {tokens} tokens, at most {flags['seconds']:g} s")
    if not paid:
        return
    price = "an unknown sum: no book has a price for this model (--offer names one, --own that it is yours)"
    if offer is not None and estimate.usd is not None:
        price = f"{estimate.usd[0]:.4f} to {estimate.usd[1]:.4f} USD at {offer.key} ({offer.source.book})"
        bounds.usd = bounds.usd if bounds.usd is not None else estimate.usd[1]
    note(f"  it costs {price}")
    if flags["yes"]:
        return
    if not sys.stdin.isatty():
        raise BadInput(
            f"it would cost {price}, and nobody can be asked",
            remedy="Add --yes to spend it, or --own where the machine is yours.",
        )
    if not typer.confirm("  Spend it?", err=True):
        raise BadInput("nothing was sent beyond the question what is served", remedy="Bound it with --max-usd.")


def raise_descriptors(connections: int) -> None:
    """Allow as many sockets as requests will be in flight. Raises BadInput where this system does not."""
    import resource

    from baseload.errors import BadInput

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + SPARE_DESCRIPTORS
    if soft >= needed or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise BadInput(
            f"{connections} requests in flight need {needed} open files, and this system allows {hard}",
            remedy=f"Measure with --most-in-flight {max(1, hard - SPARE_DESCRIPTORS)}, or raise `ulimit -n`.",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _document(
    asked: Asked, url: str, model: str, served: Served, found: Found, bounds: Bounds, when: datetime, *, paid: bool
) -> Measurement:
    """Fit, write the entry, and put everything into one document. Raises where nothing was measured."""
    import time

    from baseload.errors import NotEnoughData
    from baseload.measure.document import SCHEMA, Measurement, Used, cards
    from baseload.measure.entry import fitted
    from baseload.units import usd

    flags, points = asked.flags, found.points
    everything = [*found.levels, *(each for each in (found.long, found.opened) if each is not None)]
    if not everything:
        raise NotEnoughData(f"nothing was measured: {found.stopped}", remedy="Mend that and measure again.")
    about = _about(asked, url, model, served, bounds, when)
    fit = fitted(points, found.long) if len(points) > 1 else None
    curve, held, rates = cards(fit)
    card, entry = _kept(about, found, fit)
    return Measurement(
        schema=SCHEMA,
        url=url,
        model=model,
        engine=about.engine,
        version=served.version,
        gpu=asked.gpu,
        gpus=flags["gpus"],
        quantization=flags["quantization"],
        measured=when,
        lengths=flags["lengths"],
        levels=tuple(found.levels),
        long_prompts=found.long,
        open_loop=found.opened,
        curve=curve,
        held_out=held,
        calibrated=fit.calibrated if fit is not None else entry is not None and card is not None and card.trusted,
        saturated=rates,
        model_fit=card,
        name=about.name,
        entry=entry,
        stopped=found.stopped,
        client_bound=any(each.client_bound for each in everything),
        used=Used(
            requests=bounds.used_requests,
            tokens=bounds.used_tokens,
            seconds=time.perf_counter() - bounds.began,
            usd=usd(bounds.spent_nanousd) if paid else None,
        ),
    )


def _about(asked: Asked, url: str, model: str, served: Served, bounds: Bounds, when: datetime) -> About:
    """What was measured, and where."""
    from baseload.measure.entry import About, named

    flags = asked.flags
    engine = flags["engine"] or served.named or "unknown engine"
    return About(
        name=named(flags["name"], flags["catalog_model"] or model, asked.gpu or "gpu", flags["gpus"], engine),
        model=flags["catalog_model"] or model.rpartition("/")[2].lower(),
        gpu=asked.gpu,
        gpus=flags["gpus"],
        engine=engine,
        quantization=flags["quantization"],
        experts=flags["experts"],
        url=url,
        measured=when.date(),
        requests=bounds.used_requests,
    )


def _kept(about: About, found: Found, fit: Fitted | None) -> tuple[ModelCard | None, str | None]:
    """The capacity model beside it, and the entry where every verb looks for it; nothing is kept of a GPU that nobody
    named."""
    from baseload.cli.measure_model import beside
    from baseload.cli.measure_open import kept_open
    from baseload.documents import keep_deployment
    from baseload.measure.entry import entry

    if not about.gpu:
        return None, None
    if found.opened is not None:
        return kept_open(about, found.samples)
    if fit is None:
        return None, None
    path = keep_deployment(about.name, entry(about, found.points, found.long, fit))
    return beside(about, found.points, found.long), str(path)


def _end(document: Measurement) -> None:
    """End as what was measured deserves. Raises NotEnoughData where an entry was wanted and no curve came of it."""
    from baseload.errors import NotEnoughData

    if document.stopped == "interrupted":
        note("interrupted: what was measured until then is kept")
        raise KeyboardInterrupt
    if document.gpu and document.open_loop is None and document.curve is None:
        raise NotEnoughData(
            f"too few loads could be measured for a curve: {document.stopped or 'one load was allowed'}",
            remedy="Allow more: --most-in-flight, --seconds, --max-tokens, --max-usd.",
        )
