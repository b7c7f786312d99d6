"""Process variables with an alarm, as EPICS records have it: how bad it is, and what it is."""

from dataclasses import dataclass
from enum import IntEnum

from simulators.pv import Pv


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


NO_ALARM = (Severity.NO_ALARM, Status.NO_ALARM)


@dataclass
class AlarmPv(Pv):
    """One process variable whose clients are told of an alarm with each value.

    Attributes:
        severity: how bad it is.
        status: what it is.
    """

    severity: Severity = Severity.NO_ALARM
    status: Status = Status.NO_ALARM

    def alarm(self, severity: Severity, status: Status) -> None:
        """Give it an alarm, or none; clients hear of it if it is another one."""
        if (severity, status) != (self.severity, self.status):
            self.severity, self.status = severity, status
            self.post(self.value)


def alarm_of(pv: Pv) -> tuple[Severity, Status]:
    """The alarm that it has: none, where it cannot have one."""
    return (pv.severity, pv.status) if isinstance(pv, AlarmPv) else NO_ALARM
