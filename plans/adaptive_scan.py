"""Scan an axis more densely where the signal bends: edges, steps and resonances anywhere.

Bluesky is imported when the plan runs: to check a campaign, or to reduce a run, needs none of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plans.outcomes import outcomes
from plans.scanning import Points, data_key, evenly, move_all, points_of, read_at, units_of

if TYPE_CHECKING:
    from bluesky.protocols import Readable
    from bluesky.utils import MsgGenerator

    from plans.scanning import Axis

PART = 4
"""Each pass halves one of so many steps: those next to the largest bends."""


def adaptive_scan(
    settings: Mapping[Any, float],
    axis: Axis,
    detector: Readable[Any],
    start: float,
    stop: float,
    points: int = 40,
    first: int = 11,
    smallest_step: float = 0.0,
    signal: str | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Set, scan an axis evenly, then go back again and again to where the signal bends: one run.

    After the first pass, each further one reads in the middle of a quarter of the steps: of those
    beside the points that lie farthest off the straight line between their neighbours. It goes
    through them in order, up and down in turn.

    Args:
        settings: movable devices and their values, in the order in which they are set.
        axis: that is scanned.
        detector: triggered and read at each position.
        start: one end of the range, in the axis' unit.
        stop: the other end.
        points: readings altogether, fewer when no step may be halved any more.
        first: readings of the first pass, at least 3.
        smallest_step: of the axis; a step is not halved below it. 0 sets no bound.
        signal: channel of the detector that is looked at; None if it has only one.
        md: metadata for the run.

    Raises:
        ValueError: the range is empty, ``first`` is below 3 or above ``points``, or the detector
            has several signals and none is named.
    """
    if not 3 <= first <= points:
        raise ValueError(f"first is {first}: it must be from 3 to the {points} points altogether")
    key = data_key(detector, signal)
    metadata = {
        "plan_name": "adaptive_scan",
        "detectors": [detector.name],
        "motors": [axis.name],
        "axis": axis.name,
        "signal": key,
        **(md or {}),
    }

    from bluesky import preprocessors as bpp

    @bpp.stage_decorator([detector])
    @bpp.run_decorator(md=metadata)
    def scan() -> MsgGenerator[None]:
        yield from move_all(settings)
        seen: list[tuple[float, float]] = []
        wanted = evenly(start, stop, first)
        while wanted:
            for position in wanted:
                # Where it is only looked at, not run, the signal is a straight line.
                seen += (yield from read_at(axis, position, detector, key)) or [(position, 0.0)]
            wanted = next_positions(seen, points - len(seen), smallest_step)
            if wanted and abs(seen[-1][0] - wanted[0]) > abs(seen[-1][0] - wanted[-1]):
                wanted.reverse()

    yield from scan()


def estimate_adaptive_scan(
    settings: Mapping[str, float], points: int = 40, **_: Any
) -> tuple[float, int]:
    """Seconds that the plan waits beside its moves and readings, and how often it reads at most."""
    return 0.0, points


def next_positions(seen: Points, most: int, smallest_step: float = 0.0) -> list[float]:
    """Middles of the steps that are to be halved next, in order of position.

    Args:
        seen: points so far, in any order, at least 3.
        most: how many positions at most; none or fewer gives none.
        smallest_step: below which no step is halved.
    """
    ordered = sorted(dict(seen).items())
    bends = [0.0, *map(_bend, ordered, ordered[1:], ordered[2:]), 0.0]
    steps = [
        (max(bends[n : n + 2]), high - low, (low + high) / 2.0)
        for n, ((low, _), (high, _)) in enumerate(zip(ordered, ordered[1:], strict=False))
        if (high - low) / 2.0 >= smallest_step and low < (low + high) / 2.0 < high
    ]
    # Of two with the same bend the wider one: a straight line is filled evenly.
    steps.sort(key=lambda step: step[:2], reverse=True)
    count = min(math.ceil((len(ordered) - 1) / PART), most)
    return sorted(middle for _, _, middle in steps[: max(count, 0)])


def _bend(
    before: tuple[float, float], here: tuple[float, float], after: tuple[float, float]
) -> float:
    """How far a point lies off the straight line between its neighbours, in the signal's unit."""
    part = (here[0] - before[0]) / (after[0] - before[0])
    return abs(here[1] - before[1] - part * (after[1] - before[1]))


@outcomes(maximum=None, maximum_at=None, minimum=None, minimum_at=None, steepest_at=None)
def reduce_adaptive_scan(
    runs: Sequence[Any],
) -> dict[str, tuple[float, float | None, str | None]]:
    """Highest and lowest reading with their positions, and the position of the steepest step.

    They are readings, not a fit: their standard errors are unknown (None), save that of
    ``steepest_at``: it is the middle of the step between two positions, and its error that of a
    value anywhere within the step (its length over the square root of 12).

    Args:
        runs: each has in ``start`` what the plan says there. All their points count; the steps are
            those within a run.

    Raises:
        ValueError: no run has two positions.
    """
    points = points_of(runs)
    steps = [step for run in runs for step in _steps(points_of([run]))]
    if not steps:
        raise ValueError(f"{len(points)} readings are too few for a scan")
    axis_unit, unit = units_of(runs)
    top = max(points, key=lambda point: point[1])
    bottom = min(points, key=lambda point: point[1])
    (low, _), (high, _) = max(steps, key=lambda step: _slope(*step))
    return {
        "maximum": (top[1], None, unit),
        "maximum_at": (top[0], None, axis_unit),
        "minimum": (bottom[1], None, unit),
        "minimum_at": (bottom[0], None, axis_unit),
        "steepest_at": ((low + high) / 2.0, (high - low) / math.sqrt(12.0), axis_unit),
    }


def _steps(points: Points) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Neighbours along the axis; of several readings at one position the last counts."""
    ordered = sorted(dict(points).items())
    return list(zip(ordered, ordered[1:], strict=False))


def _slope(low: tuple[float, float], high: tuple[float, float]) -> float:
    return abs((high[1] - low[1]) / (high[0] - low[0]))
