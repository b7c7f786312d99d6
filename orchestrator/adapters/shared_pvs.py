"""Two devices that set one process variable: the limits of the one would not hold for the other."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.adapters.located import located
from orchestrator.domain.errors import DeviceUnavailable
from orchestrator.domain.spec import InstrumentSpec


def refuse_shared(devices: Mapping[str, Any], instrument: InstrumentSpec) -> None:
    """Pass when no PV is set through two devices. One that both only read is no matter.

    Raises:
        DeviceUnavailable: naming the PV, both devices, and the place of the second.
    """
    owners: dict[str, tuple[str, Any]] = {}
    for name, device in devices.items():
        for pv, signal in _set_by(device):
            owner, other = owners.setdefault(pv, (name, signal))
            if owner != name and other is not signal:
                raise DeviceUnavailable(
                    f"{located(instrument, _place(instrument, name))}: {name!r} sets the PV "
                    f"{pv!r}, and so does {owner!r}; take one of them"
                )


def _set_by(device: Any) -> Iterator[tuple[str, Any]]:
    """Each PV that a classic device can put, with its signal."""
    signals = [device]
    if hasattr(device, "walk_signals"):
        signals = [walked.item for walked in device.walk_signals(include_lazy=False)]
    for signal in signals:
        pv = getattr(signal, "setpoint_pvname", None)
        if isinstance(pv, str):
            yield pv.removesuffix(".VAL"), signal


def _place(instrument: InstrumentSpec, name: str) -> str:
    for index, source in enumerate(instrument.sources):
        if name in source.use:
            return f"from.{index}.use.{source.use.index(name)}"
    return f"devices.{name}"
