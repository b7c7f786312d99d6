"""A detector that counts for a preset time: scalers, photon and particle counters."""

import math
from typing import Any

from ophyd import Component, EpicsSignal, Kind

from devices.triggered_detector import TriggeredDetector


class CountingDetector(TriggeredDetector):
    """Counts for `{prefix}:PRESET` seconds when triggered, and gives counts, seconds and rate.

    The data keys are `{name}_counts`, `{name}_seconds` (how long it has counted) and `{name}_rate`,
    in 1/s, which is what it hints at: a rate means the same whatever the preset. The counting error
    of a rate is the square root of the counts over the seconds. `preset` can be set by a plan, and
    be the device of a campaign's parameter.

    Args:
        prefix: start of the PV names; `TRIGGER`, `COUNTS`, `SECONDS` and `PRESET` follow it.
        name: of the device.
        timeout_s: seconds after which a trigger fails; more than the longest preset.
    """

    preset = Component(EpicsSignal, ":PRESET", kind=Kind.config, put_complete=True)

    def __init__(self, prefix: str, *, name: str, timeout_s: float = 60.0, **kwargs: Any) -> None:
        channels = ("COUNTS", "SECONDS")
        super().__init__(prefix, name=name, channels=channels, timeout_s=timeout_s, **kwargs)

    @property
    def hints(self) -> dict[str, list[str]]:
        """The rate alone is worth showing."""
        return {"fields": [f"{self.name}_rate"]}

    def read(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The result of the last trigger, and its rate; NaN when it has counted for no time."""
        reading = super().read()
        counts, seconds = reading[f"{self.name}_counts"], reading[f"{self.name}_seconds"]
        rate = counts["value"] / seconds["value"] if seconds["value"] else math.nan
        severity = max(counts["alarm_severity"], seconds["alarm_severity"])
        reading[f"{self.name}_rate"] = {**counts, "value": rate, "alarm_severity": severity}
        return reading

    def describe(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Data keys of both channels and of the rate."""
        keys = super().describe()
        source = keys[f"{self.name}_counts"]["source"]
        rate = {"source": source, "dtype": "number", "shape": [], "units": "1/s"}
        return {**keys, f"{self.name}_rate": rate}
