"""Decisions on a whole case: a scenario, a trace, a frozen decision, typed figures. Acts (reads and writes files)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from baseload.cli.output import note, print_json, table

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from baseload.catalog.books import Catalog
    from baseload.plan.answer import Answer
    from baseload.plan.frozen import Frozen, Repeated
    from baseload.plan.question import Question
    from baseload.plan.scenario import Answers, Scenario

LIST = "list"
DEFAULT_NAME = "decision.json"
# The parameter table among the books of a frozen decision.
PARAMETERS = "parameter table"
# What may be typed beside a trace, which has the volume and the machine.
BESIDE_A_TRACE = frozenset({"--price", "--model", "--gpu-hour"})


@dataclass(frozen=True, slots=True)
class Case:
    """Where a whole case is read from, and what may be typed beside a trace."""

    scenario: str | None
    trace: str | None
    deployment: str | None
    repeat: str | None
    gpu_hour: str | None
    prices: tuple[str, ...]
    models: tuple[str, ...]

    @property
    def flag(self) -> str | None:
        """The flag that names it, None where no whole case was named."""
        flags = {"--scenario": self.scenario, "--trace": self.trace, "--repeat": self.repeat}
        return next((flag for flag, value in flags.items() if value is not None), None)


@dataclass(frozen=True, slots=True)
class Said:
    """What a person adds to any case: answers to the five questions, the business case, where to save, which books."""

    sensitive: bool | None
    fine_tuning: bool | None
    team: bool | None
    accuracy: str | None
    months: int | None
    setup: str | None
    save: str | None
    config: str | None

    def answers(self, known: Answers) -> Answers:
        """Laid over what a scenario answers."""
        import msgspec

        mine = {name: getattr(self, name) for name in ("sensitive", "fine_tuning", "team", "accuracy")}
        return msgspec.structs.replace(known, **{name: each for name, each in mine.items() if each is not None})

    def over(self, scenario: Scenario) -> Scenario:
        """The scenario with what was said."""
        import msgspec

        outlay = {name: each for name, each in (("months", self.months), ("setup", self.setup)) if each is not None}
        return msgspec.structs.replace(
            scenario,
            answers=self.answers(scenario.answers),
            outlay=msgspec.structs.replace(scenario.outlay, **outlay),
        )


def show_schema() -> None:
    """Print the JSON Schema of the document."""
    from baseload.plan.answer import decide_schema

    print_json(decide_schema())


def show_list(*, json: bool) -> None:
    """Print the scenarios that ship."""
    from baseload.documents import load_scenarios

    shipped = load_scenarios()
    if json:
        print_json(shipped)
    else:
        table("", ["scenario", "", "source"], [[each.name, each.title, each.source] for each in shipped])


def on_case(case: Case, said: Said, others: Mapping[str, object]) -> Answer:
    """Answer the case that was named; `others` are flags that may have been given beside it.

    Raises BadInput for two sources of figures, Breach for a frozen decision that does not come out again.
    """
    from pathlib import Path

    from baseload.errors import BadInput

    flag = case.flag
    if flag is None or (case.deployment is not None and flag != "--trace"):
        raise BadInput("--deployment serves a trace, and none was named", remedy="Add --trace FILE.")
    beside = {"--scenario": case.scenario, "--trace": case.trace, "--repeat": case.repeat, **others}
    allowed = {flag} | (BESIDE_A_TRACE if flag == "--trace" else frozenset())
    clashing = [name for name, value in beside.items() if value and name not in allowed]
    if clashing:
        raise BadInput(f"{flag} brings its own figures, and {clashing[0]} was given too", remedy="Give one of them.")
    if case.repeat is not None:
        return _on_frozen(Path(case.repeat).expanduser(), said)
    if case.trace is not None:
        return _decided(of_trace(case, catalog_for(said)), said)
    return _decided(find(case.scenario or ""), said)


def on_typed(figures: Mapping[str, object], said: Said) -> Answer:
    """Answer what was typed: a scenario's fields by name."""
    import msgspec

    from baseload.plan.scenario import Scenario

    return _decided(msgspec.convert(figures, Scenario), said)


