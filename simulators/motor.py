"""An EPICS motor record, by which clients such as `ophyd.EpicsMotor` drive an axis.

As far as a client can see it does what the motor record of synApps does
(github.com/epics-modules/motor). It has no jogging, tweaking, retries or raw coordinates.
"""

import asyncio
import math
from collections.abc import Callable
from functools import partial

from simulators.motor_fields import GO, MOVE, PAUSE, STOP, MotorFields, on_put
from simulators.pv import Pv, Sleep

HOME = 0.0
"""Dial position of the home switch."""


class Motor:
    """One axis, driven along a ramp, a plateau and a ramp.

    At the end `.RBV` is exactly `.VAL`, however often the clock ticked on the way. A move against
    the direction of the backlash overshoots and comes back, so that no play is left.

    A put to `.VAL` is complete when the axis is done moving, wherever it then stands: a motor
    record reports no error. `.DMOV` goes to 0 and back to 1 for each such put, also where nothing
    moves; `.SPMG` on Stop or Pause holds a move at `.DMOV` 0 and `.MOVN` 0. A target outside `.LLM`
    to `.HLM` sets `.LVIO`, puts `.VAL` back, and moves nothing; both 0 on the dial are no limits,
    and a move then ends at the switch. At a limit switch, and where the limits were narrowed past
    it, it is in alarm.

    Args:
        prefix: name of the record, such as `KBV:PITCH`; its position has this name, too.
        unit: engineering unit.
        what: what moves, in at most 39 characters; `.DESC`.
        limits: `.LLM` and `.HLM` at the start.
        travel: dial positions of the limit switches, which `.LLM` and `.HLM` cannot pass.
        velocity: `.VELO` at the start and its maximum, units per second of lab time.
        ramp: `.ACCL` at the start, seconds of lab time from rest to full velocity.
        backlash: `.BDST`: length of the final approach, and by its sign the direction; 0: none.
        start: where it stands at the start.
        precision: digits after the point that a screen shows.
        sleep: waits for lab time.
        on_set: called when a move is ordered or stopped, or the coordinates are redefined.
    """

    def __init__(
        self,
        prefix: str,
        *,
        unit: str,
        what: str,
        limits: tuple[float, float],
        travel: tuple[float, float],
        velocity: float,
        ramp: float,
        backlash: float = 0.0,
        start: float = 0.0,
        precision: int = 4,
        sleep: Sleep,
        on_set: Callable[[], None],
    ) -> None:
        self._travel = travel
        self._sleep = sleep
        self._on_set = on_set
        self._legs: list[float] = []
        """Dial positions to go to, one after another; none when done moving."""
        self._start, self._seconds = start, 0.0
        """Dial position where the present leg began, and how long ago."""
        self._announced = True
        """True once clients have been told that a move begins; before that it does not end."""
        self._arrived = asyncio.Event()
        self._fields = fields = MotorFields(
            prefix,
            unit=unit,
            what=what,
            limits=limits,
            velocity=velocity,
            ramp=ramp,
            backlash=backlash,
            start=start,
            precision=precision,
        )
        fields.hlm.limits = fields.llm.limits = travel
        self.pvs = fields.pvs
        on_put(fields.val, self._put)
        on_put(fields.set, lambda value: fields.set.post(int(value)))
        on_put(fields.off, self._redefine)
        on_put(fields.bdst, fields.bdst.post)
        on_put(fields.stop, self._put_stop)
        on_put(fields.spmg, self._put_spmg)
        for button in (fields.homf, fields.homr):
            on_put(button, partial(self._home, button))
        for speed in (fields.velo, fields.accl):
            on_put(speed, partial(self._put_speed, speed))
        for limit in (fields.hlm, fields.llm):
            on_put(limit, partial(self._put_limit, limit))

    @property
    def dial(self) -> float:
        """Where it stands, in dial coordinates; the setpoint exactly, once done moving."""
        return float(self._fields.drbv.value)

    @property
    def moving(self) -> bool:
        """True while it moves; False also while `.SPMG` holds it on the way."""
        return bool(self._legs) and self._fields.spmg.value in (MOVE, GO)

    def step(self, seconds: float) -> None:
        """Let so much lab time pass."""
        if not (self.moving and self._announced):
            return
        self._seconds += seconds
        end = self._legs[0]
        way = abs(end - self._start)
        velocity, ramp = float(self._fields.velo.value), float(self._fields.accl.value)
        gone = travelled(way, velocity, ramp, self._seconds)
        if gone < way:
            self._stand(self._start + math.copysign(gone, end - self._start))
            return
        self._stand(end)
        self._start, self._seconds = end, 0.0
        self._legs.pop(0)
        if not self._legs:
            self._finish(GO if self._fields.spmg.value == GO else PAUSE)

    async def _put(self, value: float) -> None:
        fields = self._fields
        if fields.set.value:
            self._redefine(value - self.dial)
            fields.val.post(value)
            fields.rbv.post(value)
        elif not self._is_allowed(value):
            _show(fields.lvio, 1)
            fields.val.post(fields.val.value)
            await self._pulse()
        else:
            _show(fields.lvio, 0)
            fields.val.post(value)
            await self._go(self._approach(value - self._offset))

    @property
    def _offset(self) -> float:
        return float(self._fields.off.value)

    def _is_allowed(self, value: float) -> bool:
        """False outside the limits, unless the move leads back towards them."""
        low, high = float(self._fields.llm.value), float(self._fields.hlm.value)
        if low == high == self._offset:  # both 0 on the dial: none
            low, high = -math.inf, math.inf
        if (narrowed := self._fields.val.narrowed) is not None:
            low, high = max(low, narrowed[0]), min(high, narrowed[1])
        now = float(self._fields.val.value)
        overshoot = self._approach(value - self._offset)[0] + self._offset
        inside = low <= value <= high and low <= overshoot <= high
        return inside or now < value < low or high < value < now

    def _approach(self, target: float) -> list[float]:
        """The legs of a move: against the direction of the backlash it goes past the target."""
        backlash = float(self._fields.bdst.value)
        if backlash * (target - self.dial) >= 0.0:
            return [target]
        return [target - backlash, target]

    async def _go(self, legs: list[float]) -> None:
        """Move, and wait until done moving; a move that is under way is given up for this one."""
        if not self._legs:
            self._arrived = asyncio.Event()
        self._on_set()
        low, high = self._travel  # a limit switch ends a leg that would pass it
        self._legs = [min(max(leg, low), high) for leg in legs]
        self._start, self._seconds = self.dial, 0.0
        _show(self._fields.tdir, int(legs[-1] >= self.dial))
        self._fields.movn.post(int(self.moving))
        self._fields.dmov.post(0)
        self._announced = False
        arrived = self._arrived
        await self._sleep(0.0)  # clients hear of the start also where the move takes no time
        self._announced = True
        await arrived.wait()

    async def _pulse(self) -> None:
        """Not done and done moving: what clients wait for, where nothing moves."""
        if self._legs:
            return
        self._fields.dmov.post(0)
        await self._sleep(0.0)
        if not self._legs:
            self._fields.dmov.post(1)

    def _finish(self, spmg: int) -> None:
        fields = self._fields
        self._legs = []
        _show(fields.spmg, spmg)
        _show(fields.homf, 0)
        _show(fields.homr, 0)
        fields.movn.post(0)
        fields.dmov.post(1)
        self._arrived.set()

    def _stand(self, dial: float) -> None:
        fields, (low, high) = self._fields, self._travel
        setpoint = float(fields.val.value)
        fields.drbv.post(dial)
        fields.rbv.post(setpoint if dial == setpoint - self._offset else dial + self._offset)
        _show(fields.lls, int(dial <= low))
        _show(fields.hls, int(dial >= high))
        fields.show_alarm()

    def _put_stop(self, value: float) -> None:
        if value and self._legs:
            self._halt(int(self._fields.spmg.value))
        self._fields.stop.post(0)

    def _put_spmg(self, value: float) -> None:
        self._fields.spmg.post(int(value))
        if value == STOP and self._legs:
            self._halt(STOP)
        _show(self._fields.movn, int(self.moving))

    def _halt(self, spmg: int) -> None:
        """Done moving, here; the setpoint follows the readback."""
        self._on_set()
        self._fields.val.post(self._fields.rbv.value)
        self._fields.show_alarm()
        self._finish(spmg)

    async def _home(self, button: Pv, value: float) -> None:
        if not value:
            return
        button.post(1)
        self._fields.val.post(HOME + self._offset)
        await self._go([HOME])

    def _redefine(self, offset: float) -> None:
        """Count setpoint and limits from elsewhere; nothing moves."""
        fields, (low, high) = self._fields, self._travel
        before = self._offset
        self._on_set()
        fields.off.post(offset)
        for pv in (fields.val, fields.rbv, fields.hlm, fields.llm):
            pv.post(float(pv.value) - before + offset)  # limits of 0 on the dial remain exactly so
        fields.hlm.limits = fields.llm.limits = (low + offset, high + offset)
        self._show_limits()

    def _put_speed(self, pv: Pv, value: float) -> None:
        self._start, self._seconds = self.dial, 0.0
        pv.post(value)

    def _put_limit(self, pv: Pv, value: float) -> None:
        pv.post(value)
        self._show_limits()

    def _show_limits(self) -> None:
        self._fields.val.limits = (float(self._fields.llm.value), float(self._fields.hlm.value))
        self._fields.show_alarm()


def _show(pv: Pv, value: int) -> None:
    """Post a state, if it is another one."""
    if pv.value != value:
        pv.post(value)


def travelled(way: float, velocity: float, ramp: float, seconds: float) -> float:
    """How far a move has come: up a linear ramp of the velocity, along a plateau, and down.

    Args:
        way: length of the move, not negative.
        velocity: of the plateau, positive; a move too short for it turns before.
        ramp: seconds from rest to the velocity, positive.
        seconds: since the start.
    """
    if way < velocity * ramp:
        shorter = math.sqrt(way / (velocity * ramp))
        velocity, ramp = velocity * shorter, ramp * shorter
    left = (way / velocity + ramp if way else 0.0) - seconds
    if left <= 0.0:
        return way
    if seconds < ramp:
        return velocity * seconds**2 / (2.0 * ramp)
    if left < ramp:
        return way - velocity * left**2 / (2.0 * ramp)
    return velocity * (seconds - ramp / 2.0)
