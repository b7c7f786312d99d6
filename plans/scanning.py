"""What the scans share: where they go, what they look at, and how they read it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Protocol

    from bluesky.protocols import Movable, Readable
    from bluesky.utils import MsgGenerator

    class Axis(Movable[float], Readable[Any], Protocol):
        """What is moved and read back; its readback has the axis' own name."""


Points = Sequence[tuple[float, float]]
"""Position of the axis, and the signal there."""


def evenly(start: float, stop: float, points: int) -> list[float]:
    """Evenly spread positions, both ends included.

    Raises:
        ValueError: fewer than two points, or both ends are the same.
    """
    if points < 2 or start == stop:
        raise ValueError(f"{points} points from {start:g} to {stop:g} are no scan")
    return [start + (stop - start) * n / (points - 1) for n in range(points)]


def data_key(detector: Any, signal: str | None) -> str:
    """The data key of a detector's signal.

    Args:
        detector: read by the plan.
        signal: its channel (``counts`` for ``scaler_counts``) or its whole data key; None takes
            the only one that the detector hints at, or the one with the detector's own name.

    Raises:
        ValueError: None is given, and the detector hints at several.
    """
    name = str(detector.name)
    if signal is not None:
        return signal if signal == name or signal.startswith(f"{name}_") else f"{name}_{signal}"
    fields = list((getattr(detector, "hints", None) or {}).get("fields", ())) or [name]
    if len(fields) > 1:
        raise ValueError(f"{name} has the signals {fields}; say which with 'signal'")
    return str(fields[0])


def move_all(settings: Mapping[Any, float]) -> MsgGenerator[None]:
    """Set one after another, each waited for."""
    from bluesky import plan_stubs as bps

    for movable, value in settings.items():
        yield from bps.mv(movable, value)


def read_at(
    axis: Axis, position: float, detector: Readable[Any], key: str
) -> MsgGenerator[list[tuple[float, float]]]:
    """Move, trigger, and read both into one event; the point, or none if it is only looked at."""
    from bluesky import plan_stubs as bps

    yield from bps.mv(axis, position)
    got: Any = yield from bps.trigger_and_read([detector, axis])
    if not got:
        return []
    return [(float(got[axis.name]["value"]), float(got[key]["value"]))]


def points_of(runs: Sequence[Any], stream: str = "primary") -> list[tuple[float, float]]:
    """The points of all runs, in the order in which they were measured.

    Args:
        runs: each names in ``start`` its ``axis`` and ``signal``, both data keys.
        stream: that has a column for each of them.
    """
    found: list[tuple[float, float]] = []
    for run in runs:
        table = run[stream]
        columns = (table[run.start["axis"]], table[run.start["signal"]])
        found += zip(*(map(float, column) for column in columns), strict=True)
    return found


def units_of(runs: Sequence[Any], stream: str = "primary") -> tuple[str | None, str | None]:
    """Units of axis and signal as the devices state them; None for one that states none."""
    units, start = runs[0][stream].attrs.get("units", {}), runs[0].start
    return units.get(start["axis"]), units.get(start["signal"])
