"""Follows one move of a setpoint until the readback is there."""

import math
import threading
import time
from typing import TYPE_CHECKING, Any

from ophyd import EpicsSignalRO, get_cl
from ophyd.status import Status

from devices.errors import MoveFailed, PutRefused, SetpointChanged

if TYPE_CHECKING:
    from devices.setpoint_readback import SetpointReadback

LOOK_AGAIN_S = 0.25
"""Longest time between two looks at the server while a move is on its way."""


class Move:
    """One set on its way. A thread of its own follows it, as Channel Access reads block.

    Args:
        device: that moves.
        target: where to.
        status: to be finished when it is there, or when it is clear that it will not be.
    """

    def __init__(self, device: "SetpointReadback", target: float, status: Status) -> None:
        self.target = target
        self._device = device
        self._status = status
        self._acknowledged = False
        self._ended = False
        self._news = threading.Event()
        self._lock = threading.Lock()
        self._thread = get_cl().thread_class(target=self._follow, daemon=True)
        self._taken = False
        self._there_since: float | None = None

    def start(self) -> None:
        """Follow the move, once the setpoint has been put."""
        self._thread.start()

    def look(self) -> None:
        """The readback has changed."""
        self._news.set()

    def acknowledge(self, **_: Any) -> None:
        """The put is complete. pyepics says so of a refused put, too: the value must be checked."""
        self._acknowledged = True
        self._news.set()

    def end(self, error: Exception | None = None) -> None:
        """Finish the status, once; whoever comes second changes nothing."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
        if error is None:
            self._status.set_finished()
        else:
            self._status.set_exception(error)
        self._news.set()

    def _follow(self) -> None:
        try:
            while not (self._ended or self._status.done):
                by_itself = not self._news.wait(self._patience())
                self._news.clear()
                if self._acknowledged and (
                    by_itself or not self._taken or self._near(self._device.changes)
                ):
                    self._confirm()
        except Exception as error:  # a thread has no caller: what went wrong goes to the status
            self.end(error)  # the device may still be moving, so there is something to stop

    def _confirm(self) -> None:
        """Ask the server, not the last monitor, and end the move if it is over."""
        setpoint = float(self._device.setpoint.get())
        if not math.isclose(setpoint, self.target, rel_tol=1e-6, abs_tol=1e-9):
            self._device.forget(self)
            self.end(self._lost(setpoint))
            return
        self._taken = True
        if not self._near(self._device.readback):
            self._there_since = None
            return
        now = time.monotonic()
        self._there_since = self._there_since or now
        if now - self._there_since >= self._device.settle_s:
            self._device.forget(self)
            self.end()

    def _near(self, readback: EpicsSignalRO) -> bool:
        return abs(float(readback.get()) - self.target) <= self._device.tolerance

    def _patience(self) -> float:
        if self._there_since is None:
            return LOOK_AGAIN_S
        left = self._there_since + self._device.settle_s - time.monotonic()
        return min(max(left, 0.001), LOOK_AGAIN_S)

    def _lost(self, setpoint: float) -> MoveFailed:
        name, target = self._device.name, self.target
        if self._taken:
            return SetpointChanged(f"{name}: someone set {setpoint} on the way to {target}")
        return PutRefused(f"{name}: the server refused {target} and stays at {setpoint}")
