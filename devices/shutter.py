"""A shutter that says where it is: safety, fast or sample shutters, gate valves."""

import threading
import time
from typing import Any

from ophyd import Component, Device, EpicsSignal, EpicsSignalRO, Kind, get_cl
from ophyd.status import DeviceStatus
from ophyd.utils import LimitError

from devices.errors import MoveFailed

CLOSED, OPEN = 0, 1

LOOK_AGAIN_S = 0.05
"""Time between two looks at the state, once the order is acknowledged."""


class Shutter(Device):
    """Opens by a 1 to `{prefix}:CMD`, closes by a 0, and is there when `{prefix}:STATE` says so.

    A plain `stop()`, as `quiet` gives it, closes it. The RunEngine's own stop after each plan
    leaves it as it is, so that it can stay open from trial to trial. It protects nothing: that is
    up to the interlock.

    Args:
        prefix: start of the PV names.
        name: of the device; the state carries it as its data key.
        timeout_s: seconds after which a set fails.
    """

    state = Component(EpicsSignalRO, ":STATE", kind=Kind.hinted, auto_monitor=False)
    command = Component(EpicsSignal, ":CMD", kind=Kind.omitted, auto_monitor=False)

    def __init__(self, prefix: str, *, name: str, timeout_s: float = 10.0, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.state.name = self.name
        self.timeout_s = timeout_s

    @property
    def position(self) -> int:
        """A fresh reading: 1 when open, 0 when closed."""
        return int(self.state.get())

    def check_value(self, value: float, **_: Any) -> None:
        """Pass for 1 and 0.

        Raises:
            LimitError: for all else.
        """
        if value not in (CLOSED, OPEN):
            raise LimitError(f"{self.name}: {value!r} is neither 1 (open) nor 0 (closed)")

    def set(self, value: float) -> DeviceStatus:
        """Open (1) or close (0); the status is done when the shutter says that it is there.

        Raises:
            LimitError: any other value; nothing was moved.
        """
        self.check_value(value)
        status = DeviceStatus(self, timeout=self.timeout_s)
        new_thread = get_cl().thread_class
        new_thread(target=self._go, args=(int(value), status), daemon=True).start()
        return status

    def stop(self, *, success: bool = False) -> None:
        """Close; with `success`, as the RunEngine says after every plan, leave it as it is."""
        if not success:
            self.command.put(CLOSED)

    def _go(self, target: int, status: DeviceStatus) -> None:
        """Runs in a thread of its own, as Channel Access reads block."""
        try:
            acknowledged = threading.Event()
            self.command.put(target, use_complete=True, callback=lambda **_: acknowledged.set())
            if not acknowledged.wait(self.timeout_s):
                return  # the status has timed out by itself
            while self.position != target:
                if status.done:
                    return
                self._check_order(target)
                time.sleep(LOOK_AGAIN_S)
            self._check_order(target)
        except Exception as error:  # a thread has no caller: what went wrong goes to the status
            status.set_exception(error)
        else:
            status.set_finished()

    def _check_order(self, target: int) -> None:
        """The server has what was ordered: pyepics also acknowledges a put that was refused."""
        ordered = int(self.command.get())
        if ordered != target:
            raise MoveFailed(
                f"{self.name}: was ordered to {target}, but the server has {ordered}: it refused, "
                "or someone ordered otherwise on the way"
            )
