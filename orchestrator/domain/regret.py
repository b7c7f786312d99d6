"""How near a campaign came to the best there is, in figures that can be compared between twins."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

WORST_DECADES = 12.0
"""Regret in decades of a value that is 0 or has the wrong sign."""


@dataclass(frozen=True, slots=True)
class Level:
    """How regret is measured on a twin, and what counts as near its optimum."""

    scale: Literal["relative", "log10", "decades"] = "relative"
    """``relative``: the distance over the optimum; ``log10``: the ratio in decades; ``decades``:
    the distance, of an objective that is a decimal logarithm itself."""
    near: float = 0.05
    """Largest regret that counts as near."""
    words: str = "within 5 %"


LEVELS: Mapping[str, Level] = {
    "kb-mirrors": Level("log10", 1.0, "within a factor 10"),
    "transmon": Level("decades", math.log10(2.0), "within a factor 2"),
}
"""Twins whose objective spans decades, so that 5 % is out of reach; others have ``Level()``."""


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
