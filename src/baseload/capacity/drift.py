"""How far a measurement may be off today: its age, another version of the engine, a fit that failed its check. Pure.

Widths are half bands as logarithms; what is independent adds by its squares. They are how much the same configuration
differed when it was measured again (InferenceX and NVIDIA, 2025-10 to 2026-04):

    same month      5 %    median of 127 pairs within 30 days
    older          32 %    median of 36 pairs 30 to 90 days apart; over more nothing was measured
    other version  25 %    four of five of 74 pairs with another version of the engine; with the same version 9 %

The pairs that are in the table of `tests/data/capacity` (165, 5 and 74) are counted by `drift.py` there; the 36 were
counted once, on 2026-11-20, in dumps that are not kept.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from baseload.ranges import Range

FRESH_DAYS = 30
FRESH, STALE, OTHER_VERSION = math.log(1.05), math.log(1.32), math.log(1.25)
TRUSTED = 0.15
# Four of five of the model's own errors where nothing of a deployment was measured: what is left of a curve that
# nothing has checked.
UNCHECKED = math.log(1.29)
_VERSION = re.compile(r"\d+(?:\.\d+)*[a-z0-9.]*", re.IGNORECASE)
_DIGITS = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class Doubt:
    """What there is to doubt in a measurement: `age_days` (None where it has no date), whether the engine is of
    `other_version`, or somebody else's, and the error of a load that its fit had not seen (None where none was held
    out)."""

    age_days: int | None
    other_version: bool = False
    held_out: float | None = None
    fitted: bool = False

    @property
    def calibrated(self) -> bool:
        """Whether its fit was checked, and missed what it had not seen by no more than 15 %."""
        return self.held_out is not None and abs(self.held_out) <= TRUSTED

    @property
    def width(self) -> float:
        """All of it as half a band."""
        age = STALE if self.age_days is None or self.age_days > FRESH_DAYS else FRESH
        version = OTHER_VERSION if self.other_version else 0.0
        return math.hypot(age, version, self._fit)

    @property
    def _fit(self) -> float:
        if not self.fitted:
            return 0.0
        if self.held_out is None:
            return UNCHECKED
        off = math.log1p(abs(self.held_out))
        return off if self.calibrated else max(off, UNCHECKED)

    @property
    def sentence(self) -> str:
        """Why the band is as wide as it is."""
        age = "of no date" if self.age_days is None else f"{max(self.age_days, 0)} days old"
        words = [age, *(["of another version or machine"] if self.other_version else [])]
        if self.fitted and self.held_out is None:
            words.append("checked by no load held out")
        elif self.fitted and self.held_out is not None and not self.calibrated:
            words.append(f"not calibrated: off by {abs(self.held_out):.0%}")
        return f"{', '.join(words)}: {math.expm1(self.width):.0%} either way"

    @property
    def band(self) -> Range:
        """Factors on a rate.

        >>> Doubt(3).band.high
        Decimal('1.050')
        """
        factor = Decimal(math.exp(self.width))
        return Range((1 / factor).quantize(_DIGITS), Decimal(1), factor.quantize(_DIGITS))


def days_between(measured: date | None, today: date) -> int | None:
    """The age of a measurement in days; one of tomorrow is new."""
    return None if measured is None else max((today - measured).days, 0)


def differs(one: str, other: str) -> bool:
    """Whether two versions are known and not the same; `v0.12.0` is `vLLM 0.12.0`.

    >>> differs("v0.12.0", "vLLM 0.12.0"), differs("0.12.0", "0.19.1"), differs("", "0.19.1")
    (False, True, False)
    """
    found = [match[0].lower() if (match := _VERSION.search(each)) else "" for each in (one, other)]
    return bool(found[0] and found[1]) and found[0] != found[1]
