"""Setpoints with their readbacks: first-order settling that ends on one exact value."""

import math
from collections.abc import Callable, Mapping

from simulators.alarm import AlarmLimits, AlarmPv
from simulators.pv import PutRefused, Pv


class SetpointPair:
    """`:SP` and `:RB`, and `:STOP`, which holds at the current readback.

    The readback snaps to the setpoint once it is within the tolerance, so that it has one exact
    value however often the clock ticked on the way. A put of 1 to `:STOP` does nothing when
    nothing moves.

    Args:
        prefix: of the three PV names.
        start: setpoint and readback at the start.
        unit: engineering unit.
        what: what is set, in a few words.
        limits: of the setpoint.
        locked: says why no setpoint is taken now, empty when one is; None takes them always. It
            does not keep `:STOP` from holding.
        tolerance: within which the readback snaps.
        tau: time constant in seconds of lab time.
        on_set: called after each accepted setpoint, also of the same value.
        resolution: the readback comes to rest on a whole multiple of this, the one next to the
            setpoint; the tolerance must be half of it or more. 0: exactly on the setpoint.
        rest: where a 1 to `:STOP` sends it, whether it moves or not; None holds it instead.
        alarm_limits: of the readback, in its unit; None for no alarms.

    Raises:
        ValueError: the tolerance is below half the resolution.
    """

    def __init__(
        self,
        prefix: str,
        *,
        start: float,
        unit: str,
        what: str,
        limits: tuple[float, float],
        locked: Callable[[], str] | None = None,
        tolerance: float,
        tau: float,
        on_set: Callable[[], None],
        resolution: float = 0.0,
        rest: float | None = None,
        alarm_limits: AlarmLimits | None = None,
    ) -> None:
        if tolerance < resolution / 2:
            raise ValueError(f"{prefix}: tolerance {tolerance} is below half of {resolution}")
        self._resolution = resolution
        self._tolerance = tolerance
        self._tau = tau
        self._on_set = on_set
        self._locked = locked
        self._rest = rest
        self._setpoint = Pv(
            f"{prefix}:SP", start, unit, f"{what}: setpoint", limits=limits, put=self._put
        )
        self._readback = AlarmPv(
            f"{prefix}:RB", start, unit, f"{what}: readback", alarm_limits=alarm_limits
        )
        self._stop = Pv(
            f"{prefix}:STOP",
            0,
            "",
            f"{what}: 1 holds at the readback" if rest is None else f"{what}: 1 sets {rest:g}",
            (0, 1),
            put=self._put_stop,
            anyone=True,
        )
        self.pvs = (self._setpoint, self._readback, self._stop)

    @property
    def readback(self) -> float:
        """The value now."""
        return float(self._readback.value)

    @property
    def setpoint(self) -> float:
        """The value wanted."""
        return float(self._setpoint.value)

    @property
    def moving(self) -> bool:
        """True while the readback is not where it will rest."""
        return self.readback != self._target

    @property
    def _target(self) -> float:
        """Where the readback will rest."""
        if not self._resolution:
            return self.setpoint
        return round(self.setpoint / self._resolution) * self._resolution

    def step(self, seconds: float) -> None:
        """Let so much lab time pass."""
        if self.moving:
            distance = (self.readback - self._target) * math.exp(-seconds / self._tau)
            self._move_to(self._target + distance)

    async def _put(self, value: float) -> None:
        if self._locked is not None and (why := self._locked()):
            raise PutRefused(f"{self._setpoint.name}: {why}")
        self._go(value)

    def _go(self, value: float) -> None:
        self._setpoint.post(value)
        self._on_set()
        self._move_to(self.readback)

    async def _put_stop(self, value: float) -> None:
        if value and self._rest is not None:
            self._go(self._rest)
        elif value and self.moving:
            self._go(self.readback)
        self._stop.post(0)

    def _move_to(self, position: float) -> None:
        arrived = abs(position - self._target) <= self._tolerance
        self._readback.post(self._target if arrived else position)


class SetpointPairs:
    """All setpoints of an instrument, by the parameter that each of them sets.

    Args:
        limits: of each setpoint, by parameter.
        on_set: called after each accepted setpoint, also of the same value.
    """

    def __init__(
        self, limits: Mapping[str, tuple[float, float]], on_set: Callable[[], None]
    ) -> None:
        self._limits = limits
        self._on_set = on_set
        self._pairs: dict[str, SetpointPair] = {}

    def add(
        self,
        parameter: str,
        prefix: str,
        *,
        start: float,
        tolerance: float,
        tau: float,
        unit: str = "",
        what: str = "",
        locked: Callable[[], str] | None = None,
        resolution: float = 0.0,
        alarm_limits: AlarmLimits | None = None,
    ) -> None:
        """One more; arguments as of `SetpointPair`, where an empty `what` is the parameter."""
        self._pairs[parameter] = SetpointPair(
            prefix,
            start=start,
            unit=unit,
            what=what or parameter.replace("_", " "),
            limits=self._limits[parameter],
            locked=locked,
            tolerance=tolerance,
            tau=tau,
            on_set=self._on_set,
            resolution=resolution,
            alarm_limits=alarm_limits,
        )

    @property
    def pvs(self) -> tuple[Pv, ...]:
        """All their process variables."""
        return tuple(pv for pair in self._pairs.values() for pv in pair.pvs)

    @property
    def readbacks(self) -> dict[str, float]:
        """The value of each parameter now."""
        return {parameter: pair.readback for parameter, pair in self._pairs.items()}

    @property
    def moving(self) -> bool:
        """True while a readback is not where it will rest."""
        return any(pair.moving for pair in self._pairs.values())

    def step(self, seconds: float) -> bool:
        """Let so much lab time pass; True while a readback still moves."""
        for pair in self._pairs.values():
            pair.step(seconds)
        return self.moving
