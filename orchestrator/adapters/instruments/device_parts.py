"""What a classic ophyd device is made of; what is none has no parts here."""

from collections.abc import Iterator
from typing import Any


def subdevices(device: Any) -> Iterator[Any]:
    """Every device within a device, at any depth; lazy ones only once they are made."""
    if hasattr(device, "walk_subdevices"):
        yield from (part for _, part in device.walk_subdevices(include_lazy=False))


def signals(device: Any) -> Iterator[Any]:
    """Every signal within a device, at any depth; lazy ones only once they are made."""
    if hasattr(device, "walk_signals"):
        yield from (walked.item for walked in device.walk_signals(include_lazy=False))
