"""Scan an axis through a peak: where it is, how wide and how high.

Bluesky is imported when the plan runs: to check a campaign, or to reduce a run, needs none of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plans.outcomes import outcomes
from plans.peak_fit import Peak, Shape, fit_peak
from plans.scanning import data_key, evenly, move_all, points_of, read_at, units_of

if TYPE_CHECKING:
    from bluesky.protocols import Readable
    from bluesky.utils import MsgGenerator

    from plans.scanning import Axis


def scan_peak(
    settings: Mapping[Any, float],
    axis: Axis,
    detector: Readable[Any],
    start: float,
    stop: float,
    points: int = 21,
    signal: str | None = None,
    shape: Shape = "gaussian",
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Set, then step an axis from start to stop and read the detector at each step: one run.

    The axis ends on the last position.

    Args:
        settings: movable devices and their values, in the order in which they are set.
        axis: that is scanned.
        detector: triggered and read at each position.
        start: first position, in the axis' unit.
        stop: last position.
        points: positions, both ends included; at least 7 for a fit.
        signal: channel of the detector that has the peak; None if it has only one.
        shape: of the peak: ``gaussian`` or ``lorentzian``.
        md: metadata for the run.

    Raises:
        ValueError: the range is empty, or the detector has several signals and none is named.
    """
    key = data_key(detector, signal)
    metadata = {
        "plan_name": "scan_peak",
        "detectors": [detector.name],
        "motors": [axis.name],
        "axis": axis.name,
        "signal": key,
        "shape": shape,
        "num_points": points,
        **(md or {}),
    }

    from bluesky import preprocessors as bpp

    @bpp.stage_decorator([detector])
    @bpp.run_decorator(md=metadata)
    def scan() -> MsgGenerator[None]:
        yield from move_all(settings)
        for position in evenly(start, stop, points):
            yield from read_at(axis, position, detector, key)

    yield from scan()


def estimate_scan_peak(
    settings: Mapping[str, float], points: int = 21, **_: Any
) -> tuple[float, int]:
    """Seconds that the plan waits beside its moves and readings, and how often it reads."""
    return 0.0, points


@outcomes(centre=None, width=None, height=None)
def reduce_scan_peak(
    runs: Sequence[Any],
) -> dict[str, tuple[float, float | None, str | None]]:
    """Centre, full width at half maximum and height of the peak, with standard errors.

    Height is above a linear background. Centre and width are in the unit of the axis, the height
    in that of the signal.

    Args:
        runs: each has in ``start`` what the plan says there. All their points are fitted together.

    Raises:
        ValueError: the points show no whole peak.
    """
    peak = fit_peak(points_of(runs), runs[0].start["shape"])
    return peak_outcomes(peak, *units_of(runs))


def peak_outcomes(
    peak: Peak, axis_unit: str | None, signal_unit: str | None
) -> dict[str, tuple[float, float | None, str | None]]:
    """The outcomes ``centre``, ``width`` and ``height`` of a fitted peak."""
    return {
        "centre": (peak.centre, peak.centre_sem, axis_unit),
        "width": (peak.fwhm, peak.fwhm_sem, axis_unit),
        "height": (peak.height, peak.height_sem, signal_unit),
    }
