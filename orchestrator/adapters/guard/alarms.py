"""Readings that mean nothing, as EPICS says itself: those in INVALID alarm.

No document holds an alarm, so what a plan reads is looked at as it comes.
"""

from collections.abc import Mapping
from typing import Any

from orchestrator.adapters.instruments.conditions import INVALID
from orchestrator.adapters.instruments.device_parts import signals


def in_invalid_alarm(device: Any, reading: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The hinted keys of a reading in INVALID alarm, right after it was taken.

    A reading may carry its alarm, as Bluesky's protocol has it; else the signal has it.
    """
    hinted = set((getattr(device, "hints", None) or {}).get("fields", ()))
    served = {
        getattr(one, "name", ""): getattr(one, "alarm_severity", None)
        for one in (device, *signals(device))
    }
    return [
        key
        for key, value in reading.items()
        if key in hinted and _means_nothing(value.get("alarm_severity", served.get(key)))
    ]


def _means_nothing(severity: Any) -> bool:
    """True for INVALID as EPICS counts, and for what ophyd-async makes of it: a negative number."""
    return severity is not None and (int(severity) < 0 or int(severity) >= INVALID)
