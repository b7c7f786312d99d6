"""Scan through a peak without stops: where it is, how wide and how high.

Bluesky is imported when the plan runs: to check a campaign, or to reduce a run, needs none of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plans.outcomes import outcomes
from plans.peak_fit import Shape, fit_peak
from plans.scan_peak import peak_outcomes
from plans.scanning import move_all, points_of, units_of

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator


def fly_scan(
    settings: Mapping[Any, float],
    flyer: Any,
    start: float,
    stop: float,
    shape: Shape = "gaussian",
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Set, go to the start, and fly to the stop while the flyer takes down its signal: one run.

    Args:
        settings: movable devices and their values, in the order in which they are set.
        flyer: has ``axis`` (movable), ``stop_at`` (movable, where a flight ends) and ``signal``, as
            ``devices.Flyer`` does.
        start: where the flight begins, in the axis' unit.
        stop: where it ends.
        shape: of the peak: ``gaussian`` or ``lorentzian``.
        md: metadata for the run.

    Raises:
        ValueError: start and stop are the same.
    """
    if start == stop:
        raise ValueError(f"a flight from {start:g} to {stop:g} is none")
    metadata = {
        "plan_name": "fly_scan",
        "detectors": [flyer.name],
        "motors": [flyer.axis.name],
        "axis": flyer.axis.name,
        "signal": flyer.signal.name,
        "shape": shape,
        **(md or {}),
    }

    from bluesky import plan_stubs as bps
    from bluesky import preprocessors as bpp

    def go(position: float) -> MsgGenerator[None]:
        yield from bps.mv(flyer.axis, position)

    def fly() -> MsgGenerator[None]:
        yield from bps.mv(flyer.stop_at, stop)
        yield from bps.kickoff(flyer, wait=True)
        yield from bps.complete(flyer, wait=True)
        yield from bps.collect(flyer)

    @bpp.run_decorator(md=metadata)
    def scan() -> MsgGenerator[None]:
        yield from move_all(settings)
        yield from go(start)  # before staging, which sets the speed of the flight
        yield from bpp.stage_wrapper(fly(), [flyer])
        yield from go(stop)  # it is there: what moves by itself is compared like any other move

    yield from scan()


def estimate_fly_scan(settings: Mapping[str, float], **_: Any) -> tuple[float, int]:
    """Seconds that the plan waits beside its moves, and how often the flyer's time-out may pass.

    Once on the way to the start, and once in flight.
    """
    return 0.0, 2


@outcomes(centre=None, width=None, height=None)
def reduce_fly_scan(runs: Sequence[Any]) -> dict[str, tuple[float, float | None, str | None]]:
    """Centre, full width at half maximum and height of the peak, with standard errors.

    As ``reduce_scan_peak``, from what the flyer has taken down.

    Args:
        runs: each has in ``start`` what the plan says there. All their samples are fitted together.

    Raises:
        ValueError: the samples show no whole peak.
    """
    peak = fit_peak(points_of(runs), runs[0].start["shape"])
    return peak_outcomes(peak, *units_of(runs))
