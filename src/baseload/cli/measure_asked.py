"""The flags of `baseload measure` read into what is to be measured, before anything is sent. Acts (reads files)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from baseload.catalog.books import Catalog
    from baseload.catalog.entries import Offer
    from baseload.load.lengths import Lengths
    from baseload.load.trace import Arrival
    from baseload.measure.running import Bounds
    from baseload.measure.sweep import Probes

CPU = "cpu"
KINDS = ("fixed", "spread", "chat", "trace")
# A chat template takes some of a context for itself.
USABLE_CONTEXT = 0.9


@dataclass(frozen=True)
class Asked:
    """What the flags say, read and checked. `gpu` is the books' name of it, empty when none was given."""

    key: str
    gpu: str
    times: Sequence[float] | None
    trace: Sequence[Arrival]
    tokens: int | None
    usd: Decimal | None
    flags: Mapping[str, Any]

    def probes(self, context: int | None) -> Probes:
        """The probes of a closed loop, within a context where the endpoint says how long that is."""
        from baseload.measure.sweep import Probes

        return Probes(
            lengths=self.lengths(context),
            most_in_flight=self.flags["most_in_flight"],
            level_seconds=self.flags["level_seconds"],
            full=self.flags["sweep"],
            seed=self.flags["seed"],
        )

    def lengths(self, context: int | None) -> Lengths:
        """How long requests are to be."""
        from baseload.errors import BadInput
        from baseload.load.lengths import Lengths

        flags = self.flags
        most = int(context * USABLE_CONTEXT) if context is not None else None
        if most is not None and flags["lengths"] in {"fixed", "spread"} and flags["input"] + flags["output"] > most:
            raise BadInput(
                f"--input {flags['input']} and --output {flags['output']} do not fit a context of {context} tokens",
                remedy=f"Ask for {most} tokens in all, or serve a longer context.",
            )
        if flags["lengths"] == "chat":
            from baseload.cli.scene import bundled_trace

            return Lengths.of_trace(bundled_trace().arrivals).within(most)
        if flags["lengths"] == "trace":
            return Lengths.of_trace(self.trace, in_order=True).within(most)
        kind = Lengths.fixed if flags["lengths"] == "fixed" else Lengths.spread
        return kind(flags["input"], flags["output"]).within(most)

    def bounds(self, offer: Offer | None) -> Bounds:
        """What may be used in all, priced by an offer where tokens are paid."""
        from datetime import UTC, datetime

        from baseload.measure.running import Bounds, unpaid
        from baseload.measure.spending import price_at

        return Bounds(
            requests=self.flags["max_requests"],
            tokens=self.tokens,
            seconds=self.flags["seconds"],
            usd=self.usd,
            price=price_at(offer, datetime.now(UTC)) if offer is not None else unpaid,
        )

    def offer(self, host: str, model: str, *, resells: bool) -> tuple[Offer | None, bool]:
        """The offer that is paid at this endpoint, and whether tokens are paid there at all."""
        from baseload.errors import UnknownModel, Unpriced
        from baseload.measure.spending import is_own

        if self.flags["offer"] is not None:
            return self.catalog().offer(self.flags["offer"]), True
        if self.flags["own"] or (is_own(host) and not resells):
            return None, False
        try:
            return self._chosen(self.flags["catalog_model"] or model), True
        except (UnknownModel, Unpriced):
            return None, True

    def _chosen(self, model: str) -> Offer:
        from datetime import UTC, datetime

        from baseload.catalog.choice import choose
        from baseload.cost.tokens import price
        from baseload.units import usd
        from baseload.usage import Usage

        usage = Usage(input_tokens=self.flags["input"], output_tokens=self.flags["output"])
        now = datetime.now(UTC)
        return choose(self.catalog(), model, lambda offer: usd(price(usage, offer, now).nanousd)).offer

    def catalog(self) -> Catalog:
        """The books, with yours."""
        from baseload.cli.price import named_books

        return named_books(self.flags["config"])


