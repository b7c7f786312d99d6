"""From the documents of a run on the soft instrument to its outcome."""

import math
from collections.abc import Sequence
from typing import Any

COLUMN = "bench_det"
"""Data key of the detector of a `Bench` named bench."""


def reduce_branin(runs: Sequence[Any]) -> dict[str, tuple[float, float]]:
    """Mean and standard error over all readings of all runs.

    Args:
        runs: each offers `run["primary"]`, a table with one row for each reading.

    Returns:
        `branin` as mean and standard error; the error of a single reading is given as 0, since
        the detector has no noise.
    """
    readings = [float(value) for run in runs for value in run["primary"][COLUMN]]
    count = len(readings)
    mean = math.fsum(readings) / count
    if count == 1:
        return {"branin": (mean, 0.0)}
    variance = math.fsum((value - mean) ** 2 for value in readings) / (count - 1)
    return {"branin": (mean, math.sqrt(variance / count))}
