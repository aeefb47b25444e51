"""What would turn the answer, one axis at a time: between API and machines, and against the hybrid. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from baseload.cost.axes import AXES, HELD_AXES, Axis, flip_points, standing
from baseload.cost.breakeven import Crossing
from baseload.cost.evaluate import Priced
from baseload.cost.ways import Load, Way
from baseload.plan.document import Flip, plain
from baseload.plan.verdict import Turning, quantity_words

_FLIPS: dict[Axis, str] = {
    "volume": "the answer changes at {value} tokens a month (now {now})",
    "fill": "{winner} wins from a target fill of {value} on (now {now})",
    "api_price": "{winner} wins above an API price of {value} USD/M (now {now})",
    "gpu_price": "{winner} wins above a price of {value} USD for the GPU (now {now})",
    "engineer_share": "{winner} wins above {value} engineers (now {now})",
    "hours_on": "{winner} wins above {value} hours on a week (now {now})",
}
_SILENT = (
    "{name} has no flip point over volume, target fill and hours on: its number of machines changes along them. Over "
    "volume its threshold says where the first machine pays."
)
_NO_FLIP = "over {axes} nothing turns {name}, held at {machines}."
_SAID: dict[Axis, str] = {"api_price": "the API's price", "gpu_price": "the GPU's price", "engineer_share": "engineers"}


def turning_points(
    api: Priced,
    own: Priced,
    hybrid: Priced | None,
    load: Load,
    figures: Mapping[str, Fraction],
    crossed: Sequence[Crossing],
) -> Turning:
    """The nearest flip point on every axis, all else equal; over volume it is one of those that are `crossed`."""
    now = standing(api.way, own.way, figures, "volume")
    between = [_flip(crossed, now, "volume", 0)] if crossed else []
    for axis in AXES:
        if axis == "volume":
            continue
        # A reservation is paid in the hours off; a measured load does not move into the hours on.
        if axis == "hours_on" and (own.way.kind in ("owned", "reserved") or load.levels(own.way.on)):
            continue
        found = _nearest(api.way, own.way, load, figures, axis)
        between += [found] if found is not None else []
    if hybrid is None:
        return Turning(tuple(between))
    mixed: list[Flip] = []
    still: list[str] = []
    for axis in HELD_AXES:
        rivals = (_nearest(hybrid.way, rival.way, load, figures, axis, hybrid.replicas) for rival in (api, own))
        turns = [each for each in rivals if each is not None]
        mixed += turns
        still += [] if turns else [_SAID[axis]]
    silent = [_SILENT.format(name=hybrid.way.name)]
    if still:
        machines = f"{hybrid.replicas} machine{'s' if hybrid.replicas != 1 else ''}"
        silent.append(_NO_FLIP.format(axes=" and ".join(still), name=hybrid.way.name, machines=machines))
    return Turning(tuple(between), tuple(mixed), tuple(silent))


def _nearest(
    one: Way, other: Way, load: Load, figures: Mapping[str, Fraction], axis: Axis, held: int = 0
) -> Flip | None:
    flips = flip_points(one, other, load, figures, axis, held=held)
    return _flip(flips.found, flips.now, axis, held) if flips.found else None


def _flip(found: Sequence[Crossing], at: Fraction, axis: Axis, held: int) -> Flip:
    nearest = min(found, key=lambda crossing: abs(crossing.at - at))
    value, now = plain(nearest.at), plain(at)
    shown = (quantity_words(value), quantity_words(now)) if axis == "volume" else (f"{value:,f}", f"{now:,f}")
    sentence = _FLIPS[axis].format(winner=nearest.cheaper_after, value=shown[0], now=shown[1])
    if held:
        sentence += f", against {nearest.cheaper_before}"
    if len(found) > 1:
        sentence += f"; it changes {len(found)} times"
    return Flip(axis=axis, value=value, now=now, unit=AXES[axis], sentence=sentence)
