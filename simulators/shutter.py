"""A shutter: one PV orders it, another says where it is."""

from simulators.pv import Pv, Sleep

CLOSED, OPEN = 0, 1


class Shutter:
    """`:CMD` and `:STATE`, both 1 for open and 0 for closed.

    A put to `:CMD` is complete when the shutter is there.

    Args:
        prefix: of the two PV names.
        travel: seconds of lab time that it needs.
        sleep: waits for lab time.
        what: what it shuts, in a few words.
        start: 1 when it is open at the start.
    """

    def __init__(
        self, prefix: str, *, travel: float, sleep: Sleep, what: str, start: int = CLOSED
    ) -> None:
        self._travel = travel
        self._sleep = sleep
        self._command = Pv(
            f"{prefix}:CMD", start, "", f"{what}: 1 opens, 0 closes", (CLOSED, OPEN), put=self._put
        )
        self._state = Pv(f"{prefix}:STATE", start, "", f"{what}: 1 is open, 0 closed")
        self.pvs = (self._command, self._state)

    @property
    def is_open(self) -> bool:
        """True when it lets through."""
        return self._state.value == OPEN

    async def _put(self, value: float) -> None:
        self._command.post(int(value))
        if self._state.value != int(value):
            await self._sleep(self._travel)
            self._state.post(int(self._command.value))  # somebody may have thought again meanwhile
