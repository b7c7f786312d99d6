"""Map a signal over two axes: how high, how even, and where the best spot is.

Bluesky is imported when the plan runs: to check a campaign, or to reduce a run, needs none of it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plans.outcomes import outcomes
from plans.scanning import data_key, evenly, move_all

if TYPE_CHECKING:
    from bluesky.protocols import Readable
    from bluesky.utils import MsgGenerator

    from plans.scanning import Axis


def grid_map(
    settings: Mapping[Any, float],
    slow: Axis,
    slow_range: tuple[float, float],
    slow_points: int,
    fast: Axis,
    fast_range: tuple[float, float],
    fast_points: int,
    detector: Readable[Any],
    signal: str | None = None,
    snake: bool = True,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Set, then read the detector on a grid, row by row: one run.

    Args:
        settings: movable devices and their values, in the order in which they are set.
        slow: axis that moves once for each row.
        slow_range: its first and last position.
        slow_points: number of rows, at least 2.
        fast: axis that moves along each row.
        fast_range: its first and last position.
        fast_points: positions in each row, at least 2.
        detector: triggered and read at each position.
        signal: channel of the detector that is mapped; None if it has only one.
        snake: True goes through every second row backwards; False starts each at the same end.
        md: metadata for the run.

    Raises:
        ValueError: a range is empty, or the detector has several signals and none is named.
    """
    rows, columns = evenly(*slow_range, slow_points), evenly(*fast_range, fast_points)
    metadata = {
        "plan_name": "grid_map",
        "detectors": [detector.name],
        "motors": [slow.name, fast.name],
        "axes": [slow.name, fast.name],
        "signal": data_key(detector, signal),
        "shape": [slow_points, fast_points],
        "num_points": slow_points * fast_points,
        **(md or {}),
    }

    from bluesky import plan_stubs as bps
    from bluesky import preprocessors as bpp

    @bpp.stage_decorator([detector])
    @bpp.run_decorator(md=metadata)
    def scan() -> MsgGenerator[None]:
        yield from move_all(settings)
        for number, row in enumerate(rows):
            yield from bps.mv(slow, row)
            for column in reversed(columns) if snake and number % 2 else columns:
                yield from bps.mv(fast, column)
                yield from bps.trigger_and_read([detector, slow, fast])

    yield from scan()


def estimate_grid_map(
    settings: Mapping[str, float], slow_points: int, fast_points: int, **_: Any
) -> tuple[float, int]:
    """Seconds that the plan waits beside its moves and readings, and how often it reads."""
    return 0.0, slow_points * fast_points


@outcomes(mean=None, spread=None, maximum=None, maximum_slow=None, maximum_fast=None)
def reduce_grid_map(
    runs: Sequence[Any],
) -> dict[str, tuple[float, float | None, str | None]]:
    """Mean and spread of the map, and its highest reading with the position of both axes.

    ``mean`` is over all positions; its standard error takes them for independent draws. ``spread``
    is their standard deviation, the smaller the more even. What is of one reading alone has no
    standard error.

    Args:
        runs: each has in ``start`` what the plan says there. All their positions count together.

    Raises:
        ValueError: there are fewer than two readings.
    """
    start = runs[0].start
    (slow, fast), signal = start["axes"], start["signal"]
    units = runs[0]["primary"].attrs.get("units", {})
    found: list[tuple[float, float, float]] = []
    for run in runs:
        columns = (run["primary"][key] for key in (signal, slow, fast))
        found += zip(*(map(float, column) for column in columns), strict=True)
    if len(found) < 2:
        raise ValueError(f"{len(found)} readings are too few for a map")
    spread = statistics.stdev(value for value, _, _ in found)
    highest, at_slow, at_fast = max(found)
    return {
        "mean": (
            statistics.fmean(value for value, _, _ in found),
            spread / math.sqrt(len(found)),
            units.get(signal),
        ),
        "spread": (spread, None, units.get(signal)),
        "maximum": (highest, None, units.get(signal)),
        "maximum_slow": (at_slow, None, units.get(slow)),
        "maximum_fast": (at_fast, None, units.get(fast)),
    }
