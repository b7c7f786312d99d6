"""A peak on a straight background, by least squares; what is no peak is said to be none."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal

from plans.scanning import Points

Shape = Literal["gaussian", "lorentzian"]

LEAST_POINTS = 7
"""Two more than the fit has parameters."""

SIGNIFICANT = 5.0
"""How many times its standard error a height must be."""


@dataclass(frozen=True, slots=True)
class Peak:
    """A fitted peak; standard errors are of the fit, from the scatter of the points around it.

    Attributes:
        centre: position of the maximum, in the axis' unit.
        centre_sem: its standard error.
        fwhm: full width at half maximum, in the axis' unit.
        fwhm_sem: its standard error.
        height: maximum above the background, in the signal's unit.
        height_sem: its standard error.
    """

    centre: float
    centre_sem: float
    fwhm: float
    fwhm_sem: float
    height: float
    height_sem: float


def fit_peak(points: Points, shape: Shape = "gaussian") -> Peak:
    """Fit a peak on a linear background.

    Args:
        points: positions and signals, in any order, at least 7.
        shape: of the peak.

    Raises:
        ValueError: the points show no whole peak, and why: too few of them, no peak at all, one
            that is lost in the noise, not wholly inside the scan, or narrower than its steps.
    """
    import numpy as np
    from scipy.optimize import OptimizeWarning, curve_fit

    curve = _CURVES[shape]
    if len(points) < LEAST_POINTS:
        raise ValueError(f"{len(points)} points are too few for a peak; {LEAST_POINTS} are needed")
    at, signal = np.array(sorted(points), dtype=float).T
    if not np.isfinite([at, signal]).all():
        raise ValueError("a point of the scan is not a finite number")
    reach, span = float(at[-1] - at[0]), float(np.ptp(signal))
    if reach == 0.0 or span == 0.0:
        raise ValueError(f"no peak: the signal does not change from {at[0]:g} to {at[-1]:g}")
    # To numbers around 1: a least-squares step is then the same in um as in m.
    x, y = (at - at[0]) / reach, (signal - signal.min()) / span

    def model(x: Any, centre: float, fwhm: float, height: float, low: float, slope: float) -> Any:
        return height * curve((x - centre) / fwhm) + low + slope * x

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", OptimizeWarning)
            best, covariance = curve_fit(model, x, y, _guess(x, y))
    except (OptimizeWarning, RuntimeError) as error:
        raise ValueError(f"no {shape} peak fits the {len(points)} points: {error}") from error
    sems = np.sqrt(np.diag(covariance))
    scale = np.array([reach, reach, span])
    centre, fwhm, height = (float(value) for value in best[:3] * scale)
    sem = [float(value) for value in sems[:3] * scale]
    peak = Peak(float(at[0]) + centre, sem[0], abs(fwhm), sem[1], height, sem[2])
    _check(peak, at)
    return peak


def _guess(x: Any, y: Any) -> tuple[float, float, float, float, float]:
    """Background through both ends, maximum above it, and the width that the area asks for."""
    import numpy as np

    ends = max(len(x) // 10, 1)
    low, high = float(np.median(y[:ends])), float(np.median(y[-ends:]))
    above = y - (low + (high - low) * x)
    top = int(np.argmax(above))
    height = max(float(above[top]), 1e-3)
    area = float(np.trapezoid(np.clip(above, 0.0, None), x))
    fwhm = min(max(area / height, float(np.median(np.diff(x)))), 0.5)
    return float(x[top]), fwhm, height, low, high - low


def _check(peak: Peak, at: Any) -> None:
    """Pass when the points show all of this peak.

    Raises:
        ValueError: they do not.
    """
    first, last = float(at[0]), float(at[-1])
    if not math.isfinite(peak.height_sem) or peak.height < SIGNIFICANT * peak.height_sem:
        raise ValueError(
            f"no peak: a height of {peak.height:.4g} is lost in its error of {peak.height_sem:.2g}"
        )
    half = peak.fwhm / 2.0
    if not first <= peak.centre - half < peak.centre + half <= last:
        raise ValueError(
            f"no whole peak from {first:g} to {last:g}: its best fit is centred on "
            f"{peak.centre:.4g} with a width of {peak.fwhm:.3g}; scan where it is, and wider"
        )
    seen = int((abs(at - peak.centre) < peak.fwhm).sum())
    if seen < 3:
        raise ValueError(
            f"a peak {peak.fwhm:.3g} wide on {peak.centre:.4g} is narrower than the steps: {seen} "
            "points are on it; scan with more points, or less far"
        )


def _gaussian(part: Any) -> Any:
    import numpy as np

    return np.exp(-4.0 * math.log(2.0) * part**2)


def _lorentzian(part: Any) -> Any:
    return 1.0 / (1.0 + 4.0 * part**2)


_CURVES = {"gaussian": _gaussian, "lorentzian": _lorentzian}
"""Of unit height and full width at half maximum, around zero."""
