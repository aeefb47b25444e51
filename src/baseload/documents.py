"""Every data file that ships, read and checked. Acts (reads files of this package and the genai-prices data).

A broken file is a BadConfig that names the file, the row and the field.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from importlib import resources
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from baseload.capacity.architecture import Architecture
from baseload.capacity.config_json import shape_of
from baseload.capacity.curve import DENSE, MIXTURE_OF_EXPERTS, Curve, Point
from baseload.capacity.deployment import Deployment, Saturated, separate
from baseload.catalog.books import Catalog
from baseload.catalog.entries import Lease, LeaseKind, Machine, Offer, Precedence, PriceRow, Rates, Source
from baseload.catalog.market import market_offers
from baseload.catalog.sheets import Exchange, OwnPrice
from baseload.cost.parameters import Component, Evidence, Parameter, Payer, Scale, Shape, Table, check
from baseload.errors import BadConfig, BadInput
from baseload.home import measured_home
from baseload.plan.scenario import Scenario
from baseload.pricebooks import all_book_offers, your_leases, your_offers
from baseload.ranges import Range
from baseload.settings import BookFile, Settings, read_document
from baseload.units import MILLISECONDS_PER_SECOND, pico_per_token, quantity

DATA = Path(str(resources.files("baseload.catalog") / "data"))
CAPACITY_DATA = Path(str(resources.files("baseload.capacity") / "data"))
COST_DATA = Path(str(resources.files("baseload.cost") / "data"))
PLAN_DATA = Path(str(resources.files("baseload.plan") / "data"))
MARKET_PACKAGE = "genai-prices"
_MOST_CONFIG_BYTES = 4_000_000

if TYPE_CHECKING:
    from baseload.capacity.estimate import Model

_Document = TypeVar("_Document", bound=msgspec.Struct)


class _Origin(msgspec.Struct, forbid_unknown_fields=True):
    reference: str
    as_of: date
    licence: str
    precedence: str = "articles"


class _OfferRow(msgspec.Struct, forbid_unknown_fields=True):
    provider: str
    model: str
    name: str
    input: Decimal | None
    output: Decimal | None
    context: str | None
    note: str = ""


class _Prices(msgspec.Struct, forbid_unknown_fields=True):
    books: dict[str, _Origin]
    offers: dict[str, list[_OfferRow]]


class _Gpu(msgspec.Struct, forbid_unknown_fields=True):
    gpu: str
    memory_gb: Decimal
    bandwidth_tb_per_second: Decimal
    bf16_tflops: Decimal
    watts: Decimal
    counts: list[int]
    source: str
    link_gb_per_second: Decimal
    fp8_tflops: Decimal | None = None
    fp4_tflops: Decimal | None = None


class _Machines(msgspec.Struct, forbid_unknown_fields=True):
    sources: dict[str, _Origin]
    gpus: list[_Gpu]


class _LeaseRow(msgspec.Struct, forbid_unknown_fields=True):
    gpu: str
    kind: LeaseKind
    count: int = 1
    provider: str = ""
    usd_per_gpu_hour: list[Decimal] | None = None
    usd_per_month: list[Decimal] | None = None
    purchase_usd: list[Decimal] | None = None
    note: str = ""


class _Leases(msgspec.Struct, forbid_unknown_fields=True):
    books: dict[str, _Origin]
    leases: dict[str, list[_LeaseRow]]


class _Rate(msgspec.Struct, forbid_unknown_fields=True):
    in_flight: int
    output_tokens_per_second: Decimal


class _Mix(msgspec.Struct, forbid_unknown_fields=True):
    input: int
    output: int


class _Saturated(msgspec.Struct, forbid_unknown_fields=True):
    input_tokens_per_second: Decimal
    output_tokens_per_second: Decimal


class _Places(msgspec.Struct, forbid_unknown_fields=True):
    mean: float
    p50: float
    p90: float
    p99: float


class _Probe(msgspec.Struct, forbid_unknown_fields=True):
    """One measured load with its times: kept beside the points for whoever fits them anew."""

    in_flight: int
    input: float
    output: float
    requests: int
    output_tokens_per_second: Decimal
    ttft_seconds: _Places | None = None
    tpot_seconds: _Places | None = None
    latency_seconds: _Places | None = None


class _SecondMix(msgspec.Struct, forbid_unknown_fields=True):
    mix: _Mix
    output_tokens_per_second: Decimal


class _DeploymentRow(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    model: str
    machine: str
    gpu: str
    gpus: int
    engine: str
    quantization: str
    experts: bool
    mix: _Mix
    points: list[_Rate]
    max_in_flight: int
    measured: date
    source: str
    saturated_from: _SecondMix | None = None
    saturated: _Saturated | None = None
    probes: list[_Probe] = []
    note: str = ""


class _ModelRow(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    path: str
    aliases: list[str]
    source: str
    config: dict[str, object]
    published_billions: Decimal | None = None


class _Models(msgspec.Struct, forbid_unknown_fields=True):
    sources: dict[str, _Origin]
    models: list[_ModelRow]


class _Deployments(msgspec.Struct, forbid_unknown_fields=True):
    sources: dict[str, _Origin]
    deployments: list[_DeploymentRow]


def load_catalog(
    own_prices: Iterable[OwnPrice] = (),
    *,
    books: Iterable[BookFile] = (),
    exchange: Iterable[Exchange] = (),
    leases: Iterable[Lease] = (),
    directory: Path = DATA,
) -> Catalog:
    """Your prices and books, the market book and the articles' books, the machines and what they cost. About 0.3 s."""
    others = [*_market(), *all_book_offers(books), *_article_offers(directory / "articles.yaml")]
    offers = [*your_offers(tuple(own_prices), exchange, others), *others]
    return Catalog(offers, _machines(directory / "machines.yaml"), [*leases, *_leases(directory / "leases.yaml")])


