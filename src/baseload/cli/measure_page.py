"""What was measured as a page of text: loads, curve, error, where it is kept. Acts (prints)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from baseload.cli.output import hint, money, note, say, table

if TYPE_CHECKING:
    from baseload.measure.document import Measurement
    from baseload.measure.levels import Level, Percentiles

BAR = 40


def show(document: Measurement) -> None:
    """Print the loads, the curve through them and what it is good for."""
    where = f" on {document.gpus} x {document.gpu}" if document.gpu else ""
    say(f"{document.model}{where}, {document.engine}, {document.quantization}: {document.url}")
    say()
    _loads(document)
    _curve(document)
    _learnt(document)
    for each in _all(document):
        if each.note:
            say(f"  {_load(each)}: {each.note}")
        if each.errors:
            kinds = ", ".join(f"{count} x {kind}" for kind, count in each.errors.items())
            say(f"  {_load(each)}: {kinds} of {each.requests} requests failed{f': {each.said}' if each.said else ''}")
    if document.stopped:
        say(f"  ended before its end: {document.stopped}")
    _doubts(document)
    used = document.used
    paid = f", {money(used.usd, 4)} USD" if used.usd is not None else ""
    say(f"  used {used.requests:,} requests, {used.tokens:,} tokens, {used.seconds:.0f} s{paid}")
    if document.entry is not None:
        say(f"  kept as {document.name} in {document.entry}")
        price = "" if document.gpu != "cpu" else " --gpu-hour 0.10"
        hint(f"baseload decide --input 300M --output 100M --price 3/15 --deployment {document.name}{price}")
    elif not document.gpu:
        say("  kept nowhere: name the GPU that serves it with --gpu")
    elif document.model_fit is not None and document.open_loop is not None:
        say(f"  kept nowhere: one rate makes no curve, and no step could be fitted: {document.model_fit.why_not}")


def _all(document: Measurement) -> list[Level]:
    rest = (document.long_prompts, document.open_loop)
    return [*document.levels, *(each for each in rest if each is not None)]


def _loads(document: Measurement) -> None:
    columns = [
        "in flight",
        ">tokens in/out",
        ">output tokens/s",
        ">first token p50/p90/p99 ms",
        ">per token p50/p90/p99 ms",
        ">gap p99 ms",
        ">whole p50 s",
        ">answered",
    ]
    table("", columns, [_row(each) for each in _all(document)])


def _row(level: Level) -> list[str]:
    return [
        _load(level),
        f"{level.mean_input_tokens:,.0f}/{level.mean_output_tokens:,.0f}",
        f"{level.output_tokens_per_second:,.1f}{'' if level.steady else ' ~'}",
        _places(level.ttft),
        _places(level.tpot),
        f"{level.itl.p99 * 1000:,.1f}" if level.itl is not None else "-",
        f"{level.latency.p50:,.2f}" if level.latency is not None else "-",
        f"{level.answered:,}/{level.requests:,}",
    ]


def _load(level: Level) -> str:
    if level.rate is None:
        return str(level.in_flight)
    return f"{level.mean_in_flight:,.1f} ({level.rate:g}/s asked, {level.requests_per_second:,.2f}/s served)"


def _places(held: Percentiles | None) -> str:
    return "-" if held is None else " / ".join(f"{each * 1000:,.1f}" for each in (held.p50, held.p90, held.p99))


def _curve(document: Measurement) -> None:
    """The curve as bars over the measured loads, its error, and what tokens cost in time."""
    if document.curve is None:
        return
    from baseload.capacity.curve import Curve

    found = document.curve
    curve = Curve(found.fixed_seconds, found.seconds_per_request, found.gamma, found.measured_to)
    highest = curve.tokens_per_second(found.measured_to)
    for level in document.levels:
        rate = curve.tokens_per_second(level.in_flight)
        say(f"  {level.in_flight:>5}  {'#' * max(1, round(BAR * rate / highest)):<{BAR}}  {rate:,.1f} tokens/s")
    step, more = found.fixed_seconds * 1000, found.seconds_per_request * 1000
    say(f"  curve: a step takes {step:.3f} ms + {more:.4f} ms x in flight ^ {found.gamma:.2f}, to {found.measured_to}")
    held = document.held_out
    if held is None:
        say("  not calibrated: too few loads to hold one out")
    else:
        word = "calibrated" if document.calibrated else "not calibrated"
        say(
            f"  {word}: {held.in_flight} in flight, held out, was {held.measured:,.1f} tokens/s and is predicted as "
            f"{held.predicted:,.1f} ({held.error:+.1%})"
        )
    _model(document)
    if document.saturated is not None:
        rates = document.saturated
        least = "at least " if rates.bounded else ""
        say(
            f"  when full: reads {least}{rates.input_tokens_per_second:,.0f} tokens/s, "
            f"writes {rates.output_tokens_per_second:,.0f}"
        )


def _learnt(document: Measurement) -> None:
    """What an open loop tells of the engine: its step, and by how much that missed what it had not seen."""
    fit = document.model_fit
    if document.open_loop is None or fit is None or fit.held_out is None:
        return
    word = "calibrated" if fit.trusted else "not calibrated"
    say(f"  {word}: a third of {fit.loads} requests, held out, is missed by {fit.held_out:+.1%}")


def _model(document: Measurement) -> None:
    """What the capacity model makes of it, where it knows the model and the GPU."""
    fit = document.model_fit
    if fit is None or fit.step is None:
        return
    held = f"; a load that it had not seen is missed by up to {fit.held_out:.1%}" if fit.held_out is not None else ""
    word = "" if fit.trusted else ", which is not called calibrated"
    say(
        f"  the capacity model agrees with its step x {fit.step:.2f}, computing x {fit.compute:.2f}, "
        f"first token x {fit.first:.2f}{held}{word}"
    )


def _doubts(document: Measurement) -> None:
    """What a reader should know before trusting the figures."""
    levels = _all(document)
    if any(not each.steady for each in levels):
        say("  ~ not steady within 5 %: measure longer with --level-seconds")
    bound = [each for each in levels if each.client_bound]
    if bound:
        worst = max(bound, key=lambda each: each.client_busy)
        say(
            f"  this client was the limit with {_load(worst)} in flight: {worst.client_busy:.0%} of a core, "
            f"{worst.client_late_seconds * 1000:.0f} ms late. "
            "The endpoint may serve more: measure from another machine."
        )
    cached = max((each.cached_share for each in levels), default=0.0)
    if cached > 0.01:
        note(f"  the endpoint's prefix cache answered up to {cached:.0%} of the prompts")
