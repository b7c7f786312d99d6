"""Hartmann's six-dimensional function as an instrument that takes its time: a standard test."""

import math
from collections.abc import Sequence
from typing import Any

from simulators.soft.bench import Axis, Detector, SoftBench

AXES = ("x1", "x2", "x3", "x4", "x5", "x6")
OPTIMUM = -3.32236801
"""At (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)."""

_ALPHA = (1.0, 1.2, 3.0, 3.2)
_A = (
    (10, 3, 17, 3.5, 1.7, 8),
    (0.05, 10, 17, 0.1, 8, 14),
    (3, 3.5, 1.7, 10, 17, 8),
    (17, 8, 0.05, 10, 0.1, 14),
)
_P = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)


def hartmann6(x: Sequence[float]) -> float:
    """Hartmann's function on the unit cube, to be minimized.

    Dixon and Szegő, Towards Global Optimisation 2, 1 (1978).
    """
    return -sum(
        alpha * math.exp(-sum(a * (one - p) ** 2 for a, one, p in zip(row, x, at, strict=True)))
        for alpha, row, at in zip(_ALPHA, _A, _P, strict=True)
    )


class HartmannBench(SoftBench):
    """Six axes from 0 to 1, and a detector that reads the function where they stand.

    Args:
        name: of the device.
        read_s: seconds of each trigger.
        timeout_s: seconds after which a move or trigger fails.
    """

    def __init__(self, *, name: str, read_s: float = 0.0, timeout_s: float | None = 60.0) -> None:
        super().__init__(name, timeout_s)
        for axis in AXES:
            setattr(self, axis, Axis(self, axis, 0.0, (0.0, 1.0)))
        self.det = Detector(self, "det", read_s, self._function)

    def _function(self) -> float:
        return hartmann6([getattr(self, axis).value for axis in AXES])


def reduce_hartmann(runs: Sequence[Any]) -> dict[str, tuple[float, float]]:
    """The reading, which has no noise."""
    (reading,) = (float(value) for run in runs for value in run["primary"]["bench_det"])
    return {"hartmann6": (reading, 0.0)}