def _decided(scenario: Scenario, said: Said) -> Answer:
    from datetime import UTC, datetime

    from baseload import __version__
    from baseload.plan.frozen import freeze

    when = datetime.now(UTC).replace(microsecond=0)
    asked = said.over(scenario)
    found, books = answered(asked, catalog_for(said) if _named(asked) else None, when)
    if said.save is not None:
        keep(said.save, freeze(asked, found, when=when, books=books, version=__version__))
    return found


def _on_frozen(path: Path, said: Said) -> Answer:
    from baseload.errors import Breach

    again, held = repeat(path, catalog_for(said))
    if not held.reproduced:
        raise Breach(held.sentence, remedy="See the books: baseload price; freeze the decision anew with --save.")
    note(held.sentence)
    return again


def catalog_for(said: Said) -> Catalog:
    """The books, with those of the configuration where one was named."""
    from pathlib import Path

    from baseload.configuration import read_settings
    from baseload.documents import catalog_of, load_catalog

    return catalog_of(read_settings(Path(said.config))) if said.config is not None else load_catalog()


def find(asked: str) -> Scenario:
    """The scenario of a file, or the one of that name that ships."""
    from pathlib import Path

    from baseload.documents import load_scenarios, read_scenario
    from baseload.plan.scenario import pick

    path = Path(asked).expanduser()
    looks_like_a_file = path.suffix in {".yaml", ".yml", ".json"} or path.is_file()
    return read_scenario(path) if looks_like_a_file else pick(load_scenarios(), asked)


def of_trace(case: Case, catalog: Catalog) -> Scenario:
    """A trace with a deployment; the rent is the middle of what the books ask for its GPU unless it was typed."""
    import gzip
    import zlib
    from pathlib import Path

    from baseload.documents import load_deployments
    from baseload.errors import BadInput
    from baseload.load.trace import parse_trace
    from baseload.plan.scenario import ScenarioPrice
    from baseload.plan.tracing import trace_scenario

    known, trace, deployment = load_deployments(), Path(case.trace or "").expanduser(), case.deployment or ""
    if deployment not in known:
        raise BadInput(f"{deployment or 'nothing'} is no measured deployment", remedy=f"Use one of {', '.join(known)}.")
    if not trace.is_file():
        raise BadInput(f"there is no trace file {trace}", remedy="Name a file with the columns of the Azure traces.")
    found = known[deployment]
    opened = gzip.open if trace.suffix == ".gz" else open
    try:
        with opened(trace, "rt", encoding="utf-8", errors="replace") as lines:
            read = parse_trace(lines, origin=str(trace))
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"cannot read {trace}: {error}", remedy="Name a file that can be read.") from error
    rent = case.gpu_hour if case.gpu_hour is not None else _rent(catalog, found.gpu)
    asked = tuple(ScenarioPrice(price=price) for price in case.prices)
    models = case.models or (() if asked else (found.model,))
    return trace_scenario(read, found, rent, name=trace.name, prices=asked, models=models)


def answered(scenario: Scenario, catalog: Catalog | None, when: datetime) -> tuple[Answer, dict[str, str]]:
    """The answer, and the digests of the books it read. `catalog` may be None when no model is named."""
    from baseload.errors import BadInput
    from baseload.plan.answer import answer
    from baseload.plan.frozen import book_digest
    from baseload.plan.options import price_named
    from baseload.plan.outcomes import answer_outcomes
    from baseload.plan.scenario import volume_of

    task = answer_outcomes(scenario.outcomes, catalog, when) if scenario.outcomes is not None else None
    if catalog is None or not _named(scenario):
        if scenario.models:
            raise BadInput(f"{scenario.name} names models and no books were read", remedy="Read the catalog first.")
        return answer(scenario, (), when.date(), task), {}
    volume = volume_of(scenario)
    prices = [price_named(catalog, name, volume, when) for name in scenario.models]
    books = {price.source.book for price in prices if price.source is not None}
    books |= {model.book for model in task.models if model.book is not None} if task is not None else set()
    digests = {book: book_digest(catalog.offers, book) for book in sorted(books)}
    return answer(scenario, prices, when.date(), task), digests


