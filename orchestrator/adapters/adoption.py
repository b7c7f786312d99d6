"""Takes over what a lab has: devices from its factories, databases and startup, its RunEngine.

The lab's code runs here, in the worker, and nowhere else.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bluesky.run_engine import RunEngine

from devices.errors import NoSuchDevice
from devices.loader import dotted as by_dotted_name
from orchestrator.adapters.engine import new_engine, read_beside
from orchestrator.adapters.located import located
from orchestrator.adapters.startup import Startup, StartupFailed, limited
from orchestrator.domain.errors import DeviceUnavailable, PlanFailed, near
from orchestrator.domain.spec import DeviceSpec, InstrumentSpec, SourceSpec

if TYPE_CHECKING:
    from orchestrator.adapters.hosted_engine import HostedEngine


class Adopted:
    """What the lab gave.

    Args:
        instrument: the instrument file.
        session: where the lab's RunEngine and devices are already; None to make them here.

    Raises:
        DeviceUnavailable: something is not there, raised, or took too long; names its key, and
            the line of the instrument file where that can be read.
    """

    def __init__(self, instrument: InstrumentSpec, session: "HostedEngine | None" = None) -> None:
        self._instrument = instrument
        self._session = session
        self.devices: dict[str, Any] = {}
        """Adopted devices by name; they may not be connected yet."""
        self._startup: Startup | None = None
        self._startup_place = ""
        self.engine: RunEngine = (
            session.engine if session else self._told("run_engine", self._first_engine)
        )
        """The lab's RunEngine, a plain one when it has none."""
        for index, source in enumerate(instrument.sources):
            self._take(f"from.{index}", source)
        self._take_defined()
        self.engine = self._told(self._startup_place or "run_engine", self._last_engine)
        self.suspenders = self._told("suspenders", self._suspenders)
        """Those of the instrument file; the RunEngine may have more."""
        self._told("md.required", self._check_metadata)

    def plan(self, name: str) -> Callable[..., Any]:
        """A plan of the startup.

        Raises:
            PlanFailed: it has none of this name.
        """
        names = self._names
        if not callable(names.get(name)):
            plans = [one for one, value in names.items() if inspect.isgeneratorfunction(value)]
            where = "session" if self._session else "startup"
            raise PlanFailed(f"the {where} has no plan {name!r}{near(name, plans)}")
        return names[name]

    @property
    def _names(self) -> Mapping[str, Any]:
        """What the session, else the startup, has defined."""
        if self._session is not None:
            return self._session.names
        return self._startup.names if self._startup else {}

    def _take(self, place: str, source: SourceSpec) -> None:
        is_there = all(map(self._is_defined, source.use))
        if self._session is not None and (is_there or source.startup):  # a startup has run there
            offered = _finder(self._session.names, "the session")
        else:
            if source.startup:
                self._startup_place = f"{place}.startup"
            offered = self._told(f"{place}.{source.kind}", partial(self._offers, source))
        for position, name in enumerate(source.use):
            find = self._names.__getitem__ if self._is_defined(name) else offered
            device = self._told(f"{place}.use.{position}", partial(find, name))
            self.devices[name] = _named(device, name)

    def _is_defined(self, name: str) -> bool:
        return self._session is not None and is_device(self._session.names.get(name))

    def _take_defined(self) -> None:
        """Take the session's own device for one that the instrument file would have made."""
        for name, spec in self._instrument.devices.items():
            if spec.class_ is None or not self._is_defined(name):
                continue
            found = self._names[name]
            made_by = self._told(f"devices.{name}.class", partial(by_dotted_name, spec.class_))
            if inspect.isclass(made_by) and not isinstance(found, made_by):
                text = f"{name!r} of the session is a {type(found).__name__}, no {spec.class_}"
                self._told(f"devices.{name}.class", partial(_refuse, text))
            self.devices[name] = found

    def _first_engine(self) -> RunEngine:
        call = self._instrument.run_engine
        if call is None:
            return new_engine()
        made = by_dotted_name(call.replace(":", "."))
        engine = limited(made, 60.0) if not isinstance(made, RunEngine) else made
        return _an_engine(engine, call)

    def _last_engine(self) -> RunEngine:
        """The RunEngine after the startup, which may have made its own."""
        if self._startup is None:
            return self.engine
        engine = _an_engine(self._startup.names.get("RE"), "RE of the startup")
        if self._instrument.run_engine and engine is not self.engine:
            raise StartupFailed("the startup makes an RE of its own; remove 'run_engine'")
        return engine

    def _offers(self, source: SourceSpec) -> Callable[[str], Any]:
        """What finds a source's device by name."""
        if source.startup:
            self._startup = self._startup or Startup({"RE": self.engine})
            self._startup.run(Path(source.startup), source.timeout_s)
            return _finder(dict(self._startup.names), "the startup")
        if source.happi:
            return limited(lambda: _happi(str(source.happi)), source.timeout_s)
        return _factory(str(source.factory), source.timeout_s)

    def _suspenders(self) -> list[Any]:
        name = self._instrument.suspenders
        if name is None:
            return []
        names = self._names
        found = names[name] if name in names else by_dotted_name(name.replace(":", "."))
        given = limited(found, 60.0) if callable(found) else found
        suspenders = list(given.values() if isinstance(given, Mapping) else given)
        for one in suspenders:
            if not hasattr(one, "get_futures"):
                raise StartupFailed(f"{name} gives {one!r}, which is no suspender of Bluesky")
        return suspenders

    def _check_metadata(self) -> None:
        required = self._instrument.md.required if self._instrument.md else ()
        missing = [key for key in required if self.engine.md.get(key) in (None, "")]
        if missing:
            has = ", ".join(sorted(self.engine.md)) or "nothing"
            raise StartupFailed(f"RE.md has no {', '.join(map(repr, missing))}; it has {has}")

    def _told(self, place: str, call: Callable[[], Any]) -> Any:
        """What a call gives; what it raises is told with its place."""
        try:
            return call()
        except (StartupFailed, NoSuchDevice) as error:
            text = str(error)
        except Exception as error:  # the lab's code may raise anything
            text = f"{type(error).__name__}: {error}"
        raise DeviceUnavailable(f"{located(self._instrument, place)}: {text}")