def catalog_of(settings: Settings) -> Catalog:
    """The catalog with everything that a configuration adds to it."""
    leases = your_leases(settings.leases, settings.hardware)
    return load_catalog(settings.prices, books=settings.books, exchange=settings.exchange, leases=leases)


def load_leases(settings: Settings | None = None, *, directory: Path = DATA) -> tuple[Lease, ...]:
    """What machines cost, yours first and then the books."""
    yours = your_leases(settings.leases, settings.hardware) if settings else ()
    return (*yours, *_leases(directory / "leases.yaml"))


class Deployments(dict[str, Deployment]):
    """Measured deployments by name. A name such as `qwen3-32b@h100-80gb-x2:fp8:vllm` that nobody measured is found too:
    the capacity model says what it serves. Only measured ones are listed."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and "@" in name)

    def __missing__(self, name: str) -> Deployment:
        if "@" not in name:
            raise KeyError(name)
        # Imported here: it brings numpy, which a measured deployment does without.
        from baseload.capacity.modelled import modelled

        self[name] = modelled(name, load_capacity_model(), load_architectures(), load_machines())
        return self[name]

    def get(self, name: str, default: object = None) -> Any:  # noqa: ANN401  as dict's own
        try:
            return self[name]
        except KeyError:
            return default


def load_deployments(*, directory: Path = DATA, yours: Path | None = None) -> Deployments:
    """Deployments that were measured, by name: those that ship, and yours over them. `yours` is a folder of files as
    `baseload measure` writes them, that of your home when none is named."""
    found = Deployments()
    folder = measured_home() if yours is None else yours
    for path in [directory / "deployments.yaml", *sorted(folder.glob("*.yaml"))]:
        document = _read(path, _Deployments)
        found.update({row.name: _deployment(row, document.sources, path) for row in document.deployments})
    return found


class Probed(msgspec.Struct, frozen=True):
    """A deployment of yours with the loads that it was measured under, by the names of the capacity model's figures."""

    name: str
    model: str
    gpu: str
    gpus: int
    engine: str
    quantization: str
    measured: date
    loads: tuple[dict[str, float], ...]


def load_probes(*, yours: Path | None = None) -> tuple[Probed, ...]:
    """What you measured of your own deployments, in the files of `load_deployments`."""
    folder = measured_home() if yours is None else yours
    rows = [row for path in sorted(folder.glob("*.yaml")) for row in _read(path, _Deployments).deployments]
    return tuple(
        Probed(
            row.name,
            row.model,
            row.gpu,
            row.gpus,
            row.engine,
            row.quantization,
            row.measured,
            tuple(_figures(each) for each in row.probes),
        )
        for row in rows
        if row.probes
    )


