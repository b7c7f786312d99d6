"""Takes over what a lab has: devices from its factories, databases and startup, its RunEngine.

The lab's code runs here, in the worker, and nowhere else.
"""

import inspect
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bluesky.run_engine import RunEngine

from devices.errors import NoSuchDevice
from orchestrator.adapters.engines.engine import new_engine, read_beside
from orchestrator.adapters.instruments.device_sources import (
    finder,
    is_device,
    named,
    of_factory,
    of_happi,
    referenced,
)
from orchestrator.adapters.instruments.startup import Startup, StartupFailed, limited
from orchestrator.adapters.lab_code.plan_lines import told_with_line
from orchestrator.adapters.user_files.instrument_lines import with_line
from orchestrator.domain.errors import DeviceUnavailable, PlanFailed, near
from orchestrator.domain.spec import CALL_S, DeviceSpec, InstrumentSpec, SourceSpec

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from orchestrator.adapters.engines.hosted_engine import HostedEngine


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
        if self._session is None:  # a plot of the lab's is not worth a measurement
            self.engine.ignore_callback_exceptions = instrument.has_lab_engine
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
            offered = finder(self._session.names, "the session")
        else:
            if source.startup:
                self._startup_place = f"{place}.startup"
            offered = self._told(f"{place}.{source.kind}", partial(self._offers, source))
        for position, name in enumerate(source.use):
            find = self._names.__getitem__ if self._is_defined(name) else offered
            make = partial(limited, partial(find, name), source.timeout_s)
            try:
                device = self._told(f"{place}.use.{position}", make)
            except DeviceUnavailable as error:
                if not self._instrument.devices[name].optional:
                    raise
                log.warning("optional device %s is absent: %s", name, error)
            else:
                self.devices[name] = named(device, name)

    def _is_defined(self, name: str) -> bool:
        return self._session is not None and is_device(self._session.names.get(name))

    def _take_defined(self) -> None:
        """Take the session's own device for one that the instrument file would have made."""
        for name, spec in self._instrument.devices.items():
            if spec.class_ is None or not self._is_defined(name):
                continue
            found = self._names[name]
            made_by = self._told(f"devices.{name}.class", partial(referenced, spec.class_))
            if inspect.isclass(made_by) and not isinstance(found, made_by):
                text = f"{name!r} of the session is a {type(found).__name__}, no {spec.class_}"
                self._told(f"devices.{name}.class", partial(_refuse, text))
            self.devices[name] = found

    def _first_engine(self) -> RunEngine:
        call = self._instrument.run_engine
        if call is None:
            return new_engine()
        made = referenced(call)
        engine = made if isinstance(made, RunEngine) else limited(made, CALL_S)
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
            return finder(dict(self._startup.names), "the startup")
        if source.happi:
            return limited(partial(of_happi, source.happi), source.timeout_s)
        return of_factory(str(source.factory), source.timeout_s)

    def _suspenders(self) -> list[Any]:
        name = self._instrument.suspenders
        if name is None:
            return []
        names = self._names
        found = names[name] if name in names else referenced(name)
        given = limited(found, CALL_S) if callable(found) else found
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
        except Exception as error:  # the lab's code may raise anything
            log.exception("%s of the instrument file", place)
            is_ours = isinstance(error, (StartupFailed, NoSuchDevice))
            text = str(error) if is_ours else told_with_line(error)
        raise DeviceUnavailable(f"{with_line(self._instrument, place)}: {text}")


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
