"""A setpoint that is a choice: a change takes its time, and the readback jumps at its end."""

import asyncio
from collections.abc import Callable, Sequence

from simulators.pv import Pv


class SelectorPair:
    """`:SP` and `:RB`, enumerations, and `:STOP`, which keeps the position that is read back.

    A put to `:SP` is complete when the change is over, or when another one took its place.

    Args:
        prefix: of the three PV names.
        choices: names of the positions; at the start it has the first.
        what: what is chosen, in a few words.
        change_s: seconds of lab time of a change.
        on_set: called after each accepted setpoint, also of the same value.
    """

    def __init__(
        self,
        prefix: str,
        choices: Sequence[str],
        *,
        what: str,
        change_s: float,
        on_set: Callable[[], None],
    ) -> None:
        self._change_s, self._left_s = change_s, 0.0
        self._on_set = on_set
        self._over = asyncio.Event()
        names = tuple(choices)
        known = ", ".join(f"{number} {name}" for number, name in enumerate(names))
        self._setpoint = Pv(
            f"{prefix}:SP", 0, "", f"{what}: setpoint, {known}", put=self._put, choices=names
        )
        self._readback = Pv(f"{prefix}:RB", 0, "", f"{what}: readback", choices=names)
        self._stop = Pv(
            f"{prefix}:STOP",
            0,
            "",
            f"{what}: 1 keeps what is read back",
            (0, 1),
            put=self._put_stop,
            anyone=True,
        )
        self.pvs = (self._setpoint, self._readback, self._stop)

    @property
    def readback(self) -> float:
        """The number of the position now."""
        return float(self._readback.value)

    @property
    def moving(self) -> bool:
        """True during a change."""
        return self._readback.value != self._setpoint.value

    def step(self, seconds: float) -> None:
        """Let so much lab time pass."""
        if self.moving:
            self._left_s -= seconds
            if self._left_s <= 0.0:
                self._end()

    async def _put(self, value: float) -> None:
        self._over.set()
        self._over = over = asyncio.Event()
        self._setpoint.post(int(value))
        self._on_set()
        self._left_s = self._change_s
        if not self.moving:
            self._end()
        await over.wait()

    async def _put_stop(self, value: float) -> None:
        if value and self.moving:
            self._setpoint.post(self._readback.value)
            self._on_set()
            self._end()
        self._stop.post(0)

    def _end(self) -> None:
        self._readback.post(self._setpoint.value)
        self._over.set()
