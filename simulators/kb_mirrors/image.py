"""What an area detector sees of the focus: its frame for a given truth, exposure and noise."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from simulators.kb_mirrors.model import FWHM_PER_SIGMA

SIZE = (256, 256)
"""Rows (vertical) and columns (horizontal)."""

PIXEL = 0.1
"""Width and height of a pixel in the plane of the focus, um: a scintillator behind X-ray optics."""

COUNTS_PER_S = 1e6
"""Of the full beam, over all pixels."""

DARK = 100.0
"""Counts of a pixel without light."""

READ_NOISE = 2.0
"""Standard deviation of a pixel without light, counts."""

SATURATED = 65535
"""Counts that no pixel exceeds."""


def frame(
    true: Mapping[str, float], seconds: float, noise: NDArray[np.float64]
) -> NDArray[np.uint16]:
    """One frame: counts of each pixel.

    Args:
        true: `fwhm_v`, `fwhm_h` in nm, `centroid_v`, `centroid_h` in um and `flux`, as the model
            gives them. The beam has a normal profile.
        seconds: exposure, as if under full current; 0 without light.
        noise: standard normal numbers, one for each pixel.

    Returns:
        Row 0 is the lowest, column 0 has the smallest horizontal position; the rotation centre is
        in the middle of the frame. Shot noise is normal, with the variance of the counts.
    """
    light = COUNTS_PER_S * seconds * true["flux"] * np.outer(_share(true, "v"), _share(true, "h"))
    counts = DARK + light + np.sqrt(READ_NOISE**2 + light) * noise
    return np.clip(np.rint(counts), 0, SATURATED).astype(np.uint16)


def _share(true: Mapping[str, float], axis: str) -> NDArray[np.float64]:
    """Part of the beam that falls on each row, or each column."""
    pixels = SIZE["vh".index(axis)]
    edges = (np.arange(pixels + 1) - pixels / 2.0) * PIXEL
    sigma = true[f"fwhm_{axis}"] * 1e-3 / FWHM_PER_SIGMA
    below = np.asarray(ndtr((edges - true[f"centroid_{axis}"]) / sigma), dtype=np.float64)
    return below[1:] - below[:-1]
