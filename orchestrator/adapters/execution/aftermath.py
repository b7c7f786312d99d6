"""What a new worker does at the devices after a crash: put staging back, compare, nothing else."""

import math
from collections.abc import Mapping
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from orchestrator.adapters.documents.readings import position
from orchestrator.domain.errors import PlanFailed
from orchestrator.domain.spec import DeviceSpec, InstrumentSpec
from orchestrator.domain.trial import ParameterValue

if TYPE_CHECKING:
    from orchestrator.adapters.instruments.instrument_devices import InstrumentDevices

RESTORE_S = 10.0
"""Longest time that one signal may take to be put back."""


def restore(
    devices: "InstrumentDevices", instrument: InstrumentSpec, staged: Mapping[str, Any]
) -> list[str]:
    """Put each signal back to what it held; gives the names of those that did not hold it.

    Raises:
        PlanFailed: one could not be put back, or held what the limits of its device forbid.
    """
    restored = []
    for path, held in staged.items():
        try:
            if _restored(devices.at(path), held, instrument.devices.get(path)):
                restored.append(path)
        except Exception as error:  # timeouts, refusals, and whatever a lab's class raises
            why = f"{type(error).__name__}: {error}"
            text = f"{path} cannot be put back to {held!r}: {why}"
            raise PlanFailed(text, "not_restored") from error
    return restored


def _restored(signal: Any, held: Any, spec: DeviceSpec | None) -> bool:
    """Put one signal back; False when it holds that value already.

    ``spec`` is there when the signal is a device of the instrument file: then its limits hold.
    """
    if _plain(signal.get()) == held:
        return False
    if spec is not None and spec.limits is not None:
        low, high = spec.limits
        if not low <= held <= high:
            raise ValueError(f"that is outside {low} to {high} {spec.unit}".rstrip())
    signal.set(held).wait(timeout=RESTORE_S)
    return True


def differences(devices: "InstrumentDevices", setpoints: Mapping[str, ParameterValue]) -> list[str]:
    """One phrase for each device that does not stand where it was sent."""
    found = []
    for path, sent in setpoints.items():
        spec = devices.paths.spec(path)
        if spec.tolerance is None or spec.readback == "none" or not isinstance(sent, (int, float)):
            continue
        try:
            stands = _stands(devices.at(path))
        except Exception as error:  # only people are told: it must not stop a recovery
            found.append(f"{path} cannot be read ({type(error).__name__})")
            continue
        if stands is not None and not abs(stands - sent) <= spec.tolerance:
            at = "nowhere" if math.isnan(stands) else f"{stands:g} {spec.unit}".rstrip()
            found.append(f"{path} stands at {at}, and was sent to {sent:g}")
    return found


def _stands(device: Any) -> float | None:
    """The readback; None for a device that is read by its own event loop."""
    if not hasattr(device, "read") or iscoroutinefunction(device.read):
        return None
    return position(device, device.read())


def _plain(value: Any) -> Any:
    """Lists and Python numbers for arrays and numpy scalars, as the journal has them."""
    return value.tolist() if hasattr(value, "tolist") else value
