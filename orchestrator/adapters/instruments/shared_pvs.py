"""Two devices that set one process variable: the limits of the one would not hold for the other."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.adapters.instruments.device_parts import signals
from orchestrator.adapters.user_files.instrument_lines import with_line
from orchestrator.domain.spec import InstrumentSpec


def shared_pvs(devices: Mapping[str, Any], instrument: InstrumentSpec) -> list[str]:
    """One sentence for each PV that two devices would set, when one of them has limits.

    Args:
        devices: by name, made but not necessarily connected.
        instrument: the instrument file.
    """
    owners: dict[str, tuple[str, Any]] = {}
    found: dict[tuple[str, str], str] = {}
    for name, device in devices.items():
        for pv, signal in _set_by(device):
            owner, other = owners.setdefault(pv, (name, signal))
            limited = any(instrument.devices[one].limits is not None for one in (name, owner))
            if owner != name and other is not signal and limited:
                found.setdefault((owner, name), pv)
    return [
        f"{with_line(instrument, _place(instrument, name))}: {name!r} sets the PV {pv!r}, and so "
        f"does {owner!r}; take one of them"
        for (owner, name), pv in found.items()
    ]


def _set_by(device: Any) -> Iterator[tuple[str, Any]]:
    """Each PV that a classic device can put, with its signal."""
    for signal in (device, *signals(device)):
        pv = getattr(signal, "setpoint_pvname", None)
        if isinstance(pv, str) and not type(signal).__name__.endswith("RO"):
            yield pv.removesuffix(".VAL"), signal


def _place(instrument: InstrumentSpec, name: str) -> str:
    for index, source in enumerate(instrument.sources):
        if name in source.use:
            return f"from.{index}.use.{source.use.index(name)}"
    return f"devices.{name}"
