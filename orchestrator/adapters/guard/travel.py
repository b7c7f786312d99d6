"""Lets the axes of one plan go: within limits, joint constraints, steps and rates."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bluesky.utils import Msg, MsgGenerator

from orchestrator.adapters.guard.axes import Aim, stands
from orchestrator.adapters.guard.budgets import Budgets, Tally
from orchestrator.adapters.instruments.conditions import Conditions
from orchestrator.adapters.instruments.device_paths import DevicePaths
from orchestrator.domain.envelope import Envelope
from orchestrator.domain.errors import EnvelopeError
from orchestrator.domain.trial import ParameterValue
from orchestrator.domain.whereabouts import Whereabouts

OWN = "the guard's own"
"""Group of moves that the plan did not ask for."""

NOBODY_WAITS = "nobody waits for it"
"""Group of what is sent by staging and configuring."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What one attempt is held to."""

    envelope: Envelope
    settings: Mapping[str, ParameterValue]
    """Where the trial is meant to be, by dotted name."""
    metadata: Mapping[str, Any]
    """For every RunStart document."""
    wait_s: float
    """Timeout of a wait that has none, in seconds."""
    time_scale: float
    """Seconds of lab time in one second: sleeps are divided by it."""
    at: Callable[[str], Any]
    """The device at a dotted path."""
    attended: bool = False
    """True when somebody answers what the plan asks."""
    conditions: Conditions | None = None
    """Whose actions are due; None for moves that belong to no attempt."""
    hold_s: float | None = None
    """Longest time that a tripped condition may hold the plan; None does not hold it."""
    budgets: Budgets | Tally | None = None
    paces: dict[str, float] = field(default_factory=dict[str, float])
    """When each axis may be set again, by the clock: kept from plan to plan."""
    clock: Callable[[], float] = time.monotonic
    """Seconds; where a plan is only walked, those that it would take."""


class Travel:
    """What is on its way in one plan, and what may go."""

    def __init__(self, paths: DevicePaths, terms: Terms) -> None:
        self._paths = paths
        self._terms = terms
        self._where = Whereabouts(terms.envelope.constraints)
        self._wanted = _numbers(terms.settings)
        self._sent: dict[Hashable, dict[str, float]] = defaultdict(dict)
        self._going: tuple[str, float] | None = None
        """The axis that is set in steps next, and the length of that step."""

    def arrived(self, group: Hashable) -> None:
        """What was sent in this group is there."""
        for axis, target in self._sent.pop(group, {}).items():
            self._where.arrive(axis, target)

    def started(self) -> None:
        """The set that was approached last has been given."""
        if self._going is not None:
            self._reserve(*self._going)
            self._going = None

    def send(self, axes: list[Aim], group: Hashable = NOBODY_WAITS) -> MsgGenerator[None]:
        """Let them go, if they may; until the group is waited for they may be anywhere between."""
        moved = yield from self.judge(axes)
        # A setpoint written directly is done long before its axis is there.
        paths = {path for path, _ in axes}
        self._sent[group] |= {axis: target for axis, target in moved.items() if axis in paths}
        for axis, target in moved.items():
            self._where.send(axis, target)

    def judge(self, axes: Iterable[Aim]) -> MsgGenerator[dict[str, float]]:
        """The constrained axes among these; all of them may go where they are sent.

        Raises:
            EnvelopeError: one may not.
        """
        envelope, found = self._terms.envelope, list(axes)
        breaches = [told for path, value in found if (told := envelope.breach(path, value))]
        moved = {} if breaches else self._constrained(found)
        for name in self._where.unknown(moved) if moved else ():
            device = self._terms.at(name)
            tolerance = self._paths.spec(name).tolerance
            self._where.place(name, (yield from stands(device, tolerance)))
        breaches += self._where.breaches(moved, self._wanted) if moved else ()
        if breaches:
            raise EnvelopeError(breaches)
        return moved

    def _constrained(self, axes: Iterable[Aim]) -> dict[str, float]:
        found = ((self._where.axis(path), value) for path, value in axes)
        return {axis: float(value) for axis, value in found if axis is not None}

    def approach(self, path: str, device: Any, target: float | None) -> MsgGenerator[None]:
        """Go towards the target in steps that are small and late enough; the last one is left."""
        spec = self._paths.spec(path)
        if target is None:
            raise EnvelopeError([f"{path} has a largest step, so it is set one axis at a time"])
        step = spec.max_step or spec.max_rate or math.inf
        places = yield from stands(device, spec.tolerance)
        at = max(places, key=lambda place: abs(place - target))
        if not math.isfinite(at):
            raise EnvelopeError([f"{path} reads {at}, so how far it would go is not known"])
        count = max(1, math.ceil(abs(target - at) / step * (1 - 1e-12)))
        length = abs(target - at) / count
        for number in range(1, count):
            place = at + (target - at) * number / count
            if breach := self._terms.envelope.breach(path, place):
                raise EnvelopeError([breach])
            yield from self._paced(path)
            yield Msg("set", device, place, group=OWN)
            self._reserve(path, length)
            yield Msg("wait", None, group=OWN, timeout=spec.timeout_s or self._terms.wait_s)
        yield from self._paced(path)
        self._going = path, length

    def _paced(self, path: str) -> MsgGenerator[None]:
        """Wait until the axis may be set again; parts of one device share their time."""
        ready = self._terms.paces.get(path.split(".")[0], -math.inf)
        if (left := ready - self._terms.clock()) > 0:
            yield Msg("sleep", None, left)

    def _reserve(self, path: str, length: float) -> None:
        """The axis has just been set: from now on its way there takes its time."""
        if (rate := self._paths.spec(path).max_rate) is not None:
            takes_s = length / rate / self._terms.time_scale
            self._terms.paces[path.split(".")[0]] = self._terms.clock() + takes_s


def _numbers(settings: Mapping[str, ParameterValue]) -> dict[str, float]:
    return {
        path: float(value)
        for path, value in settings.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
