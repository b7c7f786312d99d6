"""Finds a lab's devices by name: in its factories, its happi database, its startup."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

from devices.errors import NoSuchDevice
from devices.loader import dotted
from orchestrator.adapters.instruments.startup import StartupFailed, limited
from orchestrator.domain.errors import near

Find = Callable[[str], Any]
"""Gives the device of a name, and raises `NoSuchDevice` with near names when there is none."""


def referenced(name: str) -> Any:
    """What ``module:name`` or ``module.name`` stands for.

    Raises:
        NoSuchDevice: there is no such thing; with the names that come near.
    """
    return dotted(name.replace(":", "."))


def is_device(found: Any) -> bool:
    """True for an instance of a device class, of ophyd or of ophyd-async."""
    return hasattr(found, "name") and hasattr(found, "parent") and not inspect.isclass(found)


def finder(names: Mapping[str, Any], where: str) -> Find:
    """Finds devices among these names; ``where`` they are is for messages."""

    def find(name: str) -> Any:
        if is_device(names.get(name)):
            return names[name]
        devices = [one for one, value in names.items() if is_device(value)]
        if name in names:
            raise NoSuchDevice(f"{name!r} in {where} is a {type(names[name]).__name__}, no device")
        raise NoSuchDevice(f"no device {name!r} in {where}{near(name, devices)}")

    return find


def of_factory(name: str, timeout_s: float) -> Find:
    """Finds devices that a function gives, or that stand or are made in a module.

    Raises:
        NoSuchDevice: there is no such function or module.
        StartupFailed: it gives no devices, or takes longer than ``timeout_s``.
    """
    found = limited(lambda: referenced(name), timeout_s)
    if isinstance(found, ModuleType):
        return partial(_of_module, found)
    given = limited(found, timeout_s) if callable(found) else found
    if is_device(given):
        given = [given]
    if not isinstance(given, Mapping):
        if not isinstance(given, Iterable):
            raise StartupFailed(f"{name} gives a {type(given).__name__}, no devices")
        given = {device.name: device for device in given}
    return finder(given, name)


def _of_module(module: ModuleType, name: str) -> Any:
    """A device of a module, or what its factory of that name makes."""
    found: Any = getattr(module, name, None)
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


def of_happi(path: str) -> Find:
    """Finds devices in a JSON database of happi.

    Raises:
        StartupFailed: happi is not installed.
    """
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


def named(device: Any, name: str) -> Any:
    """The device; one of ophyd-async that nobody has named yet gets the name it is used by."""
    if not device.name and hasattr(device, "set_name"):
        device.set_name(name)
    return device
