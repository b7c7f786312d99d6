"""Set the process, let it become steady, then sample: for reactors and everything that flows.

Bluesky is imported when the plan runs: to check a campaign, or to reduce a run, needs none of it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plans.channel_means import mean_and_sem
from plans.outcomes import outcomes

if TYPE_CHECKING:
    from bluesky.protocols import Readable
    from bluesky.utils import MsgGenerator

MOLAR_MASS = {"substrate": 159.09, "amine": 71.12, "ortho": 210.21, "para": 210.21, "bis": 261.33}
"""g/mol: 2,4-difluoronitrobenzene, pyrrolidine, and the three products of their reaction."""

SOLVENT_DENSITY = 789.0
"""g/L, ethanol."""


def steady_state_sample(
    settings: Mapping[Any, float],
    detector: Readable[Any],
    settle_residence_times: float = 0,
    settle_s: float = 0,
    stable: Readable[Any] | None = None,
    readings: int = 1,
    stable_std: float = 0.01,
    stable_window: int = 5,
    stable_interval_s: float = 10,
    stable_timeout_s: float = 3600,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Set one after another, wait until steady, and read the detector: one run.

    Args:
        settings: movable devices and their values, in the order in which they are set.
        detector: triggered and read once for each reading; the movables are read with it.
        settle_residence_times: wait so many times the setting of ``residence_time`` (minutes).
        settle_s: further seconds to wait; 0 for none.
        stable: signal that must be stable before the first reading; None does not wait for one.
        readings: events in the run, at least 1.
        stable_std: standard deviation of the last values, relative to their mean, that is stable.
        stable_window: number of last values that are looked at, at least 2.
        stable_interval_s: seconds between two looks at the signal.
        stable_timeout_s: seconds after which a signal that is not stable fails the plan.
        md: metadata for the run.

    Raises:
        ValueError: ``settle_residence_times`` is given and no setting is named ``residence_time``.
        TimeoutError: the signal did not become stable in time.
    """
    settle = settle_s + 60 * settle_residence_times * _residence_time(
        settings, needed=settle_residence_times > 0
    )
    metadata = {
        "plan_name": "steady_state_sample",
        "detectors": [detector.name],
        "motors": [movable.name for movable in settings],
        "num_points": readings,
        **(md or {}),
    }

    from bluesky import plan_stubs as bps
    from bluesky import preprocessors as bpp

    @bpp.stage_decorator([detector])
    @bpp.run_decorator(md=metadata)
    def sample() -> MsgGenerator[None]:
        for movable, value in settings.items():
            yield from bps.mv(movable, value)
        if settle > 0:
            yield from bps.sleep(settle)
        if stable is not None:
            yield from until_stable(
                stable, stable_std, stable_window, stable_interval_s, stable_timeout_s
            )
        for _ in range(readings):
            yield from bps.trigger_and_read([detector, *settings])

    yield from sample()


def estimate_steady_state_sample(
    settings: Mapping[str, float],
    settle_residence_times: float = 0,
    settle_s: float = 0,
    stable: Any = None,
    readings: int = 1,
    stable_timeout_s: float = 3600,
    **_: Any,
) -> tuple[float, int]:
    """Seconds that the plan waits beside its moves and readings, and how often it reads."""
    minutes = [value for name, value in settings.items() if name.endswith("residence_time")]
    settle = settle_s + 60 * settle_residence_times * max(minutes, default=0.0)
    return settle + (stable_timeout_s if stable is not None else 0.0), readings


def until_stable(
    signal: Readable[Any], relative_std: float, window: int, interval_s: float, timeout_s: float
) -> MsgGenerator[None]:
    """Wait until the last ``window`` values of a signal scatter no more than ``relative_std``.

    Raises:
        TimeoutError: that did not happen within ``timeout_s`` seconds of waiting.
    """
    from bluesky import plan_stubs as bps

    values: list[float] = []
    for _ in range(max(window, math.ceil(timeout_s / interval_s))):
        values.append(float((yield from bps.rd(signal))))
        last = values[-window:]
        if len(last) == window and is_stable(last, relative_std):
            return
        yield from bps.sleep(interval_s)
    raise TimeoutError(
        f"{signal.name} did not become stable within {timeout_s:g} s: its last values were "
        f"{[f'{value:.4g}' for value in values[-window:]]}"
    )


@outcomes(sty="kg/m3/h", yield_fraction="", e_factor="")
def reduce_steady_state_sample(runs: Sequence[Any]) -> dict[str, tuple[float, float | None]]:
    """Space-time yield, yield and E factor of the ortho product, from HPLC concentrations.

    Mean and standard error over the readings; no standard error for a single reading. Formulas:
    Hone et al., React. Chem. Eng. 2, 103 (2017). ``e_factor`` is the mass of everything but the
    product (solvent, what did not react, by-products) per mass of product.
    """
    readings = [reading for run in runs for reading in _readings(run)]
    return {
        name: mean_and_sem([reading[name] for reading in readings])
        for name in ("sty", "yield_fraction", "e_factor")
    }


def _readings(run: Any) -> list[dict[str, float]]:
    """The three outcomes for each event of a run."""
    table, detector = run["primary"], run.start["detectors"][0]
    names = {species: f"{detector}_{species}" for species in MOLAR_MASS}
    found = []
    for _, row in table.iterrows():
        outlet = {species: float(row[key]) for species, key in names.items()}
        product = MOLAR_MASS["ortho"] * outlet["ortho"]
        waste = sum(
            (MOLAR_MASS[name] * outlet[name] for name in MOLAR_MASS if name != "ortho"),
            SOLVENT_DENSITY,
        )
        limiting = float(row["concentration"]) * min(1.0, float(row["equivalents"]))
        found.append(
            {
                "sty": 60.0 * product / float(row["residence_time"]),
                "yield_fraction": outlet["ortho"] / limiting,
                "e_factor": waste / product if product else math.inf,
            }
        )
    return found


def _residence_time(settings: Mapping[Any, float], *, needed: bool) -> float:
    """The setting of the device named ``residence_time``; 0 when it is not needed."""
    if not needed:
        return 0.0
    for movable, value in settings.items():
        if movable.name == "residence_time":
            return value
    names = [movable.name for movable in settings]
    raise ValueError(
        f"settle_residence_times needs a setting named 'residence_time'; there are {names}"
    )


def is_stable(values: Sequence[float], relative_std: float) -> bool:
    """True when values scatter no more than this, their standard deviation relative to the mean."""
    mean = statistics.fmean(values)
    return statistics.stdev(values) <= relative_std * abs(mean)
