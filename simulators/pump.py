"""A pump: a flow that is set and read back, and the volume that it has delivered."""

from collections.abc import Callable

from simulators.pv import Pv
from simulators.setpoint import SetpointPair

SECONDS_PER_MINUTE = 60.0


class Pump:
    """`:SP` and `:RB` in mL/min, `:STOP`, which ends the flow, and `:TOTAL` in mL.

    Args:
        prefix: of the PV names.
        limits: of the flow, mL/min.
        tau: time constant of the flow in seconds of lab time.
        tolerance: within which the readback snaps to the setpoint, mL/min.
        on_set: called after each accepted setpoint.
        what: what it pumps, in a few words.
    """

    def __init__(
        self,
        prefix: str,
        *,
        limits: tuple[float, float],
        tau: float,
        tolerance: float,
        on_set: Callable[[], None],
        what: str,
    ) -> None:
        self._flow = SetpointPair(
            prefix,
            start=0.0,
            unit="mL/min",
            what=f"{what}: flow",
            limits=limits,
            tolerance=tolerance,
            tau=tau,
            on_set=on_set,
            rest=0.0,
        )
        self._total = Pv(f"{prefix}:TOTAL", 0.0, "mL", f"{what}: delivered since the start")
        self.pvs = (*self._flow.pvs, self._total)

    @property
    def moving(self) -> bool:
        """True while it delivers, or its flow changes."""
        return self._flow.moving or self._flow.readback != 0.0

    def step(self, seconds: float) -> None:
        """Let so much lab time pass."""
        before = self._flow.readback
        self._flow.step(seconds)
        delivered = (before + self._flow.readback) / 2.0 * seconds / SECONDS_PER_MINUTE
        if delivered:
            self._total.post(float(self._total.value) + delivered)
