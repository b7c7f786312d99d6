"""A setpoint with its own readback: heaters, pumps, supplies, flow controllers."""

import math
import threading
from typing import Any

from ophyd import Component, Device, EpicsSignal, EpicsSignalRO, Kind
from ophyd.status import Status
from ophyd.utils import LimitError

from devices.errors import Stopped, Superseded
from devices.move import Move


class SetpointReadback(Device):
    """Moves by a put to `{prefix}:SP` and is there when `{prefix}:RB` says so.

    A set is done only when the server has taken exactly this setpoint and a fresh reading of the
    readback is within the tolerance. It fails, and is never done, when the server refuses the
    put, when anyone changes the setpoint on the way, when it is stopped, and at the timeout. A 1
    to `{prefix}:STOP` must hold the device at its readback.

    Args:
        prefix: start of the PV names.
        name: of the device; the readback carries it as its data key.
        unit: for documents and screens; empty takes the server's.
        tolerance: largest distance of the readback from the setpoint that counts as there.
        limits: lowest and highest setting allowed; None takes the server's control limits.
        settle_s: seconds that it must have been there before the set is done.
        timeout_s: seconds, beside `settle_s`, after which a set fails.
    """

    readback = Component(EpicsSignalRO, ":RB", kind=Kind.hinted)
    setpoint = Component(EpicsSignal, ":SP", kind=Kind.normal)
    hold = Component(EpicsSignal, ":STOP", kind=Kind.omitted)
    # It wakes a waiting move. `readback` itself has no monitor, so that each reading is fresh.
    changes = Component(EpicsSignalRO, ":RB", kind=Kind.omitted, auto_monitor=True)

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        unit: str = "",
        tolerance: float,
        limits: tuple[float, float] | None = None,
        settle_s: float = 0.0,
        timeout_s: float = 60.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.readback.name = self.name
        self.tolerance = tolerance
        self.settle_s = settle_s
        self.timeout_s = timeout_s
        self._unit = unit
        self._limits = (float(limits[0]), float(limits[1])) if limits else None
        self._move: Move | None = None
        self._has_moved = False
        """True once this client has set it: from then on it knows which moves are its own."""
        self._lock = threading.Lock()
        self.changes.subscribe(self._wake, run=False)

    @property
    def position(self) -> float:
        """A fresh reading of the readback."""
        return float(self.readback.get())

    @property
    def moving(self) -> bool:
        """True from a set until it is done; still True after a timeout, until stopped.

        Before its first set, also while it follows what another client set, one that died perhaps.
        """
        return self._move is not None or not (self._has_moved or self._is_there())

    @property
    def unit(self) -> str:
        """Engineering unit, empty if none."""
        return self._unit or str(self.setpoint.metadata.get("units") or "")

    @property
    def ioc_limits(self) -> tuple[float, float] | None:
        """The server's own control limits; None when it has none."""
        low, high = self.setpoint.limits
        return (float(low), float(high)) if None not in (low, high) and low < high else None

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest setting allowed; two equal numbers mean none."""
        return self._limits or self.ioc_limits or (0.0, 0.0)

    def check_value(self, value: float, **_: Any) -> None:
        """Pass when the device may be set to this.

        Raises:
            LimitError: outside the limits or not finite.
        """
        low, high = self.limits
        if not math.isfinite(value):
            raise LimitError(f"{self.name}: {value} is not a finite number")
        if low < high and not low <= value <= high:
            raise LimitError(
                f"{self.name}: {value} is outside {low} to {high} {self.unit}".rstrip()
            )

    def set(self, value: float) -> Status:
        """Move; the status is done when the device is there.

        Raises:
            LimitError: outside the limits or not finite; nothing was moved.
        """
        target = float(value)
        self.check_value(target)
        status = Status(self, timeout=self.timeout_s + self.settle_s)
        move = Move(self, target, status)
        with self._lock:
            if self._move is not None:
                self._move.end(Superseded(f"{self.name}: set to {target} on the way"))
            self._move, self._has_moved = move, True
            try:
                self.setpoint.put(target, use_complete=True, callback=move.acknowledge)
            except Exception as error:  # the status is the one place where a caller looks
                self._move = None
                move.end(error)
                return status
        move.start()
        return status

    def stop(self, *, success: bool = False) -> None:
        """Hold at the current readback; writes nothing when it is not moving.

        The RunEngine calls this on all that moved, also after a run that went well.
        """
        if not self.moving:
            return
        with self._lock:
            move, self._move = self._move, None
            try:
                self.hold.put(1)
            finally:
                if move is not None:
                    move.end(Stopped(f"{self.name}: stopped on the way to {move.target}"))

    def describe(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Data keys of readback and setpoint, with the unit."""
        keys: Any = super().describe()
        return {name: {**key, "units": self.unit} for name, key in keys.items()}

    def forget(self, move: Move) -> None:
        """The move has ended by itself: from now on there is nothing to stop."""
        with self._lock:
            if self._move is move:
                self._move = None

    def _is_there(self) -> bool:
        return abs(self.position - float(self.setpoint.get())) <= self.tolerance

    def _wake(self, **_: Any) -> None:
        move = self._move
        if move is not None:
            move.look()
