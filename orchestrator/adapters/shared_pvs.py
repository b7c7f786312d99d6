"""Two devices that would write to the same process variable: each would undo the other."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.domain.spec import InstrumentSpec


def shared_pvs(devices: Mapping[str, Any], instrument: InstrumentSpec) -> list[str]:
    """One sentence for each PV that two devices with limits would set.

    Args:
        devices: by name, made but not necessarily connected.
        instrument: the instrument file.
    """
    owners: dict[str, str] = {}
    found: dict[tuple[str, str], str] = {}
    for name, device in devices.items():
        if instrument.devices[name].limits is None:
            continue
        for pv in dict.fromkeys(_written(device)):
            owner = owners.setdefault(pv, name)
            if owner != name:
                found.setdefault((owner, name), pv)
    return [
        f"devices {one!r} and {other!r} both write {pv!r}; give each device its own PVs, or "
        "name one of the two only"
        for (one, other), pv in found.items()
    ]


def _written(device: Any) -> Iterator[str]:
    """PVs of a classic device that can be put."""
    walked = device.walk_signals(include_lazy=False) if hasattr(device, "walk_signals") else ()
    for signal in (device, *(one.item for one in walked)):
        pv = getattr(signal, "setpoint_pvname", None)
        if isinstance(pv, str) and not type(signal).__name__.endswith("RO"):
            yield pv
