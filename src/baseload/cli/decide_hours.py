"""When machines are on and when the load comes, read from the flags of `baseload decide`. Acts (reads files)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction
    from pathlib import Path
    from typing import Any

    from baseload.cost.holidays import Holidays
    from baseload.cost.schedule import Schedule
    from baseload.plan.document import Assumption, Known
    from baseload.plan.question import Question


@dataclass(frozen=True)
class Hours:
    """The flags as they were typed; None where they were not."""

    hours: str | None = None
    holidays: str | None = None
    holidays_like: str | None = None
    in_month: str | None = None
    shape: str | None = None

    @property
    def asked(self) -> str | None:
        """The first of them that was typed."""
        names = {"hours": "--hours", "holidays": "--holidays", "holidays_like": "--holidays-like",
                 "in_month": "--in-month", "shape": "--shape"}  # fmt: skip
        return next((flag for name, flag in names.items() if getattr(self, name) is not None), None)

    def alone(self) -> None:
        """Of a ledger the load of every hour is known. Raises BadInput where another was typed."""
        from baseload.errors import BadInput

        beside = Hours(None, self.holidays, self.holidays_like, self.in_month, self.shape).asked
        if beside is not None:
            raise BadInput(
                f"{beside} describes the weeks of a load, and a ledger's were measured",
                remedy="Leave it out, or decide on typed figures with --input and --output.",
            )

    def schedule(self) -> Schedule:
        """The hours that machines are on, holidays and the named month counted in. Raises BadInput."""
        from dataclasses import replace

        from baseload.cost.holidays import in_month
        from baseload.cost.schedule import ALWAYS, schedule
        from baseload.errors import BadInput

        on = schedule(self.hours) if self.hours is not None else ALWAYS
        flag = Hours(None, self.holidays, self.holidays_like, self.in_month).asked
        if flag is None:
            return on
        if on == ALWAYS:
            raise BadInput(
                f"{flag} needs hours to change, and machines are on around the clock",
                remedy="Add --hours, as in --hours mon-fri:8-18.",
            )
        if self.shape is not None:
            raise BadInput(f"--shape brings the quiet days of a week, and {flag} others", remedy="Give one of them.")
        days = self._days()
        if self.in_month is not None:
            return replace(on, lost=on.hours - in_month(on, self.in_month, days))
        return days.averaged(on) if days is not None else on

    def shaped(self, question: Question) -> Question:
        """The question with the load of a week in it, and with rows that say what was assumed of the hours."""
        from dataclasses import replace

        load = question.load if self.shape is None else replace(question.load, shape=_shape(self.shape))
        return replace(question, load=load, rows=(*question.rows, *self._rows()))

    def _days(self) -> Holidays | None:
        from pathlib import Path

        from baseload.cost.holidays import read_holidays
        from baseload.errors import BadInput

        if self.holidays is None:
            if self.holidays_like is not None:
                raise BadInput("--holidays-like says what holidays are like, and none were given",
                               remedy="Add --holidays FILE.")  # fmt: skip
            return None
        path = Path(self.holidays).expanduser()
        text = _text(path, "--holidays") if path.suffix or path.is_file() else self.holidays
        return read_holidays(text, self.holidays_like or "off")

    def _rows(self) -> list[Assumption]:
        from baseload.plan.assumptions import assumption
        from baseload.plan.document import plain

        rows = []
        if self.shape is not None:
            rows.append(assumption("load of the week", self.shape, "168 hours, Monday first", *_known(self.shape)))
        if (days := self._days()) is not None:
            years = ", ".join(str(year) for year in days.years)
            words = f"{len(days.days)} days of {years}, {'off' if days.like == 'off' else 'hours of a Sunday'}"
            rows.append(assumption("holidays", words, "", "typed", "typed"))
        if rows or self.in_month is not None:
            over = f"in {self.in_month}" if self.in_month is not None else "on average"
            hours = plain(self.schedule().mean_hours)
            rows.append(assumption("hours on", f"{hours:f}", f"a week of 168 hours, {over}", "typed", "typed"))
        return rows


def read(flags: Mapping[str, Any]) -> Hours:
    """These flags among all of `baseload decide`'s, by the names of its parameters."""
    return Hours(**{name: flags[name] for name in Hours.__dataclass_fields__})


def _known(shape: str) -> tuple[str, Known]:
    from baseload.cost.shapes import NAMED

    return ("a shape that ships, not measured", "assumed") if shape in NAMED else ("typed, a file", "typed")


def _shape(asked: str) -> tuple[Fraction, ...]:
    from pathlib import Path

    from baseload.cost.shapes import NAMED, named_shape, read_shape
    from baseload.errors import BadInput

    named = named_shape(asked)
    if named is not None:
        return named
    path = Path(asked).expanduser()
    if not path.is_file():
        raise BadInput(
            f"--shape {asked!r} is neither a shape that ships nor a file",
            remedy=f"Use {' or '.join(NAMED)}, or a file of 168 loads, Monday 00:00 first.",
        )
    return read_shape(_text(path, "--shape"), str(path))


def _text(path: Path, flag: str) -> str:
    from baseload.errors import BadInput

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{flag}: cannot read {path}: {error}", remedy="Name a text file that can be read.") from error
