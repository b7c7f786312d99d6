"""A counter: it counts for a preset time when triggered, and shows its rate all the time."""

import math
from collections.abc import Callable

from simulators.detector import TriggeredChannels
from simulators.noise import TriggerNoise
from simulators.pv import Pv, Sleep


class Counter:
    """`:TRIGGER`, `:COUNTS` and `:SECONDS`, `:PRESET` and `:RATE`.

    Counts scatter by the square root of their mean, and are whole and never negative. `:RATE`
    follows without noise.

    Args:
        prefix: of the PV names.
        rate: what it would count now, 1/s, not negative.
        noise: of the counts; start it anew when something is set.
        sleep: waits for lab time.
        preset: seconds that it counts at the start.
        what: what counts, in a few words.
    """

    def __init__(
        self,
        prefix: str,
        *,
        rate: Callable[[], float],
        noise: TriggerNoise,
        sleep: Sleep,
        preset: float = 1.0,
        what: str,
    ) -> None:
        self._now = rate
        self._noise = noise
        self._preset = Pv(
            f"{prefix}:PRESET", preset, "s", f"{what}: counting time", (0.001, 3600), put=self._put
        )
        self._rate = Pv(f"{prefix}:RATE", float(rate()), "1/s", f"{what}: counts per second")
        detector = TriggeredChannels(
            prefix,
            channels={"COUNTS": ("", "counts"), "SECONDS": ("s", "how long it has counted")},
            sample=self._count,
            run_time=lambda: float(self._preset.value),
            sleep=sleep,
            what=what,
        )
        self.pvs = (self._preset, self._rate, *detector.pvs)

    def step(self) -> None:
        """Show the rate as it is now."""
        self._rate.post(float(self._now()))

    async def _put(self, value: float) -> None:
        self._preset.post(value)

    def _count(self) -> list[float]:
        seconds = float(self._preset.value)
        mean = self._now() * seconds
        (scatter,) = self._noise.draw((mean, seconds), 1)
        return [max(0.0, float(round(mean + math.sqrt(mean) * scatter))), seconds]
