"""What is wrong with a twin now, and what that does to its process variables."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence

from simulators.alarm import Alarm, Severity, Status, alarm_of
from simulators.faults import Fault
from simulators.pv import PutRefused, Pv, Sleep, Value


class ActiveFaults:
    """The faults that hold now.

    Args:
        now: the lab time in seconds.
        sleep: waits for lab time.
    """

    def __init__(self, now: Callable[[], float], sleep: Sleep) -> None:
        self._now = now
        self._sleep = sleep
        self._faults: list[tuple[Fault, float, Value]] = []
        """Each with when it began, and what clients read then; the same may hold twice."""
        self._ended = asyncio.Event()
        self.first_put = asyncio.Event()
        """Set once a client has put something."""

    def __str__(self) -> str:
        return ", ".join(str(one) for one, _, _ in self._faults)

    def of(self, kind: str, pv: str = "") -> list[Fault]:
        """Those of a kind that hold for a process variable; those of the server without one."""
        return [one for one, _, _ in self._faults if one.fault == kind and one.pv == pv]

    @property
    def drifting(self) -> set[str]:
        """Names of the process variables that read otherwise from moment to moment."""
        return {one.pv for one, _, _ in self._faults if one.fault == "drift"}

    def untripped(self, pv: Pv) -> Value:
        """Its value as it was before the first trip that holds; as it is when none does."""
        before = (
            one for fault, _, one in self._faults if (fault.fault, fault.pv) == ("trip", pv.name)
        )
        return next(before, pv.value)

    def begin(self, fault: Fault, reads: Value) -> None:
        """It holds from now on; clients have read this value last."""
        self._faults.append((fault, self._now(), reads))

    def end(self, fault: Fault) -> Value:
        """It is over; gives what clients had read before it began."""
        first = [one for one, _, _ in self._faults].index(fault)
        _, _, before = self._faults.pop(first)
        self._ended.set()
        self._ended = asyncio.Event()
        return before

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
        for fault, began, reads in self._faults:
            if fault.pv != pv.name:
                continue
            if fault.fault in ("stuck", "invalid"):
                value = reads
            elif not isinstance(value, float):
                continue
            elif fault.fault == "nan":
                value = math.nan
            elif fault.fault == "spike":
                value += fault.by or 0.0
            elif fault.fault == "drift":
                value += (fault.by or 0.0) * (self._now() - began)
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
