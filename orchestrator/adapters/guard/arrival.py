"""Whether the devices of an instrument are where they were sent."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from bluesky.utils import Msg, MsgGenerator

from orchestrator.adapters.documents.readings import position
from orchestrator.adapters.guard.alarms import in_invalid_alarm
from orchestrator.adapters.guard.axes import read
from orchestrator.adapters.instruments.device_paths import DevicePaths
from orchestrator.domain.errors import PlanFailed

LOOKS = 5
"""How often a readback off its setpoint is read before the move counts as failed."""

LOOK_S = 0.1
"""Seconds between two looks: a readback may be reported a little later than the arrival."""


class Arrival:
    """Waits for devices to settle, and compares readbacks with setpoints.

    Args:
        paths: of the instrument's devices.
        time_scale: seconds of lab time in one second.
    """

    def __init__(self, paths: DevicePaths, time_scale: float) -> None:
        self._paths = paths
        self._time_scale = time_scale

    def is_verified(self, path: str) -> bool:
        """True when the arrival of this device is compared with a readback."""
        spec = self._paths.spec(path)
        return spec.tolerance is not None and spec.readback != "none"

    def settled(self, devices: Iterable[Any]) -> MsgGenerator[None]:
        """Wait as the instrument file says, for devices that do not wait themselves."""
        seconds = [
            self._paths.spec(self._paths.own(device)).settle_s
            for device in devices
            if not getattr(device, "settle_s", 0) and not getattr(device, "settle_time", 0)
        ]
        if (longest := max(seconds, default=0.0)) > 0:
            yield Msg("sleep", None, longest / self._time_scale)

    def verified(self, moves: Mapping[Any, float]) -> MsgGenerator[None]:
        """Compare each device's readback with its target.

        Raises:
            PlanFailed: one is off by more than its tolerance, and stays so; or is in invalid alarm.
        """
        for device, target in moves.items():
            path = self._paths.own(device)
            spec = self._paths.spec(path)
            if spec.tolerance is None or not self.is_verified(path):
                continue
            found = math.nan
            for look in range(LOOKS):
                if look:
                    yield Msg("sleep", None, LOOK_S)
                reading = yield from read(device)
                if keys := in_invalid_alarm(device, reading):
                    raise PlanFailed(f"{', '.join(keys)} in invalid alarm", "bad_reading")
                found = position(device, reading)
                if abs(found - target) <= spec.tolerance:
                    break
            else:
                message = f"{path} was set to {target} but reads {found} {spec.unit}".rstrip()
                raise PlanFailed(message, "not_in_position")
