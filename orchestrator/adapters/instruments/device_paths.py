"""From a device object back to its dotted name in the instrument file."""

from collections.abc import Mapping
from typing import Any

from orchestrator.domain.errors import EnvelopeError
from orchestrator.domain.spec import DeviceSpec, InstrumentSpec


class DevicePaths:
    """The devices of an instrument, and the names of all their parts."""

    def __init__(self, instrument: InstrumentSpec, devices: Mapping[str, Any]) -> None:
        self._instrument = instrument
        self._roots = {id(device): name for name, device in devices.items()}
        self._known: dict[int, tuple[Any, str]] = {}

    def path(self, device: Any) -> str | None:
        """The dotted name, such as ``stage.x``; None for what is no part of the instrument."""
        known = self._known.get(id(device))
        if known is not None and known[0] is device:
            return known[1]
        path = self._climb(device)
        if path is not None:
            self._known[id(device)] = (device, path)
        return path

    def own(self, device: Any) -> str:
        """The dotted name of a device of this instrument.

        Raises:
            EnvelopeError: it is none.
        """
        path = self.path(device)
        if path is None:
            name = getattr(device, "name", None) or repr(device)
            raise EnvelopeError([f"{name} is no device of this instrument"])
        return path

    def spec(self, path: str) -> DeviceSpec:
        """What the instrument file says about the device that a dotted name begins with."""
        return self._instrument.devices[path.split(".")[0]]

    def _climb(self, device: Any) -> str | None:
        parts: list[str] = []
        while id(device) not in self._roots:
            parent = getattr(device, "parent", None)
            name = None if parent is None else _name_in(parent, device)
            if name is None:
                return None
            parts.append(name)
            device = parent
        return ".".join([self._roots[id(device)], *reversed(parts)])


def _name_in(parent: Any, device: Any) -> str | None:
    """The attribute of the parent that holds the device, in whichever library it is written."""
    if name := getattr(device, "attr_name", None):
        return name
    return next((name for name, part in vars(parent).items() if part is device), None)
