"""Scan a knife edge through a focus in both directions: size and position of the beam, and flux.

Bluesky is imported when the plan runs: to check a campaign, or to reduce a run, needs none of it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plans.outcomes import outcomes

if TYPE_CHECKING:
    from bluesky.protocols import Movable, Readable
    from bluesky.utils import MsgGenerator

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Of a normal distribution."""

Points = Sequence[tuple[float, float]]
"""Position of the knife, and the signal behind it."""


def knife_edge(
    settings: Mapping[Any, float],
    knife_v: Movable[float],
    knife_h: Movable[float],
    detector: Readable[Any],
    signal: str = "transmission",
    reach: float = 20.0,
    clear: float = -40.0,
    points: int = 11,
    passes: int = 4,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Set, then scan one knife after the other through the beam, closer and closer: one run.

    The first pass covers everything within reach, each further one only where the signal of the
    pass before falls or rises. So a beam of a few nanometres is found anywhere within reach. The
    readings are the streams ``edge_v`` and ``edge_h``.

    Args:
        settings: movable devices and their values, in the order in which they are set.
        knife_v: cuts the beam vertically; its readback is in um.
        knife_h: cuts the beam horizontally; its readback is in um.
        detector: triggered and read at each position of a knife.
        signal: channel of the detector that gives the transmitted flux.
        reach: um from 0 to both sides that the first pass covers.
        clear: position of a knife at which it cuts nothing, um; there it waits for the other one.
        points: positions in each pass, at least 5.
        passes: over each knife, at least 1.
        md: metadata for the run.
    """
    knives = {"v": knife_v, "h": knife_h}
    metadata = {
        "plan_name": "knife_edge",
        "detectors": [detector.name],
        "motors": [movable.name for movable in settings],
        "knives": [knife.name for knife in knives.values()],  # type: ignore[attr-defined]
        "signal": signal,
        **(md or {}),
    }

    from bluesky import plan_stubs as bps
    from bluesky import preprocessors as bpp

    def scan(axis: str, knife: Any) -> MsgGenerator[None]:
        window, levels = (-reach, reach), None
        for _ in range(passes):
            seen: list[tuple[float, float]] = []
            for position in _spread(*window, points):
                yield from bps.mv(knife, position)
                got = yield from bps.trigger_and_read([detector, knife], name=f"edge_{axis}")
                if got:  # nothing where the plan is only looked at, not run
                    at = float(got[knife.name]["value"])
                    seen.append((at, float(got[f"{detector.name}_{signal}"]["value"])))
            if seen:
                levels = levels or (seen[0][1], seen[-1][1])
                window = edge_window(seen, levels)
        yield from bps.mv(knife, clear)

    @bpp.stage_decorator([detector])
    @bpp.run_decorator(md=metadata)
    def measure() -> MsgGenerator[None]:
        for movable, value in settings.items():
            yield from bps.mv(movable, value)
        for knife in knives.values():
            yield from bps.mv(knife, clear)
        for axis, knife in knives.items():
            yield from scan(axis, knife)

    yield from measure()


def estimate_knife_edge(
    settings: Mapping[str, float], points: int = 11, passes: int = 4, **_: Any
) -> tuple[float, int]:
    """Seconds that the plan waits beside its moves and readings, and how often it reads."""
    return 0.0, 2 * points * passes


def edge_window(seen: Points, levels: tuple[float, float]) -> tuple[float, float]:
    """Where the signal goes from one level to the other: the range to look at more closely.

    It reaches from the last point that is still within a tenth of the first level to the first
    that is within a tenth of the second; the whole range where the signal does not change.

    Args:
        seen: points in the order of their positions.
        levels: signal far before the edge and far behind it.
    """
    first, last = levels
    if first == last:
        return seen[0][0], seen[-1][0]
    risen = [(value - first) / (last - first) for _, value in seen]
    begin = next((n for n, part in enumerate(risen) if part > 0.1), len(seen) - 1)
    end = next((n for n, part in reversed([*enumerate(risen)]) if part < 0.9), 0)
    low, high = max(begin - 1, 0), min(end + 1, len(seen) - 1)
    return seen[min(low, high)][0], seen[max(low, high)][0]


@outcomes(
    fwhm_v="nm", fwhm_h="nm", flux="", centroid_v="um", centroid_h="um", density="", log_density=""
)
def reduce_knife_edge(runs: Sequence[Any]) -> dict[str, tuple[float, float | None]]:
    """Size, position and flux of the beam, with standard errors, from the fit of both edges.

    ``fwhm_v`` and ``fwhm_h`` in nm, ``centroid_v`` and ``centroid_h`` in um, ``flux`` in the unit
    of the signal (mean of both heights), ``density`` the flux per (100 nm)^2 and ``log_density``
    its decimal logarithm. For knives in um.

    Args:
        runs: each has in ``start`` what the plan says there, and offers the tables
            ``run["edge_v"]`` and ``run["edge_h"]``. All their points are fitted together.

    Raises:
        ValueError: no edge was found.
    """
    vertical, horizontal = (fit_edge(_points(runs, axis), axis) for axis in "vh")
    flux = (vertical.height + horizontal.height) / 2.0
    flux_sem = math.hypot(vertical.height_sem, horizontal.height_sem) / 2.0
    density = flux * 1e-2 / (vertical.fwhm * horizontal.fwhm)
    relative = math.hypot(
        flux_sem / flux,
        vertical.fwhm_sem / vertical.fwhm,
        horizontal.fwhm_sem / horizontal.fwhm,
    )
    return {
        "fwhm_v": (vertical.fwhm * 1e3, vertical.fwhm_sem * 1e3),
        "fwhm_h": (horizontal.fwhm * 1e3, horizontal.fwhm_sem * 1e3),
        "flux": (flux, flux_sem),
        "centroid_v": (vertical.centre, vertical.centre_sem),
        "centroid_h": (horizontal.centre, horizontal.centre_sem),
        "density": (density, density * relative),
        "log_density": (math.log10(density), relative / math.log(10.0)),
    }


@dataclass(frozen=True, slots=True)
class Edge:
    """An error function fitted to a knife-edge scan; widths and positions in the knife's unit.

    Attributes:
        fwhm: full width at half maximum of the beam.
        fwhm_sem: its standard error.
        centre: where half of the beam is cut.
        centre_sem: its standard error.
        height: signal without the knife less the signal behind it.
        height_sem: its standard error.
    """

    fwhm: float
    fwhm_sem: float
    centre: float
    centre_sem: float
    height: float
    height_sem: float


def fit_edge(points: Points, what: str = "knife") -> Edge:
    """Fit an error function, rising or falling, by least squares.

    Args:
        points: in any order.
        what: name of the scan, for the error.

    Raises:
        ValueError: fewer than five points, no edge, or one between two points.
    """
    import numpy as np
    from scipy.optimize import OptimizeWarning, curve_fit
    from scipy.special import ndtr

    if len(points) < 5:
        raise ValueError(f"{what}: {len(points)} points are too few for an edge; 5 are needed")
    at, signal = np.array(sorted(points)).T
    first, last = signal[0], signal[-1]
    if first == last:
        raise ValueError(f"{what}: the signal does not change from {at[0]:g} to {at[-1]:g}")
    risen = (signal - first) / (last - first)
    begin, end = at[risen < 0.16][-1], at[risen > 0.84][0]  # two sigma apart
    start = (first, last - first, (begin + end) / 2.0, abs(end - begin) / 2.0)

    def edge(x: Any, before: float, change: float, where: float, sigma: float) -> Any:
        return before + change * ndtr((x - where) / sigma)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", OptimizeWarning)
            best, covariance = curve_fit(edge, at, signal, start)
    except (OptimizeWarning, RuntimeError) as error:
        message = f"{what}: no error function fits the {len(points)} points ({error})"
        raise ValueError(message) from error
    sems = np.sqrt(np.diag(covariance))
    if abs(best[1]) < 5.0 * sems[1]:
        raise ValueError(f"{what}: an edge of {best[1]:g} is lost in its error of {sems[1]:g}")
    return Edge(
        fwhm=FWHM_PER_SIGMA * abs(float(best[3])),
        fwhm_sem=FWHM_PER_SIGMA * float(sems[3]),
        centre=float(best[2]),
        centre_sem=float(sems[2]),
        height=abs(float(best[1])),
        height_sem=float(sems[1]),
    )


def _points(runs: Sequence[Any], axis: str) -> list[tuple[float, float]]:
    """All readings of one knife."""
    found: list[tuple[float, float]] = []
    for run in runs:
        knife = run.start["knives"]["vh".index(axis)]
        table = run[f"edge_{axis}"]
        column = f"{run.start['detectors'][0]}_{run.start['signal']}"
        found += zip(map(float, table[knife]), map(float, table[column]), strict=True)
    return found


def _spread(low: float, high: float, count: int) -> list[float]:
    """Evenly spread positions, both ends included."""
    return [low + (high - low) * n / (count - 1) for n in range(count)]
