"""Compares the limits of the device servers with the envelope, when a worker starts.

What device code writes by itself passes no envelope: there only the server's own limits hold.
"""

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.adapters.guard.axes import SETPOINTS
from orchestrator.domain.envelope import Envelope, Limit
from orchestrator.domain.errors import DeviceUnavailable
from orchestrator.domain.spec import InstrumentSpec

log = logging.getLogger(__name__)


def compare(devices: Mapping[str, Any], instrument: InstrumentSpec, envelope: Envelope) -> None:
    """Tell each device whose server allows less or more than the envelope, or has no limits.

    Raises:
        DeviceUnavailable: one that ``ioc_must_agree`` allows more than the envelope, or says
            nothing; all of them are listed.
    """
    refused: list[str] = []
    for path, limit in envelope.limits.items():
        name = path.split(".")[0]
        if name not in devices:
            continue  # optional, and absent
        device = _part(devices[name], path.split(".")[1:])
        for sentence, is_open in _differences(path, limit, ioc_limits(device)):
            if is_open and instrument.devices[name].ioc_must_agree:
                refused.append(sentence)
            elif not is_open or instrument.mode == "real":
                log.warning("%s", sentence)
    if refused:
        raise DeviceUnavailable("; ".join(refused))


def ioc_limits(device: Any) -> tuple[float, float] | None:
    """The server's own limits of a positioner or signal; None when it has none.

    What a class cannot tell, whatever it raises, counts as none.
    """
    try:
        low, high = (float(edge) for edge in _edges(device))
    except Exception:  # a lab's class
        return None
    # Equal ones are EPICS's way to say that there are none.
    return (low, high) if low < high and math.isfinite(low) and math.isfinite(high) else None


def _edges(device: Any) -> Any:
    """The pair of limits, where its class keeps the server's own."""
    if hasattr(device, "ioc_limits"):
        return device.ioc_limits
    if hasattr(device, "low_limit_travel"):
        return device.low_limit_travel.get(), device.high_limit_travel.get()
    for name in SETPOINTS:
        if hasattr(device, name):
            return getattr(device, name).limits
    return device.limits


def _differences(
    path: str, ours: Limit, theirs: tuple[float, float] | None
) -> Iterator[tuple[str, bool]]:
    """Each difference in a sentence, and whether the server allows more than the envelope."""
    allowed = f"[{ours.low:g}, {ours.high:g}] {ours.unit}".rstrip()
    if theirs is None:
        told = f"{path}: its server has no limits, so what its own code writes is not limited"
        yield f"{told} to {allowed}", True
        return
    low, high = theirs
    found = f"{path}: its server allows [{low:g}, {high:g}], the envelope {allowed}"
    if low > ours.low or high < ours.high:
        yield f"{found}: settings between will be refused there, and their trials fail", False
    if low < ours.low or high > ours.high:
        yield f"{found}: what its own code writes may leave the envelope", True


def _part(device: Any, names: list[str]) -> Any:
    for name in names:
        device = getattr(device, name, None)
    return device
