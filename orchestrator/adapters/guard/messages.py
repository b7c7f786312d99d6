"""What a message of a plan says: the value that is set, the group, the signals it writes."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from bluesky.utils import Msg

from orchestrator.adapters.instruments.device_parts import subdevices


def plain(value: Any) -> Any:
    """A Python number for a numpy scalar."""
    return value.item() if getattr(value, "shape", None) == () else value


def value_of(message: Msg) -> Any:
    """What a ``set`` sets, a Python number for a numpy scalar; None when it says nothing."""
    return plain(message.args[0] if message.args else message.kwargs.get("value"))


def group_of(message: Msg) -> Hashable:
    """The group that a message belongs to, or waits for; None when it names none."""
    if message.command == "wait" and message.args:
        return message.args[0]
    return message.kwargs.get("group")


def named_parts(device: Any, values: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Parts of a device by the names of their attributes, with the values that they will get."""
    return [(getattr(device, name, None), value) for name, value in values.items()]


def staged_signals(device: Any) -> Iterator[tuple[Any, Any]]:
    """Each signal that staging sets, of the device and of its parts, with the value it will get."""
    for part in (device, *subdevices(device)):
        for signal, value in dict(getattr(part, "stage_sigs", {})).items():
            yield (_attribute(part, signal) if isinstance(signal, str) else signal), value


def _attribute(device: Any, dotted: str) -> Any:
    for name in dotted.split("."):
        device = getattr(device, name)
    return device
