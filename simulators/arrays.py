"""What all models speak in: a float for one point, an array for many."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Real = float | Array


def plain(value: Any) -> Real:
    """A float for a scalar, also one that NumPy made; else the array."""
    return float(value) if np.ndim(value) == 0 else value