def asked(flags: Mapping[str, Any]) -> Asked:
    """Read the flags. Raises BadInput or UnknownModel for what makes no sense."""
    from decimal import Decimal

    from baseload.errors import BadInput
    from baseload.measure.entry import check_name
    from baseload.units import is_usd, quantity

    if flags["lengths"] not in KINDS:
        raise BadInput(f"--lengths {flags['lengths']!r} is none", remedy=f"Use one of {', '.join(KINDS)}.")
    if flags["own"] and flags["offer"] is not None:
        raise BadInput("--own and --offer say how it is paid, differently", remedy="Give one of them.")
    usd = None
    if flags["max_usd"] is not None:
        try:
            usd = Decimal(flags["max_usd"])
        except ArithmeticError as error:
            raise BadInput(f"--max-usd {flags['max_usd']!r} is no sum", remedy="Write it as in 0.50.") from error
        if not is_usd(usd):
            raise BadInput(f"--max-usd {flags['max_usd']!r} is no sum", remedy="Write it as in 0.50.")
    if flags["name"] is not None:
        check_name(flags["name"])
    trace = _trace(flags)
    return Asked(
        key=_key(flags["key_env"]),
        gpu=_gpu(flags["gpu"], flags["config"]),
        times=_times(flags, trace),
        trace=trace,
        tokens=int(quantity(flags["max_tokens"])) if flags["max_tokens"] is not None else None,
        usd=usd,
        flags=flags,
    )


def _key(name: str | None) -> str:
    from baseload.errors import BadInput

    if name is None:
        return ""
    key = os.environ.get(name, "")
    if not key or not key.isascii() or not key.isprintable():
        raise BadInput(f"the variable {name} holds no key", remedy=f"Set it first: export {name}=...")
    return key


def _gpu(said: str | None, config: str | None) -> str:
    """The books' name of a GPU; `cpu` is none, and is taken at its word."""
    if said is None or said.strip().lower() == CPU:
        return CPU if said is not None else ""
    from pathlib import Path

    from baseload.catalog.gpus import gpu_named
    from baseload.configuration import read_settings
    from baseload.documents import load_leases
    from baseload.pricebooks import load_gpu_offers

    leases = load_leases(read_settings(Path(config)) if config else None)
    return gpu_named(said, {*(row.gpu for row in load_gpu_offers()), *(lease.gpu for lease in leases)})


def _trace(flags: Mapping[str, Any]) -> Sequence[Arrival]:
    from pathlib import Path

    from baseload.errors import BadInput
    from baseload.load.trace import parse_trace

    wanted = [name for name in ("lengths", "arrivals") if flags[name] == "trace"]
    if flags["trace"] is None:
        if wanted:
            raise BadInput(f"--{wanted[0]} trace needs one", remedy="Name its file with --trace FILE.")
        return ()
    if not wanted:
        raise BadInput(
            "--trace gives lengths, arrivals or both", remedy="Add --lengths trace, and --arrivals trace with --rate."
        )
    path = Path(flags["trace"]).expanduser()
    if not path.is_file():
        raise BadInput(f"there is no trace file {path}", remedy="Name a file with the columns of the Azure traces.")
    with path.open(encoding="utf-8", errors="replace") as lines:
        return parse_trace(lines, origin=str(path)).arrivals


def _times(flags: Mapping[str, Any], trace: Sequence[Arrival]) -> Sequence[float] | None:
    """When the requests of an open loop come; None of a closed one."""
    from baseload.errors import BadInput
    from baseload.load.synthetic import Gaps, arrivals, paced

    patterns = [Gaps.FIXED, Gaps.POISSON, Gaps.GAMMA, "trace"]
    if flags["arrivals"] not in patterns:
        raise BadInput(f"--arrivals {flags['arrivals']!r} is none", remedy=f"Use one of {', '.join(patterns)}.")
    rate = flags["rate"]
    if flags["arrivals"] == "trace":
        if rate is None:
            raise BadInput("--arrivals trace needs a rate", remedy="Give its mean with --rate, in requests a second.")
        return paced(trace, rate)
    if rate is None:
        return None
    gaps = Gaps(flags["arrivals"])
    cv = flags["burstiness"] if gaps is Gaps.GAMMA else 1.0
    found = arrivals(flags["seed"], seconds=flags["level_seconds"], per_second=rate, gaps=gaps, cv=cv)
    return [float(each) for each in found]
