"""What is wrong with a twin now, and what that does to its process variables."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from simulators.alarm import Alarm, Severity, Status, alarm_of
from simulators.faults import Fault
from simulators.pv import PutRefused, Pv, Sleep, Value


@dataclass(frozen=True)
class _Held:
    """A fault that holds."""

    fault: Fault
    began_s: float
    """The lab time in seconds."""
    before: Value
    """Of a trip, the value to put back; of others, what clients read then; "" for the server."""


class ActiveFaults:
    """The faults that hold now.

    Args:
        now: the lab time in seconds.
        sleep: waits for lab time.
    """

    def __init__(self, now: Callable[[], float], sleep: Sleep) -> None:
        self._now = now
        self._sleep = sleep
        self._held: list[_Held] = []
        """In the order in which they began; the same fault may hold twice."""
        self._ended = asyncio.Event()
        self.first_put = asyncio.Event()
        """Set once a client has put something."""

    def __str__(self) -> str:
        return ", ".join(str(one.fault) for one in self._held)

    def of(self, kind: str, pv: str = "") -> list[Fault]:
        """Those of a kind that hold for a process variable; those of the server without one."""
        faults = (one.fault for one in self._held)
        return [fault for fault in faults if fault.fault == kind and fault.pv == pv]

    @property
    def drifting(self) -> set[str]:
        """Names of the process variables that read otherwise from moment to moment."""
        return {one.fault.pv for one in self._held if one.fault.fault == "drift"}

    def begin(self, fault: Fault, pv: Pv | None) -> None:
        """It holds from now on, for this process variable; None for the whole server."""
        before: Value = ""
        if pv is not None:
            before = self._untripped(pv) if fault.fault == "trip" else self.read(pv)
        self._held.append(_Held(fault, self._now(), before))

    def _untripped(self, pv: Pv) -> Value:
        """Its value as it was before the first trip that holds; as it is when none does."""
        trips = (one for one in self._held if one.fault.fault == "trip" and one.fault.pv == pv.name)
        return next((one.before for one in trips), pv.value)

    def end(self, fault: Fault) -> Value:
        """It is over; gives the value to put back after a trip."""
        held = next(one for one in self._held if one.fault == fault)
        self._held.remove(held)
        self._ended.set()
        self._ended = asyncio.Event()
        return held.before

    def limits(self, pv: Pv) -> tuple[float, float] | None:
        """What all faults together leave of its range; None when none narrows it."""
        found = [fault.limits for fault in self.of("limit", pv.name) if fault.limits]
        return (max(low for low, _ in found), min(high for _, high in found)) if found else None

    async def before_put(self, pv: Pv, value: float | str) -> None:
        """A client puts this value: wait while puts hang.

        Raises:
            PutRefused: the fault is that it fails.
        """
        self.first_put.set()
        for fault in self.of("refuse", pv.name):
            raise PutRefused(f"{pv.name}: refused by the fault {fault}")
        low, high = self.limits(pv) or (-math.inf, math.inf)
        if not pv.advisory and isinstance(value, float | int) and not low <= value <= high:
            raise PutRefused(f"{pv.name}: {value} is outside {low} to {high} by a fault")
        while self.of("hang", pv.name):
            await self._ended.wait()

    async def after_put(self, pv: Pv) -> None:
        """A client's put has done its work: answer later while puts are slow."""
        if slow := self.of("slow", pv.name):
            await self._sleep(max(fault.by or 0.0 for fault in slow))

    def read(self, pv: Pv) -> Value:
        """What clients read."""
        value = pv.value
        for held in self._held:
            fault = held.fault
            if fault.pv != pv.name:
                continue
            if fault.fault in ("stuck", "invalid"):
                value = held.before
            elif not isinstance(value, float):
                continue
            elif fault.fault == "nan":
                value = math.nan
            elif fault.fault == "spike":
                value += fault.by or 0.0
            elif fault.fault == "drift":
                value += (fault.by or 0.0) * (self._now() - held.began_s)
        return value

    def alarm(self, pv: Pv, reads: Value) -> Alarm:
        """The alarm with which clients read this, such as of a record whose device is silent."""
        if self.of("invalid", pv.name):
            return Severity.INVALID, Status.READ
        return alarm_of(pv, reads)


class FaultCourse:
    """Faults come and go: the planned ones by themselves, others when they are begun.

    Args:
        planned: each begins at its time after the first put.
        active: those that hold.
        now: the lab time in seconds.
        sleep: waits for lab time.
        begin: what a fault does to the server when it begins.
        end: what is to be done when it is over.
    """

    def __init__(
        self,
        planned: Sequence[Fault],
        active: ActiveFaults,
        now: Callable[[], float],
        sleep: Sleep,
        begin: Callable[[Fault], Awaitable[None]],
        end: Callable[[Fault], Awaitable[None]],
    ) -> None:
        self._planned = sorted(planned, key=lambda fault: fault.at_s)
        self._active = active
        self._now = now
        self._sleep = sleep
        self._begin = begin
        self._end = end
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Let the planned faults come, until cancelled."""
        await self._active.first_put.wait()
        start = self._now()
        for fault in self._planned:
            await self._sleep(max(0.0, start + fault.at_s - self._now()))
            self.start(fault)

    def start(self, fault: Fault) -> None:
        """Let a fault begin now."""
        task = asyncio.create_task(self._happen(fault))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def clear(self) -> None:
        """End all that hold now."""
        for task in self._tasks:
            task.cancel()

    async def _happen(self, fault: Fault) -> None:
        try:
            await self._begin(fault)
            await self._sleep(fault.for_s)
        finally:
            await asyncio.shield(self._end(fault))
