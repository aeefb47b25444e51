"""A step that was fitted, kept as a deployment with the curve that it serves. Acts (writes the entry)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from baseload.capacity.curve import Point
    from baseload.capacity.steptime import StepTime
    from baseload.measure.entry import About


@dataclass(frozen=True, slots=True)
class Fitted:
    """A step and the load it was fitted to: mean tokens in and out, the most in flight on a replica, and the error of
    what it had not seen (None where nothing was held out)."""

    step: StepTime
    prompt: int
    output: int
    in_flight: int
    held_out: float | None

    @property
    def calibrated(self) -> bool:
        """Whether it was checked, and missed by no more than 15 %."""
        from baseload.capacity.drift import TRUSTED

        return self.held_out is not None and abs(self.held_out) <= TRUSTED

    @property
    def said(self) -> str:
        """The same in words."""
        if self.held_out is None:
            return "not calibrated: too little to hold a part out"
        word = "calibrated" if self.calibrated else "not calibrated (beyond 15 %)"
        return f"{word}: what a first fit had not seen is missed by {self.held_out:+.1%}"


def keep_step(about: About, found: Fitted, reference: str) -> tuple[Path, Sequence[Point]]:
    """Write the entry; where it lies, and its curve."""
    from baseload.documents import keep_deployment
    from baseload.measure.entry import LONGER, Fit, fit_entry
    from baseload.sim.learning import curve_of, rate_of
    from baseload.sim.replica import fastest

    kernel = fastest()
    points = curve_of(found.step, found.prompt, found.output, found.in_flight, kernel=kernel)
    most = points[-1].in_flight
    longer = rate_of(found.step, found.prompt * LONGER, found.output, most, kernel=kernel)
    fit = Fit(found.step, found.prompt, found.output, points, longer, found.held_out)
    return keep_deployment(about.name, fit_entry(about, fit, reference, found.said)), points