def _figures(probe: _Probe) -> dict[str, float]:
    times = {"tpot_ms": probe.tpot_seconds, "ttft_ms": probe.ttft_seconds}
    return {
        "concurrency": float(probe.in_flight),
        "input_tokens": probe.input,
        "output_tokens": probe.output,
        "output_tokens_per_s": float(probe.output_tokens_per_second),
        **{name: each.mean * MILLISECONDS_PER_SECOND for name, each in times.items() if each is not None},
    }


@cache
def load_architectures(*, directory: Path = DATA) -> dict[str, Architecture]:
    """Models by name, counted from their published configs: whether they fit a machine, and how fast they run there."""
    path = directory / "architectures.json"
    try:
        document = msgspec.json.decode(path.read_bytes(), type=_Models)
    except (OSError, msgspec.DecodeError) as error:
        raise BadConfig(f"cannot read {path}: {error}", remedy="Install baseload again.") from error
    _once([row.name for row in document.models], path)
    found = {}
    for row in document.models:
        try:
            shape = shape_of(row.config)
        except BadInput as error:
            raise BadConfig(f"{path}: {row.name}: {error.message}", remedy=error.remedy) from error
        source = _source(row.source, document.sources, path)
        found[row.name] = Architecture.counted(row.name, shape, source, (row.path, *row.aliases))
    return found


def load_machines(*, directory: Path = DATA) -> dict[str, Machine]:
    """GPU shapes by name."""
    return {machine.name: machine for machine in _machines(directory / "machines.yaml")}


def read_architecture(path: Path) -> Architecture:
    """A model from its published config.json. Raises BadInput for what is none."""
    try:
        document = msgspec.json.decode(path.read_bytes()[:_MOST_CONFIG_BYTES], type=dict[str, object])
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error}", remedy="Give the path of a config.json.") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInput(f"{path} is no config.json: {error}", remedy="Give the file as published.") from error
    source = Source(str(path), Precedence.YOURS, datetime.fromtimestamp(path.stat().st_mtime, UTC).date(), str(path))
    return Architecture.counted(path.parent.name or path.stem, shape_of(document), source)


@cache
def load_capacity_model(*, directory: Path = CAPACITY_DATA) -> Model:
    """The fitted capacity model: constants, what is known of measured deployments, and its bands."""
    # Imported here: they bring numpy, which most verbs do without.
    from baseload.capacity.model_file import AGAIN, ModelDocument, model_from

    path = directory / "capacity.json"
    try:
        return model_from(msgspec.json.decode(path.read_bytes(), type=ModelDocument))
    except (OSError, msgspec.DecodeError) as error:
        raise BadConfig(f"cannot read {path}: {error}", remedy=AGAIN) from error


def write_yaml(path: Path, document: Mapping[str, object]) -> None:
    """Write a document as YAML, keys in the order they have; whole or not at all."""
    from ruamel.yaml import YAML

    text = StringIO()
    YAML().dump(dict(document), text)
    write_whole(path, text.getvalue().encode())


