"""The machines that `baseload decide` weighs by the cost model, read from its flags. Acts (reads the catalog)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from baseload.cli import decide_hours
from baseload.cli.decide_hours import Hours
from baseload.units import HOURS_PER_MONTH, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from baseload.capacity.deployment import Deployment
    from baseload.catalog.books import Catalog
    from baseload.catalog.entries import Lease, Source
    from baseload.cli.decide_case import Said
    from baseload.cost.parameters import Assumptions
    from baseload.cost.ways import Way, WayKind
    from baseload.plan.answer import Answer
    from baseload.ranges import Range

LEASES: tuple[WayKind, ...] = ("rented", "reserved", "spot", "owned", "brokered")


@dataclass(frozen=True)
class Ways:
    """The flags of the cost model, as they were typed; None and empty where they were not. `horizon` is `--months`."""

    lease: tuple[str, ...] = ()
    hours: Hours = field(default_factory=Hours)
    reserved_discount: str | None = None
    purchase: str | None = None
    target_fill: str | None = None
    spare: int | None = None
    horizon: int | None = None
    full: bool | None = None
    figures: tuple[str, ...] = ()
    deployment: str | None = None
    own_model: str | None = None
    machine: str | None = None
    bits: int = 16
    context: int = 8_192

    @property
    def asked(self) -> str | None:
        """The first of these flags that was typed."""
        typed = {
            "--lease": self.lease,
            self.hours.asked or "--hours": self.hours.asked is not None,
            "--reserved-discount": self.reserved_discount is not None,
            "--purchase": self.purchase is not None,
            "--target-fill": self.target_fill is not None,
            "--spare": self.spare is not None,
            "--full" if self.full else "--bare": self.full is not None,
            "--set": self.figures,
            "--own-model": self.own_model is not None,
            "--machine": self.machine is not None,
        }
        return next((name for name, value in typed.items() if value), None)

    def alone(self, others: dict[str, object]) -> None:
        """Refuse to weigh what was not typed. Raises BadInput."""
        from baseload.errors import BadInput

        flag = self.asked or "--deployment"
        clashing = next((name for name, value in others.items() if value), None)
        if clashing is not None:
            raise BadInput(
                f"{flag} weighs typed figures, and {clashing} was given too",
                remedy=f"Leave {clashing} out.",
            )

    def refuse_shape(self) -> None:
        """Of a machine of the policy the shape is known. Raises BadInput where another was typed."""
        from baseload.errors import BadInput

        self.hours.alone()
        typed = {"--own-model": self.own_model, "--machine": self.machine, "--purchase": self.purchase}
        wrong = next((name for name, value in typed.items() if value is not None), None)
        if wrong is not None:
            raise BadInput(
                f"{wrong} describes a machine, and a ledger is weighed on the policy's own pool",
                remedy="Leave it out, or decide on typed figures with --input and --output.",
            )

    def kinds(self) -> tuple[WayKind, ...]:
        """The leases that were typed, in their order. Raises BadInput for what is none."""
        from baseload.errors import BadInput

        wrong = next((kind for kind in self.lease if kind not in LEASES), None)
        if wrong is not None:
            raise BadInput(f"--lease {wrong!r} is no way to have a machine", remedy=f"Use one of {', '.join(LEASES)}.")
        return tuple(each for each in LEASES if each in self.lease)


@dataclass(frozen=True)
class Typed:
    """The flags of a typed machine that both kinds of decision know."""

    gpu_month: str | None
    gpu_hour: str | None
    gpus: int
    gpu_capacity: str | None
    peak: str | None
    ops: str | None
    hidden_stack: bool


def read(flags: Mapping[str, Any]) -> Ways:
    """The flags of the cost model among all of `baseload decide`'s, by the names of its parameters."""
    return Ways(
        lease=tuple(flags["lease"] or ()),
        hours=decide_hours.read(flags),
        reserved_discount=flags["reserved_discount"],
        purchase=flags["purchase"],
        target_fill=flags["target_fill"],
        spare=flags["spare"],
        horizon=flags["months"],
        full=flags["full"],
        figures=tuple(flags["set"] or ()),
        deployment=flags["deployment"],
        own_model=flags["own_model"],
        machine=flags["machine"],
        bits=flags["bits"],
        context=flags["context"],
    )


