"""Soft devices that write down every command, and plans, for the tests of the safety envelope."""

from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import Msg
from ophyd import Component, Device, PseudoPositioner, PseudoSingle, Signal, SoftPositioner
from ophyd.status import Status

HERE = "tests.unit.adapters.envelope_lab"
TOLD: list[tuple[str, Any]] = []
"""Every command that reached a device: its name and the value."""


class Axis(Device):
    """An axis that is there at once, unless it hangs."""

    setpoint = Component(Signal, value=0.0)
    readback = Component(Signal, value=0.0, kind="hinted")

    def __init__(self, *args: Any, hangs: bool = False, starts: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.readback.name = self.name
        self.hangs = hangs
        self.setpoint.put(starts)
        self.readback.put(starts)

    def set(self, value: float) -> Status:
        TOLD.append((self.name, value))
        self.setpoint.put(value)
        status = Status(self)
        if not self.hangs:
            self.readback.put(value)
            status.set_finished()
        return status


class Real(SoftPositioner):
    """A real axis beneath pseudo axes."""

    def _setup_move(self, position: float, status: Any) -> None:
        TOLD.append((self.name, position))
        super()._setup_move(position, status)


class Mirror(PseudoPositioner):
    """Height and tilt of a mirror on two legs, one metre apart."""

    height = Component(PseudoSingle)
    tilt = Component(PseudoSingle)
    left = Component(Real, init_pos=0.0)
    right = Component(Real, init_pos=0.0)

    def forward(self, position: Any) -> Any:
        target = self.PseudoPosition(*position)
        return self.RealPosition(
            left=target.height - target.tilt / 2, right=target.height + target.tilt / 2
        )

    def inverse(self, position: Any) -> Any:
        real = self.RealPosition(*position)
        return self.PseudoPosition(height=(real.left + real.right) / 2, tilt=real.right - real.left)


class Counter(Device):
    """A detector with a gain that staging raises, and a flight that begins by a kickoff."""

    counts = Component(Signal, value=1.0, kind="hinted")
    gain = Component(Signal, value=1.0)

    def __init__(self, *args: Any, staged_gain: float | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if staged_gain is not None:
            self.stage_sigs["gain"] = staged_gain
        self.gain.subscribe(lambda value, **_: TOLD.append(("gain", value)), run=False)
        self.hook: Any = None

    def trigger(self) -> Status:
        TOLD.append((self.name, "trigger"))
        if self.hook is not None:
            self.hook()
        status = Status(self)
        status.set_finished()
        return status

    def prepare(self, value: Any) -> Status:
        TOLD.append((self.name, value))
        return self.trigger()

    def kickoff(self, **kwargs: Any) -> Status:
        TOLD.append((self.name, kwargs))
        return self.trigger()


def told(*names: str) -> list[Any]:
    """What these were told since the last clearing."""
    return [value for name, value in TOLD if name in names]


def does(detector: Any, messages: list[list[Any]]) -> Any:
    """Carries out messages written as [command, device, value], and reads the detector.

    ``together`` waits for nothing until the next ``wait``.
    """

    @bpp.run_decorator()
    def inner() -> Any:
        for command, *rest in messages:
            yield from _one(command, *rest)
        yield from bps.trigger_and_read([detector])

    yield from inner()


def cleans_up(detector: Any, axis: Any) -> Any:
    """Reads the detector, and whatever comes of that reads it again and sends the axis to 1."""

    def after() -> Any:
        yield Msg("read", detector)
        yield from bps.abs_set(axis, 1, wait=True)

    yield from bpp.finalize_wrapper(does(detector, []), after)


def _one(command: str, device: Any = None, value: Any = None) -> Any:
    match command:
        case "set":
            yield from bps.abs_set(device, value, wait=True)
        case "together":
            yield Msg("set", device, value, group="together")
        case "wait":
            yield from bps.wait("together")
        case "trigger":
            yield from bps.trigger(device, wait=True)
        case "sleep":
            yield from bps.sleep(device)
        case _:
            yield _message(command, device, value)


def _message(command: str, device: Any, value: Any) -> Msg:
    match command:
        case "kickoff":
            return Msg("kickoff", device, **value)
        case "two":
            return Msg("set", device, *value)
        case "prepare":
            return Msg("prepare", device, Flight(*value))
        case "stage":
            return Msg("stage", device)
        case _:
            return Msg(command, device, value)


class Flight:
    """Begin and end of a flight."""

    def __init__(self, start: float, end: float) -> None:
        self.start_position = start
        self.end_position = end
