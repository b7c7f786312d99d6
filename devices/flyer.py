"""A motor that moves in one go while a signal is watched: a scan without stops."""

import math
from collections.abc import Iterator
from typing import Any

from ophyd import Component, Device, EpicsMotor, EpicsSignalRO, FormattedComponent, Kind, Signal
from ophyd.status import DeviceStatus, Status

from devices.errors import DeviceError, MoveFailed

Samples = list[tuple[float, float]]
"""Time stamp of the server, Unix seconds, and value."""


class Flyer(Device):
    """Moves its axis to `stop_at` at one speed, and takes down each value of a signal on the way.

    Each sample has the position that the axis had at the time of its value, from the readbacks
    before and after it; time stamps are the server's, so both records belong in one IOC or into
    IOCs with the same time. What comes before the first readback of the flight is left out.

    Args:
        prefix: name of the motor record.
        name: of the device; data keys are `{name}_axis` and `{name}_signal`.
        signal: PV that is watched.
        speed: of the flight, in the axis' unit per second; None takes the motor's own. It is set
            when the flyer is staged, and set back when unstaged.
        tolerance: how far from `stop_at` the flight may end, in the axis' unit.
        timeout_s: seconds after which a flight fails.
    """

    axis: Any = Component(EpicsMotor, "", kind=Kind.omitted)
    stop_at: Any = Component(Signal, value=0.0, kind=Kind.config)
    signal: Any = FormattedComponent(
        EpicsSignalRO, "{_signal_pv}", kind=Kind.omitted, auto_monitor=True
    )

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        signal: str,
        speed: float | None = None,
        tolerance: float = 1e-3,
        timeout_s: float = 300.0,
        **kwargs: Any,
    ) -> None:
        self._signal_pv = signal
        super().__init__(prefix, name=name, **kwargs)
        self.tolerance = tolerance
        self.timeout_s = timeout_s
        if speed is not None:
            self.stage_sigs["axis.velocity"] = speed
        self._positions: Samples = []
        self._values: Samples = []
        self._landed: DeviceStatus | None = None
        """Of the last flight; None before the first."""

    def kickoff(self) -> DeviceStatus:
        """Start the flight; the status is done at once.

        Raises:
            DeviceError: it is flying already.
            LimitError: `stop_at` is outside the limits of the axis; nothing moves.
        """
        if self._is_flying:
            raise DeviceError(f"{self.name} is flying already")
        target = float(self.stop_at.get())
        self.axis.check_value(target)
        self._positions, self._values = [], []
        self.axis.user_readback.subscribe(self._take_position, run=False)
        self.signal.subscribe(self._take_value, run=False)
        self._landed = landed = DeviceStatus(self)
        # Not `axis.move`: a motor that has just ended a move may end the next one by its news.
        move = Status(self.axis, timeout=self.timeout_s)
        move.add_callback(lambda move: self._land(move, landed))
        try:
            self.axis.user_setpoint.put(
                target, use_complete=True, callback=lambda **_: move.done or move.set_finished()
            )
        except Exception as error:
            move.set_exception(error)  # the flight ends, so that another may begin
            raise
        started = DeviceStatus(self)
        started.set_finished()
        return started

    @property
    def _is_flying(self) -> bool:
        return self._landed is not None and not self._landed.done

    def complete(self) -> DeviceStatus:
        """The status is done when the axis has arrived; it fails when it stopped elsewhere.

        Raises:
            DeviceError: it has never flown.
        """
        if self._landed is None:
            raise DeviceError(f"{self.name} is not flying")
        return self._landed

    def describe_collect(self) -> dict[str, Any]:
        """Data keys of the stream `primary`."""
        axis = self.axis.describe()[self.axis.name]
        return {"primary": {self.axis.name: axis, **self.signal.describe()}}

    def collect(self) -> Iterator[dict[str, Any]]:
        """One event for each value of the signal during the flight."""
        import numpy as np

        if not self._positions:
            return
        times, positions = np.array(self._positions).T
        for at, value in self._values:
            if times[0] <= at <= times[-1]:
                position = float(np.interp(at, times, positions))
                data = {self.axis.name: position, self.signal.name: value}
                yield {"time": at, "data": data, "timestamps": dict.fromkeys(data, at)}

    def stop(self, *, success: bool = False) -> None:
        """Stop the axis where it is; writes nothing when it does not move.

        The flight ends when the axis stands.
        """
        if self._is_flying or self.axis.moving:
            self.axis.motor_stop.put(1, wait=False)

    def _take_position(self, *, value: Any, timestamp: float, **_: Any) -> None:
        self._positions.append((timestamp, float(value)))

    def _take_value(self, *, value: Any, timestamp: float, **_: Any) -> None:
        self._values.append((timestamp, float(value)))

    def _land(self, move: Any, landed: DeviceStatus) -> None:
        error, stands = move.exception(), math.nan
        try:
            stands = float(self.axis.user_readback.get(use_monitor=False))
        except Exception as unread:  # its IOC is gone; a flight without an end bars all later ones
            error = error or unread
        self.axis.user_readback.clear_sub(self._take_position)
        self.signal.clear_sub(self._take_value)
        target = float(self.stop_at.get())
        if error is None and abs(stands - target) > self.tolerance:
            error = MoveFailed(f"{self.name}: the flight to {target} ended on {stands}")
        if error is None:
            landed.set_finished()
        else:
            landed.set_exception(error)