def typed(flags: Mapping[str, Any]) -> Typed:
    """The typed machine among them."""
    return Typed(**{name: flags[name] for name in Typed.__dataclass_fields__})


def on_ways(figures: Mapping[str, object], machine: Typed, ways: Ways, said: Said) -> Answer:
    """Answer typed figures with every component that was asked for. `figures` are a scenario's fields by name."""
    from datetime import UTC, datetime

    import msgspec

    from baseload.cli.decide_case import catalog_for, on_question
    from baseload.plan.itemised import asked
    from baseload.plan.options import price_named
    from baseload.plan.scenario import Scenario, prices_of, volume_of

    wanted = msgspec.convert(figures, Scenario)
    catalog, volume, now = catalog_for(said), volume_of(wanted), datetime.now(UTC)
    prices = [*prices_of(wanted), *(price_named(catalog, name, volume, now) for name in wanted.models)]
    assumed = assumptions(machine, ways, everything=bool(ways.full))
    question = ways.hours.shaped(asked(volume, prices, _ways(machine, ways, catalog), assumed))
    return on_question(question, said, catalog, "typed")


def _ways(typed: Typed, ways: Ways, catalog: Catalog) -> list[Way]:
    """One way for each lease, all on the same machine."""
    from baseload.cost.ways import Way

    priced = typed.gpu_month is not None or typed.gpu_hour is not None
    kinds = ways.kinds() or (("owned",) if ways.purchase is not None and not priced else ("rented",))
    on = ways.hours.schedule()
    machine = _machine(typed, ways, catalog)
    unfit = _unfit(ways, catalog)
    return [
        Way(f"{kind} {machine.gpu}", kind, machine.figures, machine.sources, gpus=machine.gpus, on=on, unfit=unfit)
        for kind in kinds
    ]


@dataclass(frozen=True)
class _Machine:
    """One machine: what it states for itself, and what it is called."""

    gpu: str
    gpus: int
    figures: dict[str, Range]
    sources: dict[str, Source]


def _machine(typed: Typed, ways: Ways, catalog: Catalog) -> _Machine:
    """Capacity, price and cards of the machine, typed or from the catalog."""
    from decimal import Decimal

    from baseload.ranges import Range

    figures: dict[str, Range] = {}
    sources: dict[str, Source] = {}
    gpu, gpus = _shape(typed, ways, catalog)
    _capacity(typed, ways, figures, sources)
    if typed.gpu_month is not None:
        figures["machine_usd_per_month"] = span("--gpu-month", typed.gpu_month)
        figures["gpu_usd_per_hour"] = Range.exact(0)
    elif typed.gpu_hour is not None:
        figures["gpu_usd_per_hour"] = span("--gpu-hour", typed.gpu_hour)
    elif (lease := _rent(catalog, gpu)) is not None and lease.usd_per_gpu_hour is not None:
        figures["gpu_usd_per_hour"], sources["gpu_usd_per_hour"] = lease.usd_per_gpu_hour, lease.source
    if ways.purchase is not None:
        figures["card_usd"] = span("--purchase", ways.purchase) / gpus
        figures["node_factor"] = Range.exact(Decimal(1))
    return _Machine(f"{gpus} x {gpu}" if gpu else "GPU", gpus, figures, sources)


def _shape(typed: Typed, ways: Ways, catalog: Catalog) -> tuple[str, int]:
    """The GPU's name, empty where none was named, and how many there are in one machine."""
    if ways.machine is not None:
        machine = catalog.machine(ways.machine)
        return machine.gpu, machine.count
    if ways.deployment is not None:
        deployment = _deployment(ways.deployment)
        return deployment.gpu, deployment.gpus
    return "", typed.gpus


