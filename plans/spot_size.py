"""Image a focused beam with an area detector: its size, position and flux from the moments.

Bluesky is imported when the plan runs: to check a campaign, or to reduce a run, needs none of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plans.outcomes import outcomes

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Of a normal distribution."""

REACH = 4.0
"""Standard deviations on each side that a moment is taken over."""

DISTINCT = 6.0
"""How far above the noise of a pixel the brightest spot must be, in its standard deviations."""

SATURATED = 65535
"""Counts at which a 16-bit pixel is full."""


def spot_size(
    settings: Mapping[Any, float],
    detector: Any,
    exposure: float = 0.1,
    frames: int = 1,
    triggers: int = 1,
    pixel: float = 0.1,
    full_beam: float = 1e6,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Set, then expose: one run with one event for each trigger.

    Args:
        settings: movable devices and their values, in the order in which they are set.
        detector: an area detector with a camera ``cam``, whose data key is ``<name>_image``.
        exposure: of one frame, seconds.
        frames: for each trigger, at least 1.
        triggers: at least 1.
        pixel: its width and height in the plane of the focus, um.
        full_beam: counts per second of the beam before the optics, for the flux.
        md: metadata for the run.
    """
    metadata = {
        "plan_name": "spot_size",
        "detectors": [detector.name],
        "motors": [movable.name for movable in settings],
        "image": f"{detector.name}_image",
        "exposure": exposure,
        "pixel": pixel,
        "full_beam": full_beam,
        **(md or {}),
    }

    from bluesky import plan_stubs as bps
    from bluesky import preprocessors as bpp

    @bpp.stage_decorator([detector])
    @bpp.run_decorator(md=metadata)
    def measure() -> MsgGenerator[None]:
        for movable, value in settings.items():
            yield from bps.mv(movable, value)
        for _ in range(triggers):
            yield from bps.trigger_and_read([detector])

    # Before it is staged: the file plugin then notes how many frames a trigger brings.
    yield from bps.configure(detector, {"cam.acquire_time": exposure, "cam.num_images": frames})
    yield from measure()


def estimate_spot_size(
    settings: Mapping[str, float],
    exposure: float = 0.1,
    frames: int = 1,
    triggers: int = 1,
    **_: Any,
) -> tuple[float, int]:
    """Seconds that the plan waits beside its moves, and how often it triggers the detector."""
    return exposure * frames * triggers, triggers


@outcomes(
    fwhm_v="nm", fwhm_h="nm", flux="", centroid_v="um", centroid_h="um", density="", log_density=""
)
def reduce_spot_size(runs: Sequence[Any]) -> dict[str, tuple[float, float | None]]:
    """Size, position and flux of the beam, with standard errors, from the mean of all frames.

    ``fwhm_v`` and ``fwhm_h`` in nm, those of a normal distribution with the same second moments;
    ``centroid_v`` and ``centroid_h`` in um from the middle of the frame; ``flux`` per that of the
    full beam, ``density`` the flux per (100 nm)^2 and ``log_density`` its decimal logarithm.

    Args:
        runs: each has in ``start`` what the plan says there, and the column ``<detector>_image`` in
            the table ``run["primary"]``. Its frames are read one by one.

    Raises:
        ValueError: no beam in the frames, or a saturated pixel.
    """
    start = runs[0].start
    spot = spot_in(frame for run in runs for frames in _images(run) for frame in frames)
    pixel, full = float(start["pixel"]), float(start["full_beam"]) * float(start["exposure"])
    density = spot.counts / full * 1e-2 / (spot.fwhm_v * spot.fwhm_h * pixel**2)
    relative = math.hypot(
        spot.counts_sem / spot.counts,
        spot.fwhm_v_sem / spot.fwhm_v,
        spot.fwhm_h_sem / spot.fwhm_h,
    )
    return {
        "fwhm_v": (spot.fwhm_v * pixel * 1e3, spot.fwhm_v_sem * pixel * 1e3),
        "fwhm_h": (spot.fwhm_h * pixel * 1e3, spot.fwhm_h_sem * pixel * 1e3),
        "flux": (spot.counts / full, spot.counts_sem / full),
        "centroid_v": (spot.centre_v * pixel, spot.centre_v_sem * pixel),
        "centroid_h": (spot.centre_h * pixel, spot.centre_h_sem * pixel),
        "density": (density, density * relative),
        "log_density": (math.log10(density), relative / math.log(10.0)),
    }


@dataclass(frozen=True, slots=True)
class Spot:
    """A spot in a frame; lengths in pixels, each ``_sem`` the standard error of what it follows.

    Attributes:
        fwhm_v: full width at half maximum across the rows, without the width of a pixel.
        fwhm_h: the same across the columns.
        centre_v: row of the centroid, from the middle of the frame.
        centre_h: column of the centroid, likewise.
        counts: of a mean frame, without its background.
    """

    fwhm_v: float
    fwhm_v_sem: float
    fwhm_h: float
    fwhm_h_sem: float
    centre_v: float
    centre_v_sem: float
    centre_h: float
    centre_h_sem: float
    counts: float
    counts_sem: float


def spot_in(frames: Iterable[Any]) -> Spot:
    """The moments of the one bright spot in the mean of some frames.

    They are taken over a window that grows from the brightest place until it reaches four standard
    deviations to every side. The background is the mean outside. The errors are those of counting
    (a count is a photon) and of the noise outside.

    Args:
        frames: 2-D arrays of counts.

    Raises:
        ValueError: no frame, a saturated pixel, or no spot.
    """
    import numpy as np
    from scipy.ndimage import uniform_filter

    total, number = 0.0, 0
    for frame in frames:
        counts = np.asarray(frame, dtype=float)
        if counts.max() >= SATURATED:
            raise ValueError("a pixel is saturated: expose for a shorter time")
        total, number = total + counts, number + 1
    if not number:
        raise ValueError("there are no frames")
    image: Any = total / number
    background, noise = float(np.median(image)), _robust_sigma(image)
    smooth: Any = uniform_filter(image, 3)
    row, column = np.unravel_index(int(smooth.argmax()), smooth.shape)
    if smooth[row, column] - background < DISTINCT * noise / 3.0:  # a mean of nine pixels
        raise ValueError("no beam in the frames: nothing stands out of the noise")

    axes = np.arange(image.shape[0]), np.arange(image.shape[1])
    centre, half = [float(row), float(column)], [3.0, 3.0]
    for _ in range(100):
        inside = [
            abs(axis - at) <= reach for axis, at, reach in zip(axes, centre, half, strict=True)
        ]
        window = np.outer(*inside)
        if (outside := image[~window]).size > image.size / 10:
            background, noise = float(outside.mean()), float(outside.std())
        light = np.where(window, image - background, 0.0)
        counts = float(light.sum())
        if counts <= 0.0:
            raise ValueError("no beam in the frames: there is more background than light")
        lines = light.sum(axis=1), light.sum(axis=0)
        centre = [float(line @ axis) / counts for line, axis in zip(lines, axes, strict=True)]
        moments = [
            float(line @ (axis - at) ** 2) / counts
            for line, axis, at in zip(lines, axes, centre, strict=True)
        ]
        reach = [max(REACH * math.sqrt(max(moment, 0.0)), 3.0) for moment in moments]
        settled = all(abs(new - old) < 0.01 * old for new, old in zip(reach, half, strict=True))
        half = reach
        if settled:
            break

    variance = np.where(window, noise**2 + np.maximum(light, 0.0) / number, 0.0)
    found: list[float] = []
    for axis, at, moment, along in zip(axes, centre, moments, (1, 0), strict=True):
        off, spread = axis - at, variance.sum(axis=along)
        own = moment - 1.0 / 12.0  # a pixel is a box of width 1
        if own <= 0.0:
            raise ValueError("the spot is smaller than a pixel")
        moment_sem = math.sqrt(float(spread @ (off**2 - moment) ** 2)) / counts
        found += [
            FWHM_PER_SIGMA * math.sqrt(own),
            FWHM_PER_SIGMA * moment_sem / (2.0 * math.sqrt(own)),
            at - (len(axis) - 1) / 2.0,
            math.sqrt(float(spread @ off**2)) / counts,
        ]
    fwhm_v, fwhm_v_sem, centre_v, centre_v_sem, fwhm_h, fwhm_h_sem, centre_h, centre_h_sem = found
    return Spot(
        fwhm_v=fwhm_v,
        fwhm_v_sem=fwhm_v_sem,
        fwhm_h=fwhm_h,
        fwhm_h_sem=fwhm_h_sem,
        centre_v=centre_v,
        centre_v_sem=centre_v_sem,
        centre_h=centre_h,
        centre_h_sem=centre_h_sem,
        counts=counts,
        counts_sem=math.sqrt(float(variance.sum())),
    )


def _robust_sigma(image: Any) -> float:
    """Standard deviation of a normal distribution with the same quartiles, at least 1 count."""
    import numpy as np

    low, high = np.percentile(image, [25, 75])
    return max(float(high - low) / 1.349, 1.0)


def _images(run: Any) -> Iterable[Any]:
    return run["primary"][run.start["image"]]
