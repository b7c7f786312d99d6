"""Reducer for detectors that measure the outcomes themselves: one channel for each outcome."""

import math
import statistics
from collections.abc import Sequence
from typing import Any


def reduce_channel_means(runs: Sequence[Any]) -> dict[str, tuple[float, float | None, str | None]]:
    """Mean, standard error and unit of each channel over all readings of all runs.

    An outcome has the name of its channel: `build_rate` for the data key `inspection_build_rate`
    of a detector named `inspection`. The standard error of a single reading is None, and so is the
    unit of a channel whose device states none.

    Args:
        runs: each has in `start["detectors"]` the name of its detector, and offers
            `run["primary"]`, a table with one row for each reading and `attrs["units"]`.

    Raises:
        ValueError: a run has not one detector, or no column of it.
    """
    readings: dict[str, list[float]] = {}
    units: dict[str, str] = {}
    for run in runs:
        for name, (values, unit) in _channels(run).items():
            readings.setdefault(name, []).extend(values)
            if unit:
                units[name] = unit
    return {name: (*mean_and_sem(found), units.get(name)) for name, found in readings.items()}


def mean_and_sem(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and its standard error; None for the error of a single value."""
    if len(values) < 2:
        return statistics.fmean(values), None
    return statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))


def _channels(run: Any) -> dict[str, tuple[list[float], str | None]]:
    """The readings and the unit of each channel of a run's only detector."""
    detectors = run.start["detectors"]
    if len(detectors) != 1:
        raise ValueError(f"the run has the detectors {detectors}, and the means need exactly one")
    prefix = f"{detectors[0]}_"
    table = run["primary"]
    columns = [str(column) for column in table if str(column).startswith(prefix)]
    if not columns:
        raise ValueError(f"no column starts with {prefix!r}; there are {[*map(str, table)]}")
    units = table.attrs.get("units", {})
    return {
        column.removeprefix(prefix): ([*map(float, table[column])], units.get(column))
        for column in columns
    }
