"""What a new worker does at the devices after a crash: put staging back, compare, nothing else."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.adapters.readings import position
from orchestrator.domain.envelope import Envelope
from orchestrator.domain.errors import PlanFailed
from orchestrator.domain.trial import ParameterValue

if TYPE_CHECKING:
    from orchestrator.adapters.instrument_devices import InstrumentDevices

RESTORE_S = 10.0
"""Longest time that one signal may take to be put back."""


def restore(
    devices: "InstrumentDevices", envelope: Envelope, staged: Mapping[str, Any]
) -> list[str]:
    """Put each signal back to what it held; gives the names of those that did not hold it.

    Raises:
        PlanFailed: one could not be put back, or held what the envelope forbids.
    """
    restored = []
    for path, held in staged.items():
        signal = devices.at(path)
        limited = devices.paths.spec(path).limits is not None and isinstance(held, (int, float))
        if limited and (breach := envelope.breach(path, held)):
            raise PlanFailed(f"{path} cannot be put back: {breach}", "not_restored")
        try:
            if signal.get() != held:
                signal.set(held).wait(timeout=RESTORE_S)
                restored.append(path)
        except Exception as error:  # timeouts, refusals, and whatever a lab's class raises
            why = f"{type(error).__name__}: {error}"
            raise PlanFailed(f"{path} cannot be put back to {held!r}: {why}", "not_restored") from (
                error
            )
    return restored


def differences(devices: "InstrumentDevices", setpoints: Mapping[str, ParameterValue]) -> list[str]:
    """One phrase for each device that does not stand where it was sent."""
    found = []
    for path, sent in setpoints.items():
        spec, device = devices.paths.spec(path), devices.at(path)
        if spec.tolerance is None or spec.readback == "none" or not _reads_at_once(device):
            continue
        stands = position(device, device.read())
        if isinstance(sent, (int, float)) and not abs(stands - sent) <= spec.tolerance:
            at = "nowhere" if math.isnan(stands) else f"{stands:g} {spec.unit}".rstrip()
            found.append(f"{path} stands at {at}, and was sent to {sent:g}")
    return found


def _reads_at_once(device: Any) -> bool:
    from inspect import iscoroutinefunction

    return hasattr(device, "read") and not iscoroutinefunction(device.read)
