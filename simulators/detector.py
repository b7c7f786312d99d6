"""A triggered detector: one put acquires, and is complete when the channels hold the result."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from simulators.pv import Pv, Sleep


class TriggeredChannels:
    """`:TRIGGER`, `:CHANNELS` and one PV for each channel.

    A put of 1 to `:TRIGGER` samples at once, takes the run time, publishes all channels with one
    result, and is complete then; `:TRIGGER` resets itself to 0. A second put during a run waits
    for its turn.

    Args:
        prefix: of the PV names.
        channels: unit and meaning of each channel, by name.
        sample: what the detector would measure now, one value for each channel in order. It raises
            `PutRefused` when it cannot; then nothing is acquired.
        run_time: seconds of lab time from trigger to result; a function is asked at the trigger.
        sleep: waits for lab time.
        what: what the detector is, in a few words.
    """

    def __init__(
        self,
        prefix: str,
        *,
        channels: Mapping[str, tuple[str, str]],
        sample: Callable[[], Sequence[float]],
        run_time: float | Callable[[], float],
        sleep: Sleep,
        what: str,
    ) -> None:
        self._sample = sample
        self._run_time = run_time if callable(run_time) else lambda: run_time
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._trigger = Pv(
            f"{prefix}:TRIGGER", 0, "", f"{what}: 1 acquires", (0, 1), put=self._acquire
        )
        self._channels = tuple(
            Pv(f"{prefix}:{name}", 0.0, unit, f"{what}: {meaning}", precision=6)
            for name, (unit, meaning) in channels.items()
        )
        names = Pv(f"{prefix}:CHANNELS", ",".join(channels), "", f"{what}: names of the channels")
        self.pvs = (self._trigger, names, *self._channels)

    async def _acquire(self, value: float) -> None:
        if not value:
            return
        async with self._turn:
            result, run_time = self._sample(), self._run_time()
            self._trigger.post(1)
            await self._sleep(run_time)
            for channel, reading in zip(self._channels, result, strict=True):
                channel.post(reading)
            self._trigger.post(0)
