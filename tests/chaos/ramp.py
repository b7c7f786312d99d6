"""The chaos labs' own plan: many small moves with a hold after each, then a reading.

A worker that is frozen at almost any moment of it has a command to send when it wakes up. A plan
that sets everything at once and then waits has none left, and could not show a second driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from plans.steady_state_sample import reduce_steady_state_sample

if TYPE_CHECKING:
    from bluesky.protocols import Readable
    from bluesky.utils import MsgGenerator


def ramp(
    settings: Mapping[Any, float],
    detector: Readable[Any],
    steps: int,
    hold_s: float,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Go in steps from where the movables are to their settings, read the detector: one run.

    Args:
        settings: movable devices, each with a ``position``, and their values.
        detector: triggered and read once, with the movables.
        steps: equal moves in which each movable gets there, at least 1; they take turns.
        hold_s: seconds to wait after each move.
        md: metadata for the run.
    """
    metadata = {
        "plan_name": "ramp",
        "detectors": [detector.name],
        "motors": [movable.name for movable in settings],
        **(md or {}),
    }

    from bluesky import plan_stubs as bps
    from bluesky import preprocessors as bpp

    @bpp.stage_decorator([detector])
    @bpp.run_decorator(md=metadata)
    def drive() -> MsgGenerator[None]:
        start = {movable: movable.position for movable in settings}
        for step in range(1, steps + 1):
            for movable, value in settings.items():
                left = (1 - step / steps) * (value - start[movable])
                yield from bps.mv(movable, value - left)
                yield from bps.sleep(hold_s)
        yield from bps.trigger_and_read([detector, *settings])

    yield from drive()


def estimate_ramp(
    settings: Mapping[str, float], steps: int, hold_s: float, **_: Any
) -> tuple[float, int]:
    """Seconds that the plan waits beside its moves and its reading, and how often it reads."""
    return steps * len(settings) * hold_s, 1


reduce_ramp = reduce_steady_state_sample
"""The chemistry is the shipped plan's."""
