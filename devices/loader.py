"""Makes the devices of an instrument file, connects them, and finds them by dotted name."""

import asyncio
import inspect
import logging
import pkgutil
import threading
import time
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from ophyd import get_cl
from ophyd.positioner import PositionerBase

from devices.errors import DevicesUnavailable, NoSuchDevice

log = logging.getLogger(__name__)

PASSED_ON = ("unit", "limits", "tolerance", "settle_s", "timeout_s")
"""Keys of a device's entry that go to its class, where the class has an argument of that name."""

LAB_TIME = ("settle_s",)
"""Keys that count lab time. Timeouts count wall time: what they guard against does not scale."""

POSITIONER_NAMES = {"settle_s": "settle_time", "timeout_s": "timeout"}
"""What ophyd's own positioners call the same."""


class Devices(dict[str, Any]):
    """Connected devices by name.

    Attributes:
        missing: why each optional device is absent, by name.
    """

    def __init__(self, found: Mapping[str, Any], missing: Mapping[str, str]) -> None:
        super().__init__(found)
        self.missing = dict(missing)


def load(
    devices: Mapping[str, Mapping[str, Any]],
    *,
    connect_timeout_s: float,
    time_scale: float = 1.0,
    ready: Mapping[str, Any] | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
    stand_in: Callable[[Any], Any] = lambda found: found,
) -> Devices:
    """Make all devices and connect them at the same time.

    Args:
        devices: by name, each with `class` (dotted path), and where wanted `prefix`, `kwargs`,
            `optional`, and the keys in `PASSED_ON`. A key that is None counts as absent.
        connect_timeout_s: seconds for all of them together.
        time_scale: by which what counts lab time is divided; the time compression of a twin.
        ready: devices that are there already, by name; they are only connected.
        loop: runs in another thread; devices of ophyd-async live in it.
        stand_in: gives what is made in the place of a class; the class itself by default.

    Raises:
        DevicesUnavailable: names every required device that failed, and why.
    """
    made: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, entry in devices.items():
        try:
            known = (ready or {}).get(name)
            made[name] = _make(name, entry, time_scale, stand_in) if known is None else known
        except Exception as error:  # any class may raise anything, and the others must be heard
            reasons[name] = _reason(error)
    reasons |= _connect(made, connect_timeout_s, loop)
    missing = {name: why for name, why in reasons.items() if devices[name].get("optional")}
    required = {name: why for name, why in reasons.items() if name not in missing}
    for name in made if required else missing:
        if name not in (ready or {}) and hasattr(made.get(name), "destroy"):
            made[name].destroy()
    if required:
        raise DevicesUnavailable(required)
    for name, why in missing.items():
        log.warning("optional device %s is absent: %s", name, why)
    return Devices({name: made[name] for name in devices if name not in missing}, missing)


def resolve(devices: Mapping[str, Any], path: str) -> Any:
    """The device at a dotted path such as `stage.x`.

    Raises:
        NoSuchDevice: with the names that come near.
    """
    name, *attributes = path.split(".")
    if name not in devices:
        raise NoSuchDevice(f"no device {path!r}{_near(name, devices)}")
    found = devices[name]
    for attribute in attributes:
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise NoSuchDevice(f"no device {path!r}{_near(attribute, dir(found))}") from None
    return found


def dotted(path: str) -> Any:
    """What a dotted path such as `devices.SetpointReadback` names.

    Raises:
        NoSuchDevice: with the names that come near.
    """
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        module_path = ".".join(parts[:length])
        try:
            found = import_module(module_path)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_path}.".startswith(f"{error.name}."):
                raise  # the module is there, but something that it imports is not
            continue
        for attribute in parts[length:]:
            if not hasattr(found, attribute):
                where = getattr(found, "__name__", module_path)
                raise NoSuchDevice(f"no {attribute!r} in {where}{_near(attribute, dir(found))}")
            found = getattr(found, attribute)
        return found
    modules = [module.name for module in pkgutil.iter_modules()]
    raise NoSuchDevice(f"no module {parts[0]!r}{_near(parts[0], modules)}")


def _make(
    name: str, entry: Mapping[str, Any], time_scale: float, stand_in: Callable[[Any], Any]
) -> Any:
    if entry.get("class") is None:
        raise NoSuchDevice("it was not given")
    found = dotted(entry["class"])
    if not callable(found):
        raise NoSuchDevice(f"{entry['class']} is no class")
    accepted = _arguments(found)
    arguments = dict(entry.get("kwargs") or {})
    for key in PASSED_ON:
        value = entry.get(key)
        argument = POSITIONER_NAMES.get(key, key) if _is_positioner(found) else key
        if value is not None and argument in accepted and argument not in arguments:
            arguments[argument] = value / time_scale if key in LAB_TIME else value
    prefix = entry.get("prefix")
    return stand_in(found)(*([] if prefix is None else [prefix]), name=name, **arguments)


def _is_positioner(found: Any) -> bool:
    return inspect.isclass(found) and issubclass(found, PositionerBase)


def _arguments(found: Any) -> set[str]:
    """Names of keyword arguments, followed through `**kwargs` to the parents of a class."""
    names: set[str] = set()
    classes = found.__mro__ if inspect.isclass(found) else ()
    steps = [vars(cls).get("__init__") for cls in classes] or [found]
    for step in filter(None, steps):
        if step is object.__init__:
            break
        parameters = inspect.signature(step).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names


def _connect(
    made: Mapping[str, Any], timeout_s: float, loop: asyncio.AbstractEventLoop | None
) -> dict[str, str]:
    """Wait for all at once; why each that did not connect did not."""
    deadline = time.monotonic() + timeout_s
    reasons: dict[str, str] = {}
    done: set[str] = set()

    def wait(name: str, device: Any) -> None:
        try:
            left = max(deadline - time.monotonic(), 0.01)
            if loop is not None and _is_async(device):
                asyncio.run_coroutine_threadsafe(device.connect(timeout=left), loop).result(left)
            else:
                device.wait_for_connection(timeout=left)
        except Exception as error:  # collected, to be raised together with the others
            reasons[name] = _reason(error)
        done.add(name)

    waiting = {
        name: each
        for name, each in made.items()
        if hasattr(each, "wait_for_connection") or (loop is not None and _is_async(each))
    }
    new_thread = get_cl().thread_class if waiting else threading.Thread
    threads = [new_thread(target=wait, args=item, daemon=True) for item in waiting.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.0) + 0.5)
    silent = {name: "did not connect in time" for name in waiting if name not in done}
    return silent | reasons


def _is_async(device: Any) -> bool:
    """True for a device of ophyd-async."""
    return inspect.iscoroutinefunction(getattr(device, "connect", None))


def _near(name: str, names: Any) -> str:
    public = [each for each in names if not each.startswith("_")]
    near = get_close_matches(name, public)
    return f"; near: {', '.join(near)}" if near else ""


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    speaks_for_itself = isinstance(error, (NoSuchDevice, TimeoutError))
    return text if speaks_for_itself else f"{type(error).__name__}: {text}"
