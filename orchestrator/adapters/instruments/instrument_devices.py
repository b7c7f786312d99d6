"""The devices of an instrument, connected: their names, their conditions, how they stand."""

import asyncio
import inspect
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.adapters.instruments.conditions import Condition, Conditions
from orchestrator.adapters.instruments.device_parts import signals, subdevices
from orchestrator.adapters.instruments.device_paths import DevicePaths
from orchestrator.adapters.instruments.shared_pvs import shared_pvs
from orchestrator.domain.errors import DeviceUnavailable, PlanFailed
from orchestrator.domain.spec import InstrumentSpec

log = logging.getLogger(__name__)

IDENTITY = "LABWRIGHT:INSTANCE"
"""PV in which a twin's server gives its id."""

_STOP_S = 5.0
"""Longest time that one device's stop may take before the next is stopped."""

_ANSWER_S = 2.0


class InstrumentDevices:
    """Connects every device when it is made.

    Args:
        instrument: the instrument file.
        instance: id that the twin's server must give; None asks for none.
        timeout_s: seconds for all connections together.
        time_scale: seconds of lab time in one second.
        adopted: devices that the lab has made, by name.
        suspenders: further conditions, as the lab judges them.
        loop: in which devices of ophyd-async live; None for none of them.

    Raises:
        DeviceUnavailable: listing all that failed, or naming a server that is another one.
    """

    def __init__(
        self,
        instrument: InstrumentSpec,
        instance: str | None,
        timeout_s: float,
        time_scale: float,
        *,
        adopted: Mapping[str, Any] | None = None,
        suspenders: Sequence[Condition] = (),
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._instrument = instrument
        adopted = adopted or {}
        entries = _entries(instrument, instance)
        found = _loaded(entries, timeout_s, time_scale, ready=adopted, loop=loop)
        _check_identity(found.pop(IDENTITY, None), instance)
        signals = {pv: found.pop(pv) for pv in _condition_pvs(instrument)}
        if shared := shared_pvs(found, instrument):
            raise DeviceUnavailable("; ".join(shared))
        self.all: Mapping[str, Any] = found
        """By name, absent optional ones left out."""
        self._signals = list(signals.values())
        self.paths = DevicePaths(instrument, found)
        self.conditions = Conditions(
            [
                Condition(one, signals.get(one.signal) or self._signal(one.signal), time_scale)
                for one in instrument.conditions
            ]
            + list(suspenders),
            self.at,
        )

    def at(self, path: str) -> Any:
        """The device at a dotted path.

        Raises:
            PlanFailed: there is none.
        """
        from devices.errors import NoSuchDevice
        from devices.loader import resolve

        if (root := path.split(".")[0]) in self._instrument.devices and root not in self.all:
            raise PlanFailed(f"the optional device {root!r} is absent, and {path!r} is needed")
        try:
            return resolve(self.all, path)
        except NoSuchDevice as error:
            raise PlanFailed(str(error)) from error

    def present(self, paths: Sequence[str]) -> list[Any]:
        """The devices at these paths, absent optional ones left out."""
        return [self.at(path) for path in paths if path.split(".")[0] in self.all]

    def stop(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        """Stop one device, and wait for it a few seconds; what it raises is logged."""
        thread = threading.Thread(target=self._stop, args=(path, loop), daemon=True)
        thread.start()
        thread.join(_STOP_S)
        if thread.is_alive():
            log.error("%s did not stop within %g s", path, _STOP_S)

    @property
    def are_connected(self) -> bool:
        """False when a required device or a condition's signal has lost its connection."""
        specs = self._instrument.devices
        required = [one for name, one in self.all.items() if not specs[name].optional]
        held = [*required, *self._signals]
        return all(getattr(one, "connected", True) is not False for one in held)

    def unrest(self) -> str | None:
        """Which devices do not answer or are moving; None when all stand still."""
        reasons = [
            f"{name} {reason}" for name, device in self.all.items() if (reason := _unrest(device))
        ]
        return "; ".join(reasons) or None

    def _stop(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        try:
            ended = self.at(path).stop()
            if inspect.isawaitable(ended):
                asyncio.run_coroutine_threadsafe(_awaited(ended), loop).result(_STOP_S)
        except Exception:  # one device that cannot be stopped must not keep the others from it
            log.exception("%s could not be stopped", path)

    def _signal(self, path: str) -> Any:
        try:
            return self.at(path)
        except PlanFailed as error:
            raise DeviceUnavailable(f"condition {path}: {error}") from error


def _entries(instrument: InstrumentSpec, instance: str | None) -> dict[str, dict[str, Any]]:
    """What is to be connected: devices, and the PVs of conditions and of the twin's identity."""
    entries = {
        name: device.model_dump(by_alias=True) for name, device in instrument.devices.items()
    }
    for pv in _condition_pvs(instrument):
        entries[pv] = _pv(pv, auto_monitor=True)
    if instance is not None:
        entries[IDENTITY] = _pv(IDENTITY, string=True)
    return entries


def _condition_pvs(instrument: InstrumentSpec) -> list[str]:
    """Signals of conditions that are no part of a device."""
    signals = dict.fromkeys(condition.signal for condition in instrument.conditions)
    return [signal for signal in signals if signal.split(".")[0] not in instrument.devices]


def _pv(name: str, **kwargs: Any) -> dict[str, Any]:
    return {"class": "ophyd.EpicsSignalRO", "prefix": name, "kwargs": kwargs}


def _loaded(
    entries: Mapping[str, Mapping[str, Any]], timeout_s: float, time_scale: float, **more: Any
) -> dict[str, Any]:
    from devices.errors import DevicesUnavailable
    from devices.loader import load

    try:
        return load(entries, connect_timeout_s=timeout_s, time_scale=time_scale, **more)
    except DevicesUnavailable as error:
        raise DeviceUnavailable(str(error)) from error


def _check_identity(signal: Any, instance: str | None) -> None:
    if signal is None:
        return
    found = str(signal.get())
    signal.destroy()
    if found != instance:
        raise DeviceUnavailable(
            f"another server answers: {IDENTITY} is {found!r}, not {instance!r}"
        )


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _unrest(device: Any) -> str | None:
    if getattr(device, "connected", True) is False:
        return "is not connected"
    try:
        served = (one for one in (device, *signals(device)) if hasattr(one, "pvname"))
        if (signal := next(served, None)) is not None:  # one answer proves the server alive
            signal.get(use_monitor=False, timeout=_ANSWER_S, connection_timeout=_ANSWER_S)
        for part in (device, *subdevices(device)):
            for activity in ("moving", "acquiring"):
                if getattr(part, activity, False):
                    return f"is {activity} ({part.name})"
    except Exception as error:  # timeouts, lost connections, and whatever a lab's class raises
        return f"does not answer ({type(error).__name__})"
    return None
