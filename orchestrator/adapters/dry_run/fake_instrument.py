"""The devices of an instrument file as fakes, for plans that are only looked at.

Each class is the one that the file names, with every EPICS signal in it replaced by one that lives
in memory (``ophyd.sim.make_fake_device``; ophyd-async devices are connected with ``mock=True``).
Nothing is ever done by a fake: what a message orders is put down by whoever walks the plan, and an
order that reaches a fake in another way is reported.
"""

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from orchestrator.adapters.dry_run.fake_epics import Report
from orchestrator.adapters.instruments.device_parts import signals, subdevices
from orchestrator.adapters.instruments.device_paths import DevicePaths
from orchestrator.adapters.instruments.instrument_devices import InstrumentDevices
from orchestrator.adapters.walks.done import Done
from orchestrator.domain.errors import DeviceUnavailable
from orchestrator.domain.spec import InstrumentSpec

ORDERS = (
    "set", "put", "move", "trigger", "stage", "unstage", "configure", "prepare", "kickoff",
    "complete",
)  # fmt: skip
"""Methods by which a device is told to do something."""
_POSITIONS = ("user_setpoint", "setpoint", "user_readback", "readback")
"""Where ophyd's devices and ours keep where they should be and where they are."""


class _MadeUp(dict[str, Any]):
    """The reading of a detector that learns from its server what it reads: 0 of anything."""

    def __missing__(self, key: str) -> dict[str, Any]:
        return {"value": 0.0, "timestamp": time.time()}


class FakeInstrument(InstrumentDevices):
    """Makes every device when it is made; each stands in the middle of its limits.

    Args:
        instrument: the instrument file.
        report: see ``fake_epics.Report``.
        adopted: what the lab's code made, in this process: its EPICS signals are fakes already.

    Raises:
        DeviceUnavailable: listing all that cannot be made, and why.
    """

    def __init__(
        self, instrument: InstrumentSpec, report: Report, adopted: Mapping[str, Any] | None = None
    ) -> None:
        from devices.errors import DevicesUnavailable
        from devices.loader import load

        entries = {name: one.model_dump(by_alias=True) for name, one in instrument.devices.items()}
        try:
            self.all = load(entries, connect_timeout_s=10.0, stand_in=_fake, ready=adopted)
        except DevicesUnavailable as error:
            raise DeviceUnavailable(str(error)) from error
        self._instrument = instrument
        self._loop = asyncio.new_event_loop()
        self._report = report
        self._placed: dict[int, Any] = {}
        self._keys: dict[int, list[str]] = {}
        """Which keys of a reading say where a device stands, found once: hints take long."""
        self.paths = DevicePaths(instrument, self.all)
        for device in self.all.values():
            if inspect.iscoroutinefunction(getattr(device, "connect", None)):
                self._loop.run_until_complete(device.connect(mock=True))
            for part in parts(device):
                self._watch(part)
        self.reset()

    def reset(self) -> None:
        """Let everything stand in the middle of its limits again."""
        self._placed.clear()
        for device in self.all.values():
            for part in parts(device):
                path = self.paths.path(part)
                limits = self._instrument.limits(path) if path is not None else None
                if limits is not None and self._is_axis(device, part):
                    self.place(part, (limits[0] + limits[1]) / 2)

    def place(self, device: Any, value: Any) -> None:
        """Let a device stand somewhere."""
        self._placed[id(device)] = value
        if not isinstance(value, (int, float, str)):
            return
        for signal in (device, *(getattr(device, name, None) for name in _POSITIONS)):
            sim_put = getattr(signal, "sim_put", None)
            if sim_put is not None:
                sim_put(value)

    def position(self, device: Any) -> float | None:
        """Where a device stands; None when nobody has said so, or it is no number."""
        value = self._placed.get(id(device))
        return float(value) if isinstance(value, (int, float)) else None

    def read(self, device: Any) -> dict[str, Any]:
        """What a message ``read`` gives."""
        return device.read()

    def describe(self, device: Any) -> dict[str, Any]:
        """The data keys of a device."""
        return dict(self._awaited(device.describe()))

    def go(self, device: Any, value: Any) -> None:
        """Let a device stand there; one without EPICS judges the value itself: its limits are real.

        How long it takes is not known here.
        """
        check = getattr(device, "check_value", None)
        if check is not None and not hasattr(device, "walk_signals") and _is_plain(device):
            self._awaited(check(value))
        self.place(device, value)

    def _is_axis(self, device: Any, part: Any) -> bool:
        """True for the device itself, or each axis of one that is no axis itself."""
        return hasattr(part, "set") and (part is device or not hasattr(device, "set"))

    def _watch(self, part: Any) -> None:
        """Answer readings from where it was placed, and carry out no order that is no message."""
        path = self.paths.path(part) or getattr(part, "name", repr(part))
        read = getattr(part, "read", None)
        if read is not None:
            part.read = lambda: self._reading(part, read)
        for order in ORDERS:
            if callable(getattr(part, order, None)):
                setattr(part, order, self._reported(path, order))

    def _reported(self, path: str, order: str) -> Callable[..., Any]:
        def ordered(*_: Any, **__: Any) -> Any:
            self._report(path, order)
            return [] if order in ("stage", "unstage") else Done()

        return ordered

    def _reading(self, part: Any, read: Callable[[], Any]) -> dict[str, Any]:
        reading = dict(self._awaited(read()))
        value = self._placed.get(id(part))
        if value is None or isinstance(value, Mapping):
            return reading or _MadeUp()
        keys = self._keys.get(id(part))
        if keys is None:
            hinted = (getattr(part, "hints", None) or {}).get("fields", ())
            keys = [key for key in (part.name, *hinted) if key in reading][:1] or [part.name]
            keys += [key for key in reading if key.endswith("setpoint")]
            self._keys[id(part)] = keys
        return reading | {key: {"value": value, "timestamp": time.time()} for key in keys}

    def _awaited(self, given: Any) -> Any:
        return self._loop.run_until_complete(given) if inspect.isawaitable(given) else given


def parts(device: Any) -> Iterator[Any]:
    """A device and all its parts, in whichever library it is written."""
    yield device
    yield from subdevices(device)
    yield from signals(device)
    for part in [*vars(device).values()]:
        if getattr(part, "parent", None) is device and not hasattr(device, "walk_subdevices"):
            yield from parts(part)


def _fake(found: Any) -> Any:
    """The class with fakes in the place of its signals; a class without EPICS as it is."""
    import ophyd
    from ophyd.sim import make_fake_device

    is_device = inspect.isclass(found) and issubclass(found, ophyd.Device)
    return make_fake_device(found) if is_device else found


def _is_plain(device: Any) -> bool:
    return not hasattr(device, "sim_put") and not type(device).__module__.startswith("ophyd")