def with_read_beside(
    instrument: InstrumentSpec, lab: Adopted
) -> tuple[InstrumentSpec, dict[str, Any]]:
    """The instrument, and the lab's devices, with those that its RunEngine reads by itself.

    They have to be connected, and without limits they are never set.
    """
    devices = dict(lab.devices)
    for device in read_beside(lab.engine):
        if not any(_is_part(device, one) for one in devices.values()):
            devices[device.name] = device
    specs = {name: DeviceSpec() for name in devices} | dict(instrument.devices)
    return instrument.model_copy(update={"devices": specs}), devices


def _is_part(device: Any, whole: Any) -> bool:
    while device is not None and device is not whole:
        device = getattr(device, "parent", None)
    return device is whole


def _an_engine(found: Any, what: str) -> RunEngine:
    if not isinstance(found, RunEngine):
        raise StartupFailed(f"{what} is a {type(found).__name__}, not a RunEngine")
    if found.state != "idle":
        raise StartupFailed(f"{what} is {found.state}; it must be idle")
    return found


def _refuse(text: str) -> None:
    raise StartupFailed(text)


def is_device(found: Any) -> bool:
    """True for an instance of a device class, of ophyd or of ophyd-async."""
    return hasattr(found, "name") and hasattr(found, "parent") and not inspect.isclass(found)


def _finder(names: Mapping[str, Any], where: str) -> Callable[[str], Any]:
    def find(name: str) -> Any:
        if is_device(names.get(name)):
            return names[name]
        devices = [one for one, value in names.items() if is_device(value)]
        if name in names:
            raise NoSuchDevice(f"{name!r} in {where} is a {type(names[name]).__name__}, no device")
        raise NoSuchDevice(f"no device {name!r} in {where}{near(name, devices)}")

    return find


def _factory(name: str, timeout_s: float) -> Callable[[str], Any]:
    found = limited(lambda: by_dotted_name(name.replace(":", ".")), timeout_s)
    if isinstance(found, ModuleType):
        return lambda device: limited(lambda: _of_module(found, device), timeout_s)
    given = limited(found, timeout_s) if callable(found) else found
    if is_device(given):
        given = [given]
    if not isinstance(given, Mapping):
        if not isinstance(given, Iterable):
            raise StartupFailed(f"{name} gives a {type(given).__name__}, no devices")
        given = {device.name: device for device in given}
    return _finder(given, name)


def _of_module(module: ModuleType, name: str) -> Any:
    """A device of a module, or what its factory of that name makes."""
    found = getattr(module, name, None)
    if is_device(found) and not hasattr(found, "build"):
        return found
    if hasattr(found, "build"):  # dodal's: it makes what the device depends on, too
        return found.build()
    if callable(found) and not inspect.isclass(found):
        made = found()
        if is_device(made):
            return made
        raise StartupFailed(f"{module.__name__}.{name} gives a {type(made).__name__}, no device")
    public = [
        one
        for one, value in vars(module).items()
        if not one.startswith("_") and (is_device(value) or inspect.isfunction(value))
    ]
    raise NoSuchDevice(f"no device or factory {name!r} in {module.__name__}{near(name, public)}")


def _happi(path: str) -> Callable[[str], Any]:
    try:
        from happi import Client  # pyright: ignore[reportMissingImports]
        from happi.backends.json_db import JSONBackend  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise StartupFailed(f"happi is not installed here ({error}); install it") from error
    client = Client(database=JSONBackend(path))
    known = [result["name"] for result in client.search()]

    def find(name: str) -> Any:
        if name not in known:
            raise NoSuchDevice(f"no device {name!r} in {path}{near(name, known)}")
        return client.load_device(name=name)

    return find


def _named(device: Any, name: str) -> Any:
    """The device; one of ophyd-async that nobody has named yet gets the name it is used by."""
    if not device.name and hasattr(device, "set_name"):
        device.set_name(name)
    return device
