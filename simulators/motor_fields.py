"""The fields of a motor record, as process variables that nobody has given a meaning yet."""

from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Any

from simulators.alarm import AlarmPv, Severity, Status
from simulators.pv import Pv

STOP, PAUSE, MOVE, GO = range(4)
"""Choices of `.SPMG`. In the first two nothing moves; `MOVE` becomes `PAUSE` after one move."""

LONGEST_DESC = 39
"""Characters of `.DESC`, which is an EPICS string."""


class MotorFields:
    """One process variable for each field, all read-only until `on_put` says otherwise.

    Args:
        prefix: name of the record; `.VAL` also has this name alone.
        unit: engineering unit.
        what: what moves, in at most `LONGEST_DESC` characters.
        limits: `.LLM` and `.HLM`.
        velocity: `.VELO` and `.VMAX`, units per second.
        ramp: `.ACCL`, seconds.
        backlash: `.BDST`.
        start: `.VAL` and the readbacks; dial and user coordinates agree.
        precision: digits after the point that a screen shows.

    Raises:
        ValueError: `what` is too long.
    """

    def __init__(
        self,
        prefix: str,
        *,
        unit: str,
        what: str,
        limits: tuple[float, float],
        velocity: float,
        ramp: float,
        backlash: float,
        start: float,
        precision: int,
    ) -> None:
        def field(name: str, value: float | str, says: str, unit: str = "", **more: Any) -> AlarmPv:
            return AlarmPv(
                f"{prefix}.{name}", value, unit, f"{what}: {says}", precision=precision, **more
            )

        if len(what) > LONGEST_DESC:
            raise ValueError(f"{prefix}.DESC has room for {LONGEST_DESC} characters: {what!r}")
        low, high = limits
        # `advisory`: a record itself judges what is outside, and says so in another field.
        self.val = field("VAL", start, "setpoint", unit, limits=limits, advisory=True, alias=prefix)
        self.rbv = field("RBV", start, "readback", unit)
        self.drbv = field("DRBV", start, "dial readback", unit)
        self.off = field("OFF", 0.0, "setpoint less dial", unit)
        self.set = field("SET", 0, "Set: a put to .VAL changes .OFF", choices=("Use", "Set"))
        self.velo = field("VELO", velocity, "velocity", f"{unit}/s")
        self.velo.limits = (velocity / 100.0, velocity)
        self.accl = field("ACCL", ramp, "time to full velocity", "s", limits=(0.01, 60.0))
        self.bdst = field("BDST", backlash, "length of the final approach", unit)
        self.hlm = field("HLM", high, "highest setpoint", unit)
        self.llm = field("LLM", low, "lowest setpoint", unit)
        self.hls = field("HLS", 0, "1 at the high limit switch")
        self.lls = field("LLS", 0, "1 at the low limit switch")
        self.lvio = field("LVIO", 0, "1 when the last setpoint was outside the limits")
        self.sevr = field("SEVR", 0, "severity of the alarm", choices=_names(Severity))
        self.stat = field("STAT", 0, "what the alarm is about", choices=_names(Status))
        self.tdir = field("TDIR", 1, "direction of the last move, 1 is positive")
        self.movn = field("MOVN", 0, "1 while moving")
        self.dmov = field("DMOV", 1, "1 when done moving")
        self.stop = field("STOP", 0, "1 stops", limits=(0, 1), anyone=True)
        spmg = ("Stop", "Pause", "Move", "Go")
        self.spmg = field("SPMG", GO, "whether it may move", choices=spmg)
        self.homf = field("HOMF", 0, "1 goes to the home switch", limits=(0, 1))
        self.homr = field("HOMR", 0, "1 goes to the home switch", limits=(0, 1))
        fixed = (
            field("DIR", 0, "sign between setpoint and dial", choices=("Pos", "Neg")),
            field("FOFF", 0, "whether .OFF may change", choices=("Variable", "Frozen")),
            field("HLSV", Severity.MAJOR, "severity at a limit", choices=_names(Severity)),
            field("EGU", unit, "engineering unit"),
            field("PREC", precision, "digits after the point"),
            field("DESC", what, "description"),
            field("VMAX", velocity, "highest velocity", f"{unit}/s"),
            field("RTYP", "motor", "type of the record"),
        )
        # In the order in which clients hear of changes: done moving comes last.
        self.pvs = (
            *(self.val, self.lvio, self.off, self.set, self.tdir, self.hls, self.lls),
            *(self.sevr, self.stat),
            *(self.rbv, self.drbv, self.velo, self.accl, self.bdst, self.hlm, self.llm),
            *(self.stop, self.spmg, self.homf, self.homr, *fixed, self.movn, self.dmov),
        )

    def show_alarm(self) -> None:
        """Positions carry an alarm at a limit switch, and with a setpoint beyond a limit.

        Limits of 0 are no exception: a record with this `.HLSV` alarms there, though it moves.
        """
        setpoint = float(self.val.value)
        status = Status.NO_ALARM
        if self.lls.value or setpoint < float(self.llm.value):
            status = Status.LOW
        if self.hls.value or setpoint > float(self.hlm.value):
            status = Status.HIGH
        severity = Severity.MAJOR if status else Severity.NO_ALARM
        for position in (self.val, self.rbv, self.drbv):
            position.alarm(severity, status)
        for field, value in ((self.sevr, severity), (self.stat, status)):
            if field.value != value:
                field.post(int(value))


def _names(choices: type[IntEnum]) -> tuple[str, ...]:
    return tuple(choice.name for choice in choices)


def on_put(pv: Pv, put: Callable[[float], Awaitable[None] | None]) -> None:
    """Let clients put a field: `put` gets each accepted value, and may return what to wait for."""

    async def accepted(value: float) -> None:
        waiting = put(value)
        if waiting is not None:
            await waiting

    pv.put = accepted
