"""How near a campaign came to the best there is, in figures that can be compared between twins."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

WORST_DECADES = 12.0
"""Regret in decades of a value that is 0 or has the wrong sign."""


Scale = Literal["relative", "log10", "decades"]


@dataclass(frozen=True, slots=True)
class Level:
    """How regret is measured on a twin, and what counts as near its optimum."""

    scale: Scale = "relative"
    """``relative``: the distance over the optimum; ``log10``: the ratio in decades; ``decades``:
    the distance, of an objective that is a decimal logarithm itself."""
    near: float = 0.05
    """Largest regret that counts as near."""

    @property
    def words(self) -> str:
        """What counts as near, for a table."""
        if self.scale == "relative":
            return f"within {100 * self.near:g} %"
        return f"within a factor {10**self.near:.3g}"


def level_of(optimum: Mapping[str, Any]) -> Level:
    """The level that a model's ``OPTIMUM`` asks for by ``scale`` and ``near``, or what they mean.

    Raises:
        ValueError: another scale, a ``near`` that is not positive, or regret relative to 0.
    """
    usual = Level()
    level = Level(optimum.get("scale", usual.scale), optimum.get("near", usual.near))
    if level.scale not in get_args(Scale):
        raise ValueError(f"'scale' is {level.scale!r}, and none of {', '.join(get_args(Scale))}")
    if not level.near > 0:
        raise ValueError(f"'near' is {level.near}, and must be more than 0")
    if optimum["objective"] == 0 and level.scale != "decades":
        raise ValueError(
            "'objective' is 0, and nothing is relative to that; let the model add a constant, or "
            "make it a decimal logarithm with 'scale': 'decades'"
        )
    return level


def regrets(truths: Sequence[float], best: float, goal: str, level: Level) -> list[float]:
    """After each trial, the regret of the best so far; never below 0.

    Args:
        truths: the true objective of each trial.
        best: the optimum, not 0.
        goal: maximize or minimize.
        level: gives the scale.
    """
    pick = max if goal == "maximize" else min
    trace: list[float] = []
    champion = -math.inf if goal == "maximize" else math.inf
    for truth in truths:
        champion = pick(champion, truth)
        trace.append(_regret(champion, best, goal, level))
    return trace


def _regret(value: float, best: float, goal: str, level: Level) -> float:
    lacking = best - value if goal == "maximize" else value - best
    if level.scale == "relative":
        return max(0.0, lacking / abs(best))
    if level.scale == "decades":
        return min(max(0.0, lacking), WORST_DECADES)
    if value / best <= 0:
        return WORST_DECADES
    decades = math.log10(best / value) if goal == "maximize" else math.log10(value / best)
    return min(max(0.0, decades), WORST_DECADES)


def first_near(trace: Sequence[float], level: Level) -> int | None:
    """Number of the first trial, from 1, that came near; None when none did."""
    return next((number for number, regret in enumerate(trace, 1) if regret <= level.near), None)


def middle_first(firsts: Sequence[int | None]) -> float | None:
    """Median number of trials until near; None when it lies beyond the budget.

    A campaign that never came near would have needed more than any that did.
    """
    middle = quantile([math.inf if one is None else float(one) for one in firsts], 0.5)
    return middle if math.isfinite(middle) else None


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which ``part`` of the values lie, between neighbours in proportion.

    Raises:
        ValueError: of nothing.
    """
    if not values:
        raise ValueError("there is no quantile of nothing")
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    below = math.floor(place)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return low if place == below or low == high else low + (place - below) * (high - low)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, lower and upper quartile."""
    return quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75)


def beaten(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Iterator[int]:
    """The seeds in which our regret is the smaller one."""
    return (seed for seed in sorted(ours.keys() & theirs.keys()) if ours[seed] < theirs[seed])
