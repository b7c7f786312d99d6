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

LEAST_HALF = 3.0
"""Pixels from the brightest place to each side of the first window."""

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
    density = spot.counts / full * 1e-2 / (spot.v.fwhm * spot.h.fwhm * pixel**2)
    relative = math.hypot(
        spot.counts_sem / spot.counts,
        spot.v.fwhm_sem / spot.v.fwhm,
        spot.h.fwhm_sem / spot.h.fwhm,
    )
    return {
        "fwhm_v": (spot.v.fwhm * pixel * 1e3, spot.v.fwhm_sem * pixel * 1e3),
        "fwhm_h": (spot.h.fwhm * pixel * 1e3, spot.h.fwhm_sem * pixel * 1e3),
        "flux": (spot.counts / full, spot.counts_sem / full),
        "centroid_v": (spot.v.centre * pixel, spot.v.centre_sem * pixel),
        "centroid_h": (spot.h.centre * pixel, spot.h.centre_sem * pixel),
        "density": (density, density * relative),
        "log_density": (math.log10(density), relative / math.log(10.0)),
    }


@dataclass(frozen=True, slots=True)
class Profile:
    """A spot across the rows, or across the columns; lengths in pixels.

    Attributes:
        fwhm: full width at half maximum, without the width of a pixel.
        fwhm_sem: its standard error.
        centre: of the moments, from the middle of the frame.
        centre_sem: its standard error.
    """

    fwhm: float
    fwhm_sem: float
    centre: float
    centre_sem: float


@dataclass(frozen=True, slots=True)
class Spot:
    """A spot in a frame.

    Attributes:
        v: across the rows.
        h: across the columns.
        counts: of a mean frame, without its background.
        counts_sem: their standard error.
    """

    v: Profile
    h: Profile
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

    image, number = _mean(frames)
    seen = _grown(image)
    variance = np.where(seen.window, seen.noise**2 + np.maximum(seen.light, 0.0) / number, 0.0)
    found: list[Profile] = []
    for axis, (centre, moment) in enumerate(zip(seen.centre, seen.moments, strict=True)):
        off, spread = np.arange(image.shape[axis]) - centre, variance.sum(axis=1 - axis)
        own = moment - 1.0 / 12.0  # a pixel is a box of width 1
        if own <= 0.0:
            raise ValueError("the spot is smaller than a pixel")
        moment_sem = math.sqrt(float(spread @ (off**2 - moment) ** 2)) / seen.counts
        profile = Profile(
            fwhm=FWHM_PER_SIGMA * math.sqrt(own),
            fwhm_sem=FWHM_PER_SIGMA * moment_sem / (2.0 * math.sqrt(own)),
            centre=centre - (image.shape[axis] - 1) / 2.0,
            centre_sem=math.sqrt(float(spread @ off**2)) / seen.counts,
        )
        found.append(profile)
    v, h = found
    return Spot(v, h, seen.counts, math.sqrt(float(variance.sum())))


@dataclass(frozen=True, slots=True)
class _Window:
    """What a window of an image holds; moments about the centre, first across rows."""

    window: Any
    light: Any
    noise: float
    counts: float
    centre: list[float]
    moments: list[float]


def _mean(frames: Iterable[Any]) -> tuple[Any, int]:
    """The mean frame, and of how many."""
    import numpy as np

    total, number = np.zeros(1), 0
    for frame in frames:
        counts = np.asarray(frame, dtype=float)
        if counts.max() >= SATURATED:
            raise ValueError("a pixel is saturated: expose for a shorter time")
        total, number = total + counts, number + 1
    if not number:
        raise ValueError("there are no frames")
    return total / number, number


def _grown(image: Any) -> _Window:
    """The window that reaches as far around the spot as its own moments say."""
    import numpy as np
    from scipy.ndimage import uniform_filter

    background, noise = float(np.median(image)), _robust_sigma(image)
    smooth: Any = uniform_filter(image, 3)
    brightest = np.unravel_index(int(smooth.argmax()), smooth.shape)
    if smooth[brightest] - background < DISTINCT * noise / 3.0:  # a mean of nine pixels
        raise ValueError("no beam in the frames: nothing stands out of the noise")
    centre, half = [float(at) for at in brightest], [LEAST_HALF, LEAST_HALF]
    while True:
        inside = [
            abs(np.arange(size) - at) <= reach
            for size, at, reach in zip(image.shape, centre, half, strict=True)
        ]
        window = np.outer(*inside)
        if (outside := image[~window]).size > image.size / 10:
            background, noise = float(outside.mean()), float(outside.std())
        seen = _moments(window, np.where(window, image - background, 0.0), noise)
        reach = [REACH * math.sqrt(max(moment, 0.0)) for moment in seen.moments]
        if all(new <= 1.01 * old for new, old in zip(reach, half, strict=True)):
            return seen  # each window is larger than the one before, so that this comes to an end
        centre = seen.centre
        half = [max(new, old) for new, old in zip(reach, half, strict=True)]


def _moments(window: Any, light: Any, noise: float) -> _Window:
    import numpy as np

    counts = float(light.sum())
    if counts <= 0.0:
        raise ValueError("no beam in the frames: there is more background than light")
    centre, moments = [], []
    for axis, size in enumerate(light.shape):
        line, positions = light.sum(axis=1 - axis), np.arange(size)
        centre.append(float(line @ positions) / counts)
        moments.append(float(line @ (positions - centre[-1]) ** 2) / counts)
    return _Window(window, light, noise, counts, centre, moments)


def _robust_sigma(image: Any) -> float:
    """Standard deviation of a normal distribution with the same quartiles, at least 1 count."""
    import numpy as np

    low, high = np.percentile(image, [25, 75])
    return max(float(high - low) / 1.349, 1.0)


def _images(run: Any) -> Iterable[Any]:
    return run["primary"][run.start["image"]]
