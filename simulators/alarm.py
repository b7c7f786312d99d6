"""Process variables with an alarm, as EPICS records have it: how bad it is, and what it is."""

import math
from dataclasses import dataclass
from enum import IntEnum

from simulators.pv import Pv, Value


class Severity(IntEnum):
    """Of an alarm, in the numbers of EPICS."""

    NO_ALARM = 0
    MINOR = 1
    MAJOR = 2
    INVALID = 3


class Status(IntEnum):
    """What an alarm is about, in the numbers of EPICS: its list up to the last that a twin gives.

    The list has no gaps, for clients read a status as a place in it.
    """

    NO_ALARM = 0
    READ = 1
    WRITE = 2
    HIHI = 3
    HIGH = 4
    LOLO = 5
    LOW = 6


Alarm = tuple[Severity, Status]

NO_ALARM: Alarm = (Severity.NO_ALARM, Status.NO_ALARM)


@dataclass(frozen=True)
class AlarmLimits:
    """Of an analog record, in its unit: the outer two are MAJOR, the inner two MINOR.

    NaN, as in EPICS, where it has no such limit. There is no dead band (`.HYST` is 0).
    """

    lolo: float = math.nan
    low: float = math.nan
    high: float = math.nan
    hihi: float = math.nan

    def alarm(self, value: float) -> Alarm:
        """The alarm of a value; one on a limit has it already."""
        if value >= self.hihi:
            return Severity.MAJOR, Status.HIHI
        if value <= self.lolo:
            return Severity.MAJOR, Status.LOLO
        if value >= self.high:
            return Severity.MINOR, Status.HIGH
        if value <= self.low:
            return Severity.MINOR, Status.LOW
        return NO_ALARM


@dataclass
class AlarmPv(Pv):
    """One process variable whose clients are told of an alarm with each value.

    Attributes:
        severity: how bad it is.
        status: what it is.
        alarm_limits: beyond which what clients read has an alarm, too; None for a value that is
            no real number, or has no limits.
    """

    severity: Severity = Severity.NO_ALARM
    status: Status = Status.NO_ALARM
    alarm_limits: AlarmLimits | None = None

    def alarm(self, severity: Severity, status: Status) -> None:
        """Give it an alarm, or none; clients hear of it if it is another one."""
        if (severity, status) != (self.severity, self.status):
            self.severity, self.status = severity, status
            self.post(self.value)


def alarm_of(pv: Pv, reads: Value) -> Alarm:
    """The worst alarm that it has when clients read this: none, where it cannot have one."""
    if not isinstance(pv, AlarmPv):
        return NO_ALARM
    own = (pv.severity, pv.status)
    if pv.alarm_limits is None or not isinstance(reads, float):
        return own
    return max(own, pv.alarm_limits.alarm(reads))
