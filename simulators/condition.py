"""A reading on which a campaign may wait, such as a pressure, with a way to make it go wrong."""

from simulators.alarm import AlarmLimits, AlarmPv
from simulators.pv import Pv


class Condition:
    """A steady reading, and beside it `:FAULT`, which anybody may put and which is added to it.

    The reading is published every second, so that its age says that the server lives. Nothing
    that is measured depends on it.

    Args:
        name: of the reading's PV; `:FAULT` takes the place of its last part.
        value: when all is well.
        unit: engineering unit, also of the fault.
        what: what is read, in a few words.
        fault: what the fault does and rehearses, in a few words.
        fault_limits: least and greatest fault.
        precision: digits after the point that a screen shows.
        alarm_limits: of the reading, in its unit; None for no alarms.
    """

    def __init__(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        what: str,
        fault: str,
        fault_limits: tuple[float, float],
        precision: int,
        alarm_limits: AlarmLimits | None = None,
    ) -> None:
        self._well = value
        self._reading = AlarmPv(
            name,
            value,
            unit,
            what,
            precision=precision,
            heartbeat=True,
            alarm_limits=alarm_limits,
        )
        self._fault = Pv(
            f"{name.rpartition(':')[0]}:FAULT",
            0.0,
            unit,
            f"twin only: {fault}",
            fault_limits,
            precision=precision,
            put=self._put,
            anyone=True,
        )
        self.pvs = (self._reading, self._fault)

    async def _put(self, value: float) -> None:
        self._fault.post(value)
        self._reading.post(self._well + value)
