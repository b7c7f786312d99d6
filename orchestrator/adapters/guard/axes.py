"""Which axes a message moves, the real ones beneath pseudo axes included, and where axes stand."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import Any

from bluesky.utils import Msg, MsgGenerator

from orchestrator.adapters.documents.readings import position
from orchestrator.adapters.guard.messages import plain, value_of
from orchestrator.domain.errors import EnvelopeError

Aim = tuple[str, Any]
"""Dotted name of an axis, and the value that it is sent to."""

SETPOINTS = ("setpoint", "user_setpoint")
"""What ophyd's positioners and ours call the signal that holds where they were sent last."""


def aims(path: str, device: Any, message: Msg) -> list[Aim]:
    """Each axis that a set names, with its value.

    Raises:
        EnvelopeError: it has more values than axes, so what it would do is not known.
    """
    values = message.args or (message.kwargs.get("value"),)
    if hasattr(device, "pseudo_positioners"):
        return [
            (f"{path}.{name}", plain(number))
            for name, number in _pseudo(device, message)._asdict().items()
        ]
    if len(values) > 1:
        raise EnvelopeError([f"{path} is set to {values!r}: one value is right"])
    if isinstance(values[0], Mapping):
        if unknown := [name for name in values[0] if not hasattr(device, str(name))]:
            raise EnvelopeError([f"{path} has no axes {unknown}"])
        return [(f"{path}.{name}", plain(number)) for name, number in values[0].items()]
    return [(path, plain(values[0]))]


def real_aims(device: Any, message: Msg, path_of: Callable[[Any], str]) -> list[Aim]:
    """What ``forward()`` of a pseudo positioner makes of a set of it or of one of its axes."""
    positioner, target = device, None
    if hasattr(device, "pseudo_positioners"):
        target = _pseudo(device, message)
    elif hasattr(positioner := getattr(device, "parent", None), "pseudo_positioners"):
        singles = positioner.pseudo_positioners  # pyright: ignore[reportOptionalMemberAccess]
        if device in singles:
            target = positioner.target._replace(**{device.attr_name: value_of(message)})  # pyright: ignore[reportOptionalMemberAccess]
    if target is None:
        return []
    found: list[Aim] = []
    for real, value in zip(positioner.real_positioners, positioner.forward(target), strict=True):  # pyright: ignore[reportOptionalMemberAccess]
        told = Msg("set", real, value)
        found += [(path_of(real), plain(value)), *real_aims(real, told, path_of)]
    return found


def flight_aims(path: str, value: Any) -> Iterator[Aim]:
    """Where a flight begins and ends, as a motor is told by ``prepare``."""
    for name in ("start_position", "end_position"):
        if (place := getattr(value, name, None)) is not None:
            yield path, plain(place)


def stands(device: Any, tolerance: float | None) -> MsgGenerator[tuple[float, ...]]:
    """Where an axis stands: its setpoint when the readback agrees with it, else both.

    NaN stands for a readback that is no number.
    """
    readback = position(device, (yield from read(device)))
    setpoint = next((getattr(device, name) for name in SETPOINTS if hasattr(device, name)), None)
    if setpoint is None or not hasattr(setpoint, "get"):
        return (readback,)
    sent = plain(setpoint.get())
    if isinstance(sent, bool) or not isinstance(sent, (int, float)) or not math.isfinite(sent):
        return (readback,)
    if abs(readback - sent) <= (tolerance or 0.0):
        return (float(sent),)
    return (readback, float(sent))


def read(device: Any) -> MsgGenerator[Any]:
    """A reading that is part of no event; directly where that is possible, which is faster."""
    if iscoroutinefunction(device.read):
        return (yield Msg("read", device))
    return device.read()


def _pseudo(positioner: Any, message: Msg) -> Any:
    """The whole pseudo position that a set asks for, in whichever way it is written."""
    kwargs = {name: value for name, value in message.kwargs.items() if name != "group"}
    args: Sequence[Any] = message.args
    try:
        target, _ = positioner.to_pseudo_tuple(*args, **kwargs)
    except (TypeError, ValueError) as error:
        raise EnvelopeError([f"{positioner.name}: {error}"]) from error
    return target
