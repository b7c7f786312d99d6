"""The beamline's devices, in plain ophyd."""

from typing import Any

from ophyd import Component, Device, EpicsSignal, Kind

from devices import TriggeredDetector


class Shutter(Device):
    """Opens by a 1; stopping it closes it."""

    command = Component(EpicsSignal, "", kind=Kind.hinted)

    def set(self, value: int) -> Any:
        return self.command.set(value)

    def stop(self, *, success: bool = False) -> None:
        if self.command.get() != 0:
            self.command.put(0, wait=True)


class Camera(TriggeredDetector):
    """Staging raises its gain."""

    gain = Component(EpicsSignal, ":GAIN", kind=Kind.config)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stage_sigs["gain"] = 5