def _named(scenario: Scenario) -> bool:
    """Whether it names models of the books, for its volume or for its task."""
    tried = scenario.outcomes.models if scenario.outcomes is not None else ()
    return bool(scenario.models) or any(each.model for each in tried)


def on_question(question: Question, said: Said, catalog: Catalog, name: str) -> Answer:
    """Answer by the cost model, and freeze the whole question where that is asked."""
    from datetime import UTC, datetime

    from baseload import __version__
    from baseload.documents import load_parameters
    from baseload.plan.answer import answer_question
    from baseload.plan.frozen import freeze
    from baseload.plan.scenario import Scenario

    when, table = datetime.now(UTC).replace(microsecond=0), load_parameters()
    scenario = said.over(Scenario(name=name))
    found = answer_question(question, question.assumptions(table), scenario, when.date())
    if said.save is not None:
        books = question_books(question, catalog)
        keep(said.save, freeze(scenario, found, when=when, books=books, version=__version__, question=question))
    return found


def question_books(question: Question, catalog: Catalog) -> dict[str, str]:
    """The digests of the books that a question read, and of the parameter table."""
    from baseload.documents import load_parameters
    from baseload.plan.frozen import book_digest, books_of, table_digest

    digests = {book: book_digest(catalog.offers, book) for book in books_of(question)}
    return digests | {PARAMETERS: table_digest(load_parameters())}


def keep(name: str, frozen: Frozen) -> None:
    """Freeze a decision into a file, or into a folder under its default name, and remember it as the last one.

    Each file is written whole or not at all. A home that cannot be written only forgets which was the last.
    """
    from pathlib import Path

    from baseload.documents import write_whole
    from baseload.errors import BadInput
    from baseload.home import last_decision
    from baseload.plan.frozen import stored

    path = Path(name).expanduser()
    target, document = path / DEFAULT_NAME if path.is_dir() else path, stored(frozen)
    try:
        write_whole(target, document)
    except OSError as error:
        raise BadInput(
            f"cannot write {target}: {error.strerror}", remedy="Name a file in a folder that can be written."
        ) from error
    note(f"saved {target}")
    try:
        write_whole(last_decision(), document)
    except OSError as error:
        note(f"not remembered as the last decision, {last_decision()}: {error.strerror}")


def repeat(path: Path, catalog: Catalog) -> tuple[Answer, Repeated]:
    """Answer a frozen decision again for the moment it was made: a scenario with the books as they are now, a question
    of the cost model as it was asked."""
    from baseload import __version__
    from baseload.documents import load_parameters
    from baseload.errors import BadInput
    from baseload.plan.answer import answer_question
    from baseload.plan.frozen import repeated, thaw

    try:
        frozen = thaw(path.read_bytes(), str(path))
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}", remedy="Name a file that --save wrote.") from error
    question = frozen.question
    if question is None:
        again, books = answered(frozen.scenario, catalog, frozen.when)
    else:
        assumptions = question.assumptions(load_parameters())
        again = answer_question(question, assumptions, frozen.scenario, frozen.when.date())
        books = question_books(question, catalog)
    return again, repeated(frozen, again, books=books, version=__version__)


def _rent(catalog: Catalog, gpu: str) -> str:
    """The span of hourly rents on demand that the books hold for a GPU."""
    from baseload.catalog.entries import LeaseKind
    from baseload.errors import BadInput

    rents = [
        lease.usd_per_gpu_hour
        for lease in catalog.leases(gpu)
        if lease.kind is LeaseKind.RENTED and lease.usd_per_gpu_hour is not None
    ]
    if not rents:
        raise BadInput(f"no book says what a {gpu} rents for", remedy="Give it: --gpu-hour 2.40.")
    middle = sorted(rents, key=lambda rent: rent.likely)[len(rents) // 2]
    return f"{middle.low}" if middle.is_exact else f"{middle.low}-{middle.high}"