def _capacity(typed: Typed, ways: Ways, figures: dict[str, Range], sources: dict[str, Source]) -> None:
    """Tokens a month that a machine reads and writes when it is always busy: measured, or typed as one figure."""
    from baseload.errors import BadInput
    from baseload.ranges import Range
    from baseload.units import quantity

    read, written = "replica_input_tokens_per_month", "replica_output_tokens_per_month"
    if typed.gpu_capacity is not None:
        room = quantity(typed.gpu_capacity)
        if room <= 0:
            raise BadInput("--gpu-capacity is 0", remedy="Give a capacity above zero, as in --gpu-capacity 1.6B.")
        figures |= {read: Range.exact(room), written: Range.exact(room)}
        return
    if ways.deployment is None:
        raise BadInput(
            "a machine needs --gpu-capacity or --deployment: without it no volume can be checked against it",
            remedy="Add the tokens a month that one machine can serve, as in --gpu-capacity 1.6B.",
        )
    deployment = _deployment(ways.deployment)
    if deployment.saturated is None:
        raise BadInput(
            f"{deployment.name} was measured at one mix of input and output only",
            remedy="Give --gpu-capacity for your mix.",
        )
    month = HOURS_PER_MONTH * SECONDS_PER_HOUR
    figures[read] = deployment.band * (deployment.saturated.input_tokens_per_second * month)
    figures[written] = deployment.band * (deployment.saturated.output_tokens_per_second * month)
    sources |= {read: deployment.source, written: deployment.source}


def _deployment(name: str) -> Deployment:
    from baseload.documents import load_deployments
    from baseload.errors import UnknownModel

    known = load_deployments()
    if name not in known:
        raise UnknownModel(
            f"no deployment is called {name!r}",
            remedy=f"Use one of {', '.join(known)}, or name one to be modelled, as in qwen3-32b@h100-80gb-x2:fp8:vllm.",
        )
    return known[name]


def _rent(catalog: Catalog, gpu: str) -> Lease | None:
    """What the best book says of renting such a GPU."""
    from baseload.catalog.entries import LeaseKind

    leases = (each for each in catalog.leases(gpu) if each.kind is LeaseKind.RENTED)
    return next((each for each in leases if each.usd_per_gpu_hour is not None), None)


def _unfit(ways: Ways, catalog: Catalog) -> str:
    """Why the model does not fit the machine; empty where it does, or where none was named."""
    from baseload.capacity.architecture import architecture_named
    from baseload.capacity.fit import fit
    from baseload.documents import load_architectures
    from baseload.errors import BadInput

    if ways.own_model is None:
        return ""
    if ways.machine is None:
        raise BadInput(
            f"--own-model {ways.own_model} needs a machine to fit",
            remedy="Add --machine, as in --machine h100-80gb-x1.",
        )
    model = architecture_named(ways.own_model, load_architectures())
    machine = catalog.machine(ways.machine)
    checked = fit(model, machine, weight_bits=ways.bits, context_tokens=ways.context)
    return "" if checked.fits else checked.sentence


def assumptions(typed: Typed, ways: Ways, *, everything: bool) -> Assumptions:
    """The parameter table with what was typed laid over it; without `everything` only tokens and machines count."""
    from decimal import Decimal

    from baseload.cost.parameters import Assumptions
    from baseload.documents import load_parameters
    from baseload.errors import BadInput
    from baseload.ranges import Range
    from baseload.units import quantity

    people = "--ops" if typed.ops is not None else "--hidden-stack" if typed.hidden_stack else None
    if people is not None:
        raise BadInput(
            f"{people} is one sum for people and operations, and {ways.asked} weighs them line by line",
            remedy=f"Leave {people} out and add --full, or --set engineer_fte=0.1.",
        )
    table = Assumptions(load_parameters())
    over: dict[str, Range] = {}
    if typed.peak is not None:
        over["peak_over_mean"] = Range.exact(quantity(typed.peak))
    if ways.reserved_discount is not None:
        over["reserved_discount"] = share("--reserved-discount", ways.reserved_discount)
    if ways.target_fill is not None:
        over["target_fill"] = share("--target-fill", ways.target_fill)
    if ways.spare is not None:
        over["spare_replicas"] = Range.exact(ways.spare)
    if ways.horizon is not None:
        over["horizon_months"] = Range.exact(Decimal(ways.horizon))
    for text in ways.figures:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadInput(f"--set {text!r} sets nothing", remedy="Write --set name=value, as in --set pue=1.2.")
        over[name.strip()] = span(f"--set {name}", value)
    said = table.over(over)
    return said if everything else said.bare()


def share(flag: str, text: str) -> Range:
    """`30%` or `0.3`, or a range of either."""
    percent = text.rstrip().endswith("%")
    figure = span(flag, text.replace("%", ""))
    return figure / 100 if percent else figure


def span(flag: str, text: str) -> Range:
    """`1200`, or `1000-2000` as a range."""
    from baseload.plan.scenario import span as read

    return read(flag, text)
