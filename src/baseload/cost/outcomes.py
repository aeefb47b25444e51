"""What a successful outcome costs, failures, checks and corrections included. Pure.

`cost per success = (cost of a try x expected tries + P(failed) x cost of a failure) / P(delivered)`. Amounts are USD
for one task, or any other unit that is used throughout; probabilities are exact Decimals from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from baseload.errors import BadInput

# Tries are independent in this model; beyond these many the model behind a retry is not what fails.
MOST_TRIES = 1_000


@dataclass(frozen=True, slots=True)
class Expected:
    """What a task is expected to cost before anybody corrects it, and how likely it is then still to be corrected."""

    cost: Decimal
    failing: Decimal

    def per_success(self, correction: Decimal | None) -> Decimal:
        """USD for one delivered outcome. A failure is put right by hand for `correction`; None drops it undelivered.

        Raises BadInput when nothing is ever delivered.
        """
        if correction is not None:
            _not_negative(correction, "a correction")
            return self.cost + self.failing * correction
        if self.failing == 1:
            raise BadInput(
                "every try fails and nobody corrects: no outcome is delivered, at any cost",
                remedy="Give what a correction by hand costs.",
            )
        return self.cost / (1 - self.failing)


@dataclass(frozen=True, slots=True)
class Service:
    """A model that is tried up to `tries` times: each try costs `usd`, and succeeds with probability `success`."""

    name: str
    usd: Decimal
    success: Decimal
    tries: int = 1

    def __post_init__(self) -> None:
        _not_negative(self.usd, f"a try of {self.name}")
        if not (self.success.is_finite() and 0 <= self.success <= 1):
            raise BadInput(
                f"{self.name} succeeds with {self.success:f}, which is no share from 0 to 1",
                remedy="Give a share such as 0.9, or 0 for a model that never gets it right.",
            )
        if not 1 <= self.tries <= MOST_TRIES:
            raise BadInput(f"{self.name}: {self.tries} tries is not 1 to {MOST_TRIES}", remedy="Give 1 or more.")

    @property
    def failing(self) -> Decimal:
        """Probability that all tries fail."""
        return (1 - self.success) ** self.tries

    @property
    def expected_tries(self) -> Decimal:
        """(1 - (1 - p)^k) / p: 1/p were tries without limit; all of them where none succeeds."""
        return (1 - self.failing) / self.success if self.success else Decimal(self.tries)

    @property
    def expected(self) -> Expected:
        return Expected(self.usd * self.expected_tries, self.failing)


def until_success(usd: Decimal, success: Decimal) -> Decimal:
    """Cost per success when a task is tried until it succeeds: c / p, the cost of a pass.

    >>> until_success(Decimal(1), Decimal("0.5"))
    Decimal('2')
    """
    service = Service("it", usd, success)
    if not service.success:
        raise BadInput("what never succeeds is tried for ever", remedy="Give a share above 0, such as 0.9.")
    return service.usd / service.success


def cascade(services: Sequence[Service], check_usd: Decimal = Decimal(0)) -> Expected:
    """Each service after the first serves what the ones before left failed.

    Every try but those of the last service is checked for `check_usd`, and the check is taken to be right.
    """
    if not services:
        raise BadInput("a cascade needs a model", remedy="Give the small model and the large one.")
    _not_negative(check_usd, "a check")
    cost, reached = Decimal(0), Decimal(1)
    for place, service in enumerate(services):
        check = check_usd if place < len(services) - 1 else Decimal(0)
        cost += reached * service.expected_tries * (service.usd + check)
        reached *= service.failing
    return Expected(cost, reached)


def course(usd: Decimal, attempts: int, *, corrected: bool) -> Expected:
    """A fixed course of events: so many attempts are paid, and then it is done or somebody corrects it."""
    _not_negative(usd, "an attempt")
    if attempts < 1:
        raise BadInput(f"{attempts} attempts is no course", remedy="Give 1 or more.")
    return Expected(usd * attempts, Decimal(1 if corrected else 0))


def turning_correction(small: Expected, large: Expected) -> Decimal | None:
    """H*: above this cost of a correction by hand the large model is the cheaper one; 0 when it always is.

    None when there is no such cost. Article 1: a 70B model at ten times the price of a 7B that fails five
    times and is then corrected by hand wins once a correction costs more than five attempts of the 7B.

    >>> turning_correction(course(Decimal(1), 5, corrected=True), course(Decimal(10), 1, corrected=False))
    Decimal('5')
    """
    dearer, safer = large.cost - small.cost, small.failing - large.failing
    if dearer <= 0 and safer >= 0:
        return Decimal(0)
    return dearer / safer if safer > 0 else None


def _not_negative(figure: Decimal, what: str) -> None:
    if not figure.is_finite() or figure < 0:
        raise BadInput(f"{what} costs {figure}", remedy="Give USD from 0 up.")
