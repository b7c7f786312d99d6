"""Signals that must be in range for a measurement to count. They protect nothing."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from orchestrator.domain.spec import ActionStep, ConditionSpec

INVALID = 3
"""EPICS alarm severity of a value that means nothing."""

_ANSWER_S = 2.0
"""Seconds that a server has to answer a fresh read."""


class Condition:
    """One signal with its thresholds.

    Once out of range it is good again only when it has passed the resume threshold and has stayed
    there for ``wait_s``.
    """

    def __init__(self, spec: ConditionSpec, signal: Any, time_scale: float) -> None:
        self.seen: str | None = None
        """The first trip since ``watch``; None when there was none."""
        self._spec = spec
        self._signal = signal
        self._wait_s = spec.wait_s / time_scale
        self._tripped = False
        self._good_since: float | None = None
        self._stamp: float | None = None
        """Unix time that came with the newest value; None when it has none."""
        self._lock = threading.Lock()
        signal.subscribe(self._on_value, run=False)
        if "meta" in getattr(signal, "event_types", ()):
            signal.subscribe(self._on_meta, event_type="meta", run=False)

    def tripped(self) -> str | None:
        """Read the signal afresh: why it forbids starting, None when it does not."""
        try:
            value = _fresh(self._signal)
            severity = getattr(self._signal, "alarm_severity", None)
            self._stamp = getattr(self._signal, "timestamp", None)
        except Exception as error:  # timeouts, lost connections, and whatever a lab's class raises
            return self._judged(f"{self._spec.signal} does not answer ({type(error).__name__})")
        return self._judged(self._fault(value, severity))

    @property
    def spec(self) -> ConditionSpec:
        """What the instrument file says."""
        return self._spec

    def look(self) -> None:
        """Note it when the newest value has become too old: no news tells of that."""
        if (fault := self._stale()) is not None:
            self._judged(fault)

    def watch(self) -> None:
        """Forget earlier trips and note the next; one that still lasts is not forgotten."""
        self.seen = self.seen if self._tripped else None

    def _judged(self, fault: str | None) -> str | None:
        """The verdict, given what is wrong with the value that was just seen."""
        with self._lock:
            if fault is not None:
                self.seen = self.seen or fault
                self._tripped, self._good_since = True, None
                return fault
            if not self._tripped:
                return None
            now = time.monotonic()
            self._good_since = self._good_since or now
            if now - self._good_since < self._wait_s:
                return f"{self._spec.signal} is good again, but not yet for {self._spec.wait_s:g} s"
            self._tripped, self._good_since = False, None
            return None

    def _fault(self, value: Any, severity: Any) -> str | None:
        spec, name = self._spec, self._spec.signal
        if severity is not None and int(severity) >= INVALID:
            return f"{name} is in invalid alarm"
        try:
            number = float(value)
        except (TypeError, ValueError):
            return f"{name} reads {value!r}, no number"
        if not math.isfinite(number):
            return f"{name} reads {number}"
        if (old := self._stale()) is not None:
            return old
        shown = f"{name} is {number:g} {spec.unit}".rstrip()
        if spec.suspend_above is not None and number > spec.suspend_above:
            return f"{shown}, above {spec.suspend_above:g}"
        if spec.suspend_below is not None and number < spec.suspend_below:
            return f"{shown}, below {spec.suspend_below:g}"
        if self._tripped and spec.resume_below is not None and number >= spec.resume_below:
            return f"{shown}, not yet below {spec.resume_below:g}"
        if self._tripped and spec.resume_above is not None and number <= spec.resume_above:
            return f"{shown}, not yet above {spec.resume_above:g}"
        return None

    def _stale(self) -> str | None:
        longest = self._spec.stale_after_s
        if longest is None:
            return None
        if self._stamp is None:
            return f"{self._spec.signal} has no time stamp"
        if (age := time.time() - self._stamp) > longest:
            return f"{self._spec.signal} is {age:.0f} s old, more than {longest:g}"
        return None

    def _on_value(
        self, value: Any = None, severity: Any = None, timestamp: Any = None, **_: Any
    ) -> None:
        self._stamp = timestamp
        fault = self._fault(value, severity)
        if fault is not None:
            self._judged(fault)

    def _on_meta(self, connected: bool = True, **_: Any) -> None:
        if not connected:
            self._judged(f"{self._spec.signal} is disconnected")


Action = tuple[Any, float | None]
"""A device, and the value that it is set to; None stops it."""


class Conditions:
    """All conditions of an instrument.

    Args:
        conditions: each of them.
        at: gives the device at a dotted path, for their actions.
    """

    def __init__(self, conditions: Sequence[Condition], at: Callable[[str], Any]) -> None:
        self._conditions = tuple(conditions)
        self._at = at
        # A worker before this one may have acted on a trip, and died.
        self._acted = [one for one in conditions if one.spec.on_resume]

    def tripped(self) -> str | None:
        """Why an attempt must not start now, or was not good at its end; None when all are good."""
        reasons = [reason for one in self._conditions if (reason := one.tripped())]
        return "; ".join(reasons) or None

    def watch(self) -> None:
        """Begin to note trips."""
        for condition in self._conditions:
            condition.watch()

    @property
    def seen(self) -> str | None:
        """The trips since ``watch``; None when there were none."""
        for one in self._conditions:
            one.look()
        return "; ".join(one.seen for one in self._conditions if one.seen) or None

    def on_trip(self) -> list[Action]:
        """What is to be done because of the trips since ``watch``, once for each suspension."""
        new = [one for one in self._conditions if one.seen and one not in self._acted]
        self._acted += new
        return [step for one in new for step in self._actions(one.spec.on_trip)]

    def on_resume(self) -> list[Action]:
        """What is to be done before a plan goes on or begins; nothing once ``resumed``."""
        return [step for one in self._acted for step in self._actions(one.spec.on_resume)]

    def resumed(self) -> None:
        """All of that has been done."""
        self._acted = []

    def _actions(self, steps: Sequence[ActionStep]) -> Iterator[Action]:
        for step in steps:
            yield from ((self._at(path), None) for path in step.stop)
            yield from ((self._at(path), value) for path, value in step.set.items())


def _fresh(signal: Any) -> Any:
    """The value now, from its server and not from the last monitor."""
    if hasattr(signal, "pvname"):
        return signal.get(use_monitor=False, timeout=_ANSWER_S, connection_timeout=_ANSWER_S)
    return signal.get()
