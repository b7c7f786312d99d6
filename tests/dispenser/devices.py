"""The lab's devices, in plain ophyd."""

from typing import Any

from ophyd import Component, Device, EpicsSignal, Kind
from ophyd.status import Status


class Pump(Device):
    """Dispenses what it is set to; done when the server says that it has."""

    volume = Component(EpicsSignal, "", kind=Kind.hinted)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.volume.name = self.name

    def set(self, value: float) -> Status:
        status = Status(self, timeout=20)
        self.volume.put(value, use_complete=True, callback=lambda **_: status.set_finished())
        return status
