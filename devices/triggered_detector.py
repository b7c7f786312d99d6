"""A detector that acquires on a put and then holds its result in one PV for each channel."""

import threading
import time
from collections.abc import Sequence
from typing import Any

from ophyd import Component, Device, EpicsSignal, EpicsSignalRO, Kind, get_cl
from ophyd.status import DeviceStatus

from devices.errors import StaleReading


class TriggeredDetector(Device):
    """Acquires by a put of 1 to `{prefix}:TRIGGER`, whose completion means that it has finished.

    The trigger PV may reset itself. After each acquisition the channels are read once; one whose
    time stamp is not newer than before the trigger fails it, so a put that was refused, or that
    ended because the server died, is no result. All time stamps are the server's.

    Args:
        prefix: start of the PV names.
        name: of the device; data keys are `{name}_{channel}`, attributes `{channel}`, both in
            lower case.
        channels: names that follow the prefix; None reads them from `{prefix}:CHANNELS`, a text
            with commas, when the device connects.
        timeout_s: seconds after which a trigger fails.
        message: follows the prefix in the name of a text PV that says why a trigger was refused;
            None if there is none.
    """

    acquire = Component(EpicsSignal, ":TRIGGER", kind=Kind.omitted)

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        channels: Sequence[str] | None = None,
        timeout_s: float = 60.0,
        message: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.timeout_s = timeout_s
        self._message: EpicsSignalRO | None = None
        if message is not None:
            pv = f"{prefix}:{message}"
            self._message = EpicsSignalRO(
                pv, name=f"{name}_message", string=True, auto_monitor=False
            )
        self._channels: dict[str, EpicsSignalRO] = {}
        self._result: dict[str, Any] | None = None
        self._busy = threading.Lock()
        self._names: EpicsSignalRO | None = None
        if channels is None:
            self._names = EpicsSignalRO(f"{prefix}:CHANNELS", name=f"{name}_channels", string=True)
        else:
            self._add_channels(channels)

    @property
    def channels(self) -> tuple[str, ...]:
        """Attribute names of the channels; empty before they are known."""
        return tuple(self._channels)

    @property
    def hints(self) -> dict[str, list[str]]:
        """Every channel is worth showing."""
        return {"fields": [signal.name for signal in self._channels.values()]}

    @property
    def connected(self) -> bool:
        """True when the trigger and all channels are connected."""
        return (
            super().connected
            and bool(self._channels)
            and all(signal.connected for signal in self._channels.values())
        )

    def wait_for_connection(self, all_signals: bool = False, timeout: Any = 10.0) -> None:
        """Connect; learns the names of the channels if they were not given.

        Args:
            all_signals: also lazy ones.
            timeout: seconds for all of it.

        Raises:
            TimeoutError: names what is not connected.
        """
        deadline = time.monotonic() + timeout
        if self._names is not None and not self._channels:
            self._names.wait_for_connection(timeout=timeout)
            self._add_channels(str(self._names.get()).split(","))
        super().wait_for_connection(all_signals, max(deadline - time.monotonic(), 0.01))
        for signal in (*self._channels.values(), *([self._message] if self._message else [])):
            signal.wait_for_connection(timeout=max(deadline - time.monotonic(), 0.01))

    @property
    def acquiring(self) -> bool:
        """True while the server acquires, whoever has triggered it."""
        return bool(self.acquire.get(use_monitor=False))

    def trigger(self) -> DeviceStatus:
        """Acquire; the status is done when the channels hold the new result."""
        status = DeviceStatus(self, timeout=self.timeout_s)
        get_cl().thread_class(target=self._acquire, args=(status,), daemon=True).start()
        return status

    def read(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The result of the last trigger; what the channels hold now if there was none.

        Each with `alarm_severity`, which is EPICS' number: 0 for no alarm, 3 for INVALID.
        """
        return dict(self._result or self._read_channels())

    def describe(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Data keys of all channels."""
        keys: dict[str, Any] = {}
        for signal in self._channels.values():
            keys.update(signal.describe())
        return keys

    def destroy(self) -> None:
        """Disconnect for good."""
        for signal in (*self._channels.values(), self._names, self._message):
            if signal is not None:
                signal.destroy()
        super().destroy()

    def _add_channels(self, names: Sequence[str]) -> None:
        for channel in filter(None, (name.strip() for name in names)):
            attribute = channel.lower()
            if not attribute.isidentifier() or hasattr(type(self), attribute):
                raise ValueError(f"{self.name}: {channel!r} cannot be the name of a channel")
            signal = EpicsSignalRO(
                f"{self.prefix}:{channel}", name=f"{self.name}_{attribute}", auto_monitor=False
            )
            self._channels[attribute] = signal
            setattr(self, attribute, signal)

    def _acquire(self, status: DeviceStatus) -> None:
        """Runs in a thread of its own, as Channel Access reads block."""
        try:
            with self._busy:
                before = self._read_channels()
                done = threading.Event()
                self.acquire.put(1, use_complete=True, callback=lambda **_: done.set())
                if not done.wait(self.timeout_s):
                    return  # the status has timed out by itself
                result = self._read_channels()
                self._check_newer(before, result)
                self._result = result
        except Exception as error:  # a thread has no caller: what went wrong goes to the status
            status.set_exception(error)
        else:
            status.set_finished()

    def _read_channels(self) -> dict[str, Any]:
        readings: dict[str, Any] = {}
        for signal in self._channels.values():
            readings.update(signal.read())
            severity = getattr(signal, "alarm_severity", None)  # ophyd's fakes have none
            readings[signal.name]["alarm_severity"] = int(severity or 0)
        return readings

    def _check_newer(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        stale = [key for key in after if after[key]["timestamp"] <= before[key]["timestamp"]]
        if stale:
            words = str(self._message.get()) if self._message is not None else ""
            raise StaleReading(
                f"{self.name}: the trigger brought nothing new in {', '.join(stale)}"
                + (f": {words}" if words else "")
            )
