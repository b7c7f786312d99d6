"""An EPICS motor record: the fields by which clients such as `ophyd.EpicsMotor` drive an axis.

As far as a client can see it does what the motor record of synApps does
(github.com/epics-modules/motor). It has no jogging, tweaking, retries or raw coordinates.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Any

from simulators.pv import Pv, Sleep

STOP, PAUSE, MOVE, GO = range(4)
"""Choices of `.SPMG`. In the first two nothing moves; `MOVE` becomes `PAUSE` after one move."""

HOME = 0.0
"""Dial position of the home switch."""


class Motor:
    """One axis, driven along a ramp, a plateau and a ramp.

    At the end `.RBV` is exactly `.VAL`, however often the clock ticked on the way. A move against
    the direction of the backlash overshoots and comes back, so that no play is left.

    A put to `.VAL` is complete when the axis is done moving, wherever it then stands: a motor
    record reports no error. `.DMOV` goes to 0 and back to 1 for each such put, also where nothing
    moves. A target outside `.LLM` to `.HLM` sets `.LVIO`, puts `.VAL` back, and moves nothing.

    Args:
        prefix: name of the record, such as `KBV:PITCH`; its position has this name, too.
        unit: engineering unit.
        what: what moves, in a few words.
        limits: `.LLM` and `.HLM` at the start.
        travel: dial positions of the limit switches, which `.LLM` and `.HLM` cannot pass.
        velocity: `.VELO` at the start, units per second of lab time.
        ramp: `.ACCL` at the start, seconds of lab time from rest to full velocity.
        backlash: `.BDST`: length of the final approach, and by its sign the direction; 0: none.
        start: where it stands at the start.
        precision: digits after the point that a screen shows.
        sleep: waits for lab time.
        on_set: called when a move is ordered, stopped, or the coordinates are redefined.
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

        def field(name: str, value: float | str, meaning: str, unit: str = "", **more: Any) -> Pv:
            pv = Pv(f"{prefix}.{name}", value, unit, f"{what}: {meaning}", **more)
            pv.precision = precision
            return pv

        def command(name: str, meaning: str, put: Any, **more: Any) -> Pv:
            return field(name, 0, f"1 {meaning}", limits=(0, 1), put=put, **more)

        self._val = field(
            "VAL",
            start,
            "setpoint",
            unit,
            limits=limits,
            put=self._put,
            advisory=True,
            alias=prefix,
        )
        self._val.advisory = True  # `_put` judges the limits, as a record does
        self._rbv = field("RBV", start, "readback", unit)
        self._drbv = field("DRBV", start, "dial readback", unit)
        self._off = field("OFF", 0.0, "setpoint less dial", unit, put=self._put_offset)
        self._set = field(
            "SET",
            0,
            "Set: a put to .VAL changes .OFF and moves nothing",
            choices=("Use", "Set"),
            put=self._put_set,
        )
        self._velo = field("VELO", velocity, "velocity", f"{unit}/s", put=self._put_velocity)
        self._velo.limits = (velocity / 100.0, velocity)
        self._accl = field("ACCL", ramp, "time to full velocity", "s", limits=(0.01, 60.0))
        self._accl.put = self._put_acceleration
        self._bdst = field("BDST", backlash, "length of the final approach", unit)
        self._hlm = field("HLM", limits[1], "highest setpoint", unit, put=self._put_high)
        self._llm = field("LLM", limits[0], "lowest setpoint", unit, put=self._put_low)
        self._hlm.limits = self._llm.limits = travel
        self._hls = field("HLS", 0, "1 at the high limit switch")
        self._lls = field("LLS", 0, "1 at the low limit switch")
        self._lvio = field("LVIO", 0, "1 when the last setpoint was outside the limits")
        self._tdir = field("TDIR", 1, "direction of the last move, 1 is positive")
        self._movn = field("MOVN", 0, "1 while moving")
        self._dmov = field("DMOV", 1, "1 when done moving")
        self._stop = command("STOP", "stops", self._put_stop, anyone=True)
        self._spmg = field(
            "SPMG",
            GO,
            "whether it may move",
            choices=("Stop", "Pause", "Move", "Go"),
            put=self._put_spmg,
        )
        self._homf = command("HOMF", "goes to the home switch", self._home_forward)
        self._homr = command("HOMR", "goes to the home switch", self._home_reverse)
        fixed = (
            field("DIR", 0, "sign between setpoint and dial", choices=("Pos", "Neg")),
            field("FOFF", 0, "whether .OFF may change", choices=("Variable", "Frozen")),
            field("EGU", unit, "engineering unit"),
            field("PREC", precision, "digits after the point"),
            field("DESC", what, "description"),
            field("VMAX", velocity, "highest velocity", f"{unit}/s"),
            field("RTYP", "motor", "type of the record"),
        )
        # In the order in which clients hear of changes: done moving comes last.
        self.pvs = (
            *(self._val, self._lvio, self._off, self._set, self._tdir, self._hls, self._lls),
            *(self._rbv, self._drbv, self._velo, self._accl, self._bdst, self._hlm, self._llm),
            *(self._stop, self._spmg, self._homf, self._homr, *fixed, self._movn, self._dmov),
        )

    @property
    def dial(self) -> float:
        """Where it stands, in dial coordinates; the setpoint exactly, once done moving."""
        return float(self._drbv.value)

    @property
    def moving(self) -> bool:
        """True while it moves; False also while `.SPMG` holds it on the way."""
        return bool(self._legs) and int(self._spmg.value) in (MOVE, GO)

    def step(self, seconds: float) -> None:
        """Let so much lab time pass."""
        if not (self.moving and self._announced):
            return
        self._seconds += seconds
        end = self._legs[0]
        way = abs(end - self._start)
        gone = travelled(way, float(self._velo.value), float(self._accl.value), self._seconds)
        if gone < way:
            self._stand(self._start + math.copysign(gone, end - self._start))
            return
        self._stand(end)
        self._start, self._seconds = end, 0.0
        self._legs.pop(0)
        if not self._legs:
            self._finish(GO if self._spmg.value == GO else PAUSE)

    async def _put(self, value: float) -> None:
        offset = float(self._off.value)
        if self._set.value:
            self._redefine(value - self.dial)
            self._val.post(value)
            self._rbv.post(value)
        elif not self._is_allowed(value):
            self._lvio.post(1)
            self._val.post(self._val.value)
            await self._pulse()
        else:
            self._lvio.post(0)
            self._val.post(value)
            await self._go(self._approach(value - offset))

    def _is_allowed(self, value: float) -> bool:
        """False outside the limits, unless the move leads back towards them."""
        low, high, now = float(self._llm.value), float(self._hlm.value), float(self._val.value)
        overshoot = self._approach(value - float(self._off.value))[0] + float(self._off.value)
        inside = low <= value <= high and low <= overshoot <= high
        return inside or now < value < low or high < value < now

    def _approach(self, target: float) -> list[float]:
        """The legs of a move: against the direction of the backlash it goes past the target."""
        backlash = float(self._bdst.value)
        if backlash * (target - self.dial) >= 0.0:
            return [target]
        return [target - backlash, target]

    async def _go(self, legs: list[float]) -> None:
        """Move, and wait until done moving; a move that is under way is given up for this one."""
        if not self._legs:
            self._arrived = asyncio.Event()
        self._on_set()
        self._legs, self._start, self._seconds = legs, self.dial, 0.0
        self._tdir.post(int(legs[-1] >= self.dial))
        self._movn.post(1)
        self._dmov.post(0)
        self._announced = False
        arrived = self._arrived
        await self._sleep(0.0)  # clients hear of the start also where the move takes no time
        self._announced = True
        await arrived.wait()

    async def _pulse(self) -> None:
        """Not done and done moving: what clients wait for, where nothing moves."""
        if self._legs:
            return
        self._dmov.post(0)
        await self._sleep(0.0)
        if not self._legs:
            self._dmov.post(1)

    def _finish(self, spmg: int) -> None:
        self._legs = []
        if self._spmg.value != spmg:
            self._spmg.post(spmg)
        for button in (self._homf, self._homr):
            if button.value:
                button.post(0)
        self._movn.post(0)
        self._dmov.post(1)
        self._arrived.set()

    def _stand(self, dial: float) -> None:
        offset, setpoint = float(self._off.value), float(self._val.value)
        self._drbv.post(dial)
        self._rbv.post(setpoint if dial == setpoint - offset else dial + offset)
        for switch, on in (
            (self._lls, dial <= self._travel[0]),
            (self._hls, dial >= self._travel[1]),
        ):
            if switch.value != int(on):
                switch.post(int(on))

    async def _put_stop(self, value: float) -> None:
        if value and self._legs:
            self._halt(int(self._spmg.value))
        self._stop.post(0)

    async def _put_spmg(self, value: float) -> None:
        self._spmg.post(int(value))
        if value == STOP and self._legs:
            self._halt(STOP)

    def _halt(self, spmg: int) -> None:
        """Done moving, here; the setpoint follows the readback."""
        self._on_set()
        self._val.post(self._rbv.value)
        self._finish(spmg)

    async def _home_forward(self, value: float) -> None:
        await self._home(self._homf, value)

    async def _home_reverse(self, value: float) -> None:
        await self._home(self._homr, value)

    async def _home(self, button: Pv, value: float) -> None:
        if value:
            button.post(1)
            self._val.post(HOME + float(self._off.value))
            await self._go([HOME])

    async def _put_offset(self, value: float) -> None:
        self._redefine(value)

    def _redefine(self, offset: float) -> None:
        """Count setpoint and limits from elsewhere; nothing moves."""
        shift = offset - float(self._off.value)
        self._on_set()
        self._off.post(offset)
        for pv in (self._val, self._rbv, self._hlm, self._llm):
            pv.post(float(pv.value) + shift)
        low, high = self._travel
        self._hlm.limits = self._llm.limits = (low + offset, high + offset)
        self._show_limits()

    async def _put_set(self, value: float) -> None:
        self._set.post(int(value))

    async def _put_velocity(self, value: float) -> None:
        self._start, self._seconds = self.dial, 0.0
        self._velo.post(value)

    async def _put_acceleration(self, value: float) -> None:
        self._start, self._seconds = self.dial, 0.0
        self._accl.post(value)

    async def _put_high(self, value: float) -> None:
        self._hlm.post(value)
        self._show_limits()

    async def _put_low(self, value: float) -> None:
        self._llm.post(value)
        self._show_limits()

    def _show_limits(self) -> None:
        self._val.limits = (float(self._llm.value), float(self._hlm.value))


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
