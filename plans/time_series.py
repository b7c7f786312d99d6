"""Watch a signal until it is stable: what it comes to, and how long that takes.

Bluesky is imported when the plan runs: to check a campaign, or to reduce a run, needs none of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plans.channel_means import mean_and_sem
from plans.outcomes import outcomes
from plans.scanning import data_key, move_all
from plans.steady_state_sample import is_stable

if TYPE_CHECKING:
    from bluesky.protocols import Readable
    from bluesky.utils import MsgGenerator


def time_series(
    settings: Mapping[Any, float],
    detector: Readable[Any],
    interval_s: float,
    timeout_s: float,
    signal: str | None = None,
    window: int = 5,
    stable_std: float = 0.01,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Set, then read the detector again and again until its last values agree: one run.

    Args:
        settings: movable devices and their values, in the order in which they are set.
        detector: triggered and read once for each reading; the movables are read with it.
        interval_s: seconds to wait between two readings.
        timeout_s: seconds of waiting after which a signal that is not stable fails the plan.
        signal: channel of the detector that must be stable; None if it has only one.
        window: number of last values that are looked at, at least 2.
        stable_std: standard deviation of the last values, relative to their mean, that is stable.
        md: metadata for the run.

    Raises:
        ValueError: an interval that is not positive, a window below 2, or the detector has several
            signals and none is named.
        TimeoutError: the signal did not become stable in time.
    """
    if interval_s <= 0 or window < 2:
        raise ValueError(
            f"interval_s is {interval_s:g} and window {window}: above 0 and at least 2 are needed"
        )
    key = data_key(detector, signal)
    metadata = {
        "plan_name": "time_series",
        "detectors": [detector.name],
        "motors": [movable.name for movable in settings],
        "signal": key,
        "interval_s": interval_s,
        "window": window,
        **(md or {}),
    }

    from bluesky import plan_stubs as bps
    from bluesky import preprocessors as bpp

    @bpp.stage_decorator([detector])
    @bpp.run_decorator(md=metadata)
    def watch() -> MsgGenerator[None]:
        yield from move_all(settings)
        values: list[float] = []
        for _ in range(most_readings(interval_s, timeout_s, window)):
            if values:
                yield from bps.sleep(interval_s)
            got: Any = yield from bps.trigger_and_read([detector, *settings])
            # Where it is only looked at, not run, the signal is stable from the first.
            values.append(float(got[key]["value"]) if got else 1.0)
            if len(values) >= window and is_stable(values[-window:], stable_std):
                return
        last = ", ".join(f"{value:.4g}" for value in values[-window:])
        raise TimeoutError(
            f"{key} did not become stable within {timeout_s:g} s: its last values were {last}"
        )

    yield from watch()


def most_readings(interval_s: float, timeout_s: float, window: int) -> int:
    """How many readings the time allows; never fewer than the window needs."""
    return max(window, int(timeout_s / interval_s) + 1)


def estimate_time_series(
    settings: Mapping[str, float],
    interval_s: float,
    timeout_s: float,
    window: int = 5,
    **_: Any,
) -> tuple[float, int]:
    """Seconds that the plan waits at most, and how often it then reads."""
    readings = most_readings(interval_s, timeout_s, window)
    return (readings - 1) * interval_s, readings


@outcomes(value=None, settling_s="s")
def reduce_time_series(
    runs: Sequence[Any],
) -> dict[str, tuple[float, float | None, str | None]]:
    """What the signal has come to, and after how many seconds of waiting.

    ``value`` is the mean of the last window of readings of all runs, with its standard error.
    ``settling_s`` counts the waits before the first reading of that window, not the time of the
    readings themselves; over several runs it is their mean.

    Args:
        runs: each has in ``start`` what the plan says there.

    Raises:
        ValueError: a run has fewer readings than its window.
    """
    values: list[float] = []
    settling: list[float] = []
    for run in runs:
        signal, window = run.start["signal"], int(run.start["window"])
        readings = [float(value) for value in run["primary"][signal]]
        if len(readings) < window:
            raise ValueError(f"{len(readings)} readings are fewer than the window of {window}")
        values += readings[-window:]
        settling.append((len(readings) - window) * float(run.start["interval_s"]))
    unit = runs[0]["primary"].attrs.get("units", {}).get(runs[0].start["signal"])
    return {
        "value": (*mean_and_sem(values), unit),
        "settling_s": (*mean_and_sem(settling), "s"),
    }
