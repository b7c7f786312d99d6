"""What can go wrong with a device.

```
DeviceError
├── MoveFailed          a set that ended without the device in position
│   ├── PutRefused      the server did not take the setpoint
│   ├── SetpointChanged someone else changed the setpoint during the move
│   ├── Superseded      this client ordered another move before this one was done
│   └── Stopped         the move was stopped on the way
├── StaleReading        a trigger completed, but the channels hold older results
├── NoFolder            an area detector has nowhere to write its files
├── DevicesUnavailable  devices that could not be made or connected, all of them
└── NoSuchDevice        a dotted name that leads nowhere
```

A move or trigger that never ends fails with ophyd's own `StatusTimeoutError`, a setting outside
the limits with ophyd's `LimitError`.
"""

from collections.abc import Mapping


class DeviceError(Exception):
    """A device did not do what it was told."""


class MoveFailed(DeviceError):
    """A set that ended without the device in position."""


class PutRefused(MoveFailed):
    """The server did not take the setpoint."""


class SetpointChanged(MoveFailed):
    """Someone else changed the setpoint during the move."""


class Superseded(MoveFailed):
    """This client ordered another move before this one was done."""


class Stopped(MoveFailed):
    """The move was stopped on the way."""


class StaleReading(DeviceError):
    """A trigger completed, but the channels hold older results."""


class DevicesUnavailable(DeviceError):
    """Devices that could not be made or connected.

    Attributes:
        reasons: why, by device name.
    """

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.reasons = dict(reasons)
        lines = [f"  {name}: {reason}" for name, reason in self.reasons.items()]
        super().__init__("\n".join([f"{len(lines)} device(s) unavailable:", *lines]))


class NoSuchDevice(DeviceError, LookupError):
    """A dotted name that leads nowhere."""


class NoFolder(DeviceError):
    """An area detector has no folder that its files could be written to."""
