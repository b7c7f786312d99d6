"""What a twin offers, in plain Python: process variables and the instrument that owns them.

Nothing here knows EPICS; `simulators.ioc` puts it on the network.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Value = float | int | str

Sleep = Callable[[float], Awaitable[None]]
"""Waits for so many seconds of lab time."""


class PutRefused(ValueError):
    """The instrument does not accept this value."""


@dataclass
class Pv:
    """One process variable.

    Attributes:
        name: the full EPICS name.
        value: the value now; its type (float, int, str) is the type for good.
        unit: engineering unit, empty if none.
        what: what it is, in a few words.
        limits: a put outside is refused; clients read them as control limits. None: any value.
        precision: digits after the point that a screen shows.
        put: called with each accepted number; the put is complete when it returns. It is the one
            who changes `value`. None: clients may only read, unless there is `take`.
        anyone: True when every client may put it, whoever drives: it stops something.
        heartbeat: published anew every second, so that its age says that the server lives.
        advisory: True when `limits` are only shown to clients and `put` judges what lies outside.
        narrowed: limits by a fault, which an advisory `put` keeps beside its own; None for none.
        choices: texts of an enumeration, of which `value` is the index; none for a number.
        alias: a second name for the same; empty for none.
        take: the same as `put` for a text.
        room: longest text that a client may put, in characters; 0 for as long as `value`.
    """

    name: str
    value: Value
    unit: str = ""
    what: str = ""
    limits: tuple[float, float] | None = None
    precision: int = 4
    put: Callable[[float], Awaitable[None]] | None = None
    anyone: bool = False
    heartbeat: bool = False
    advisory: bool = False
    narrowed: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    alias: str = ""
    take: Callable[[str], Awaitable[None]] | None = None
    room: int = 0
    changed: bool = False

    def post(self, value: Value) -> None:
        """Give it a new value with a new time stamp, also if the value is the same."""
        self.value = value
        self.changed = True

    @property
    def is_writable(self) -> bool:
        """True when clients may put it."""
        return self.put is not None or self.take is not None

    async def accept(self, value: float | str) -> None:
        """Take a client's put.

        Raises:
            PutRefused: read-only, not finite, outside the limits, or a text that is too long.
        """
        if self.take is not None:
            text = str(value)
            if len(text) > max(self.room, len(str(self.value))):
                raise PutRefused(f"{self.name} has room for {self.room} characters: {text!r}")
            return await self.take(text)
        if self.put is None or isinstance(value, str):
            raise PutRefused(f"{self.name} is read-only")
        if not math.isfinite(value):
            raise PutRefused(f"{self.name}: {value} is not a finite number")
        if self.choices and value not in range(len(self.choices)):
            raise PutRefused(f"{self.name}: {value} is none of {', '.join(self.choices)}")
        low, high = self.limits or (-math.inf, math.inf)
        if not self.advisory and not low <= value <= high:
            raise PutRefused(
                f"{self.name}: {value} is outside {low} to {high} {self.unit}".rstrip()
            )
        await self.put(value)


class Instrument(Protocol):
    """A simulated instrument.

    One with area detectors has their `Camera` in `cameras`, by the prefix of its PV names before
    `cam1:`: frames are no process variables, and whoever is in the same process is fed with them.
    """

    @property
    def pvs(self) -> Sequence[Pv]:
        """All its process variables."""
        ...

    def step(self, seconds: float) -> bool:
        """Let so much lab time pass; True while something still moves."""
        ...
