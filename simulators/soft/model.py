"""The Branin function, a standard test of global optimizers with three equal minima."""

from typing import Any

import numpy as np

from simulators.arrays import Real, plain

BOUNDS: dict[str, tuple[float, float]] = {"x": (-5.0, 10.0), "y": (0.0, 15.0)}

OPTIMUM: dict[str, Any] = {
    "parameters": {"x": 3.141592654, "y": 2.275},
    "outcomes": {"branin": 0.3978873577},
    "objective": 0.3978873577,
    "goal": "minimize",
    "found_by": "closed form: x = pi, y = 2.275; the value is 10 / (8 pi)",
}
"""The other two minima are at (-pi, 12.275) and (3 pi, 2.475)."""


def evaluate(*, x: Real, y: Real) -> dict[str, Real]:
    """Branin's function; all without unit.

    Returns:
        `branin` and, equal to it, `objective`, to be minimized. Floats for float arguments, else
        arrays of the same length.
    """
    valley = y - 5.1 / (4 * np.pi**2) * np.square(x) + 5 / np.pi * x - 6
    value = np.square(valley) + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10
    branin = plain(value)
    return {"branin": branin, "objective": branin}