def write_whole(path: Path, document: bytes) -> None:
    """Write a file whole or not at all: whoever reads it, or writes it at the same time, never meets a half.

    Raises OSError; nothing of it is then left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}.half")
    try:
        half.write_bytes(document)
        half.replace(path)
    except OSError:
        half.unlink(missing_ok=True)
        raise


def _read(path: Path, kind: type[_Document]) -> _Document:
    """One YAML file, checked against its shape."""
    try:
        return msgspec.convert(read_document(path), kind)
    except msgspec.ValidationError as error:
        raise BadConfig(f"{path}: {error}", remedy="Mend that field; `$` is the top of the file.") from error
    except RecursionError as error:
        raise BadConfig(
            f"{path} contains itself", remedy="Take out the alias (`*name`) that closes the circle."
        ) from error


def _source(book: str, origins: dict[str, _Origin], path: Path) -> Source:
    origin = origins.get(book)
    if origin is None:
        raise BadConfig(f"{path}: {book!r} is not one of its sources", remedy=f"Use one of {', '.join(origins)}.")
    try:
        precedence = Precedence[origin.precedence.upper()]
    except KeyError as error:
        known = ", ".join(each.name.lower() for each in Precedence)
        raise BadConfig(
            f"{path}: {book} has precedence {origin.precedence!r}", remedy=f"Use one of {known}."
        ) from error
    return Source(book, precedence, origin.as_of, origin.reference, origin.licence)


def _market() -> tuple[Offer, ...]:
    # Imported here: it takes 0.2 s that `baseload --help` must not pay.
    from genai_prices.data import providers

    return market_offers(providers, version(MARKET_PACKAGE))


def _article_offers(path: Path) -> Iterator[Offer]:
    document = _read(path, _Prices)
    for book, rows in document.offers.items():
        source = _source(book, document.books, path)
        _once([f"{book} {row.provider}/{row.model}" for row in rows], path)
        for row in rows:
            rates = Rates(input=_checked(row.input, row.model, path), output=_checked(row.output, row.model, path))
            yield Offer(
                provider=row.provider,
                model=row.model,
                source=source,
                schedule=(PriceRow(rates),),
                context_tokens=_context(row.context),
                name=row.name,
                note=row.note,
            )


def _checked(price: Decimal | None, model: str, path: Path) -> Decimal | None:
    """A price that is not negative and has at most six decimals."""
    if price is None:
        return None
    if not price.is_finite() or price < 0:
        raise BadConfig(f"{path}: {model} has the price {price}", remedy="Write what a million tokens cost in USD.")
    try:
        pico_per_token(price)
    except BadInput as error:
        raise BadConfig(f"{path}: {model}: {error.message}", remedy=error.remedy) from error
    return price


def _context(text: str | None) -> int | None:
    """`128K` as tokens; None and `Auto` are unknown."""
    return None if text is None or text == "Auto" else int(quantity(text))


def _machines(path: Path) -> Iterator[Machine]:
    document = _read(path, _Machines)
    for row in document.gpus:
        source = _source(row.source, document.sources, path)
        for count in row.counts:
            yield Machine(
                f"{row.gpu}-x{count}",
                row.gpu,
                count,
                row.memory_gb,
                row.bandwidth_tb_per_second,
                row.bf16_tflops,
                row.watts,
                source,
                row.fp8_tflops,
                row.fp4_tflops,
                row.link_gb_per_second,
            )


def _leases(path: Path) -> Iterator[Lease]:
    document = _read(path, _Leases)
    for book, rows in document.leases.items():
        source = _source(book, document.books, path)
        for row in rows:
            stated = [row.usd_per_gpu_hour, row.usd_per_month, row.purchase_usd]
            if sum(figure is not None for figure in stated) != 1:
                raise BadConfig(
                    f"{path}: the {row.kind} row of {row.gpu} in {book} needs exactly one price",
                    remedy="Give one of usd_per_gpu_hour, usd_per_month and purchase_usd.",
                )
            yield Lease(
                gpu=row.gpu,
                kind=row.kind,
                source=source,
                usd_per_gpu_hour=_range(row.usd_per_gpu_hour, row.gpu, path),
                purchase_usd=_range(row.purchase_usd, row.gpu, path),
                provider=row.provider,
                note=row.note,
                usd_per_month=_range(row.usd_per_month, row.gpu, path),
                count=row.count,
            )


def _range(figures: list[Decimal] | None, gpu: str, path: Path) -> Range | None:
    """One figure is exact, two are the ends, three are low, likely and high."""
    if figures is None:
        return None
    try:
        match figures:
            case [only]:
                return Range.exact(only)
            case [low, high]:
                return Range.between(low, high)
            case [low, likely, high]:
                return Range(low, likely, high)
    except BadInput as error:
        raise BadConfig(f"{path}: {gpu}: {error.message}", remedy=error.remedy) from error
    raise BadConfig(f"{path}: {gpu} has a range of {len(figures)} figures", remedy="Give one, two or three.")


def _deployment(row: _DeploymentRow, origins: dict[str, _Origin], path: Path) -> Deployment:
    try:
        points = [Point(point.in_flight, float(point.output_tokens_per_second)) for point in row.points]
        shape = MIXTURE_OF_EXPERTS if row.experts else DENSE
        curve = Curve.through(points[0], points[1], shape) if len(points) == 2 else Curve.fitted(points)
        saturated = _saturated(row)
    except BadInput as error:
        raise BadConfig(f"{path}: {row.name}: {error.message}", remedy=error.remedy) from error
    return Deployment(
        name=row.name,
        model=row.model,
        machine=row.machine,
        gpu=row.gpu,
        gpus=row.gpus,
        engine=row.engine,
        quantization=row.quantization,
        curve=curve,
        max_in_flight=row.max_in_flight,
        mix_input=row.mix.input,
        mix_output=row.mix.output,
        saturated=saturated,
        measured=row.measured,
        source=_source(row.source, origins, path),
    )


def _saturated(row: _DeploymentRow) -> Saturated | None:
    """Reading and writing rates, told apart by two mixes at the same load; None when only one was measured."""
    if (stated := row.saturated) is not None:
        if not (stated.input_tokens_per_second > 0 and stated.output_tokens_per_second > 0):
            raise BadInput("a saturated rate is not above zero", remedy="Leave `saturated` out, or measure it.")
        return Saturated(stated.input_tokens_per_second, stated.output_tokens_per_second)
    other = row.saturated_from
    if other is None:
        return None
    return separate(
        (row.mix.input, row.mix.output, row.points[-1].output_tokens_per_second),
        (other.mix.input, other.mix.output, other.output_tokens_per_second),
    )


class _ParameterRow(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    unit: str
    figures: list[Decimal] | None
    shape: Shape
    evidence: Evidence
    source: str
    group: str = ""
    note: str = ""


class _ComponentRow(msgspec.Struct, forbid_unknown_fields=True):
    number: int
    id: str
    title: str
    scale: Scale
    pays: list[Payer]
    formula: str
    parameters: list[_ParameterRow]


class _Parameters(msgspec.Struct, forbid_unknown_fields=True):
    sources: dict[str, _Origin]
    groups: dict[str, float]
    components: list[_ComponentRow]
    capacity: list[_ParameterRow]


@cache
def load_parameters(*, directory: Path = COST_DATA) -> Table:
    """The parameter table of the cost model."""
    path = directory / "parameters.yaml"
    document = _read(path, _Parameters)
    _once([row.id for row in document.components], path)
    rows = [*(row for each in document.components for row in each.parameters), *document.capacity]
    _once([row.name for row in rows], path)
    return Table(
        tuple(
            Component(
                number=row.number,
                id=row.id,
                title=row.title,
                scale=row.scale,
                pays=tuple(row.pays),
                formula=row.formula,
                parameters=tuple(_parameter(each, document, path) for each in row.parameters),
            )
            for row in document.components
        ),
        tuple(_parameter(each, document, path) for each in document.capacity),
        document.groups,
    )


def _parameter(row: _ParameterRow, document: _Parameters, path: Path) -> Parameter:
    if row.group and row.group not in document.groups:
        raise BadConfig(
            f"{path}: {row.name} moves with {row.group!r}, which is not one of its groups",
            remedy=f"Use one of {', '.join(document.groups)}.",
        )
    parameter = Parameter(
        name=row.name,
        unit=row.unit,
        figure=_range(row.figures, row.name, path),
        shape=row.shape,
        group=row.group,
        evidence=row.evidence,
        source=_source(row.source, document.sources, path),
        note=row.note,
    )
    try:
        if parameter.figure is not None:
            check(parameter, parameter.figure)
    except BadInput as error:
        raise BadConfig(f"{path}: {error.message}", remedy=error.remedy) from error
    return parameter


def _once(names: list[str], path: Path) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise BadConfig(f"{path}: {', '.join(doubled)} stands there twice", remedy="Rename or remove one.")


class _Scenarios(msgspec.Struct, forbid_unknown_fields=True):
    scenarios: tuple[Scenario, ...]


def load_scenarios(*, directory: Path = PLAN_DATA) -> tuple[Scenario, ...]:
    """The articles' cases, in the order of the file."""
    path = directory / "scenarios.yaml"
    found = _read(path, _Scenarios).scenarios
    _once([each.name for each in found], path)
    return found


def read_scenario(path: Path) -> Scenario:
    """A scenario from a file of YAML or JSON."""
    if not path.is_file():
        raise BadInput(f"there is no scenario file {path}", remedy="See what ships: baseload decide --scenario list.")
    return _read(path, Scenario)
