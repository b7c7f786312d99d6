"""The beamline's EPICS server: a motor, a shutter, and a camera with a gain.

``python -m tests.beamline.ioc WITNESS [slow]`` prints one line of JSON when clients can connect,
and writes a line to the witness for each put, on disk before it acts. ``slow``: the motor takes
minutes until it has been stopped once.
"""

import json
import sys
from pathlib import Path

from simulators.detector import TriggeredChannels
from simulators.fence import Fence
from simulators.pv import Pv, Sleep
from simulators.serve import serve
from simulators.setpoint import SetpointPair

TIME_COMPRESSION = 1.0
COUNT_S = 0.8
"""Seconds that one exposure takes."""
FAST_S, SLOW_S = 0.05, 60.0
"""Time constants of the motor."""


class Beamline:
    """Motor ``B:M`` (mm), shutter ``B:SHUTTER`` (1 open), camera ``B:CAM`` with ``B:CAM:GAIN``."""

    def __init__(self, sleep: Sleep, tau: float) -> None:
        self._motor = SetpointPair(
            "B:M",
            start=0.0,
            unit="mm",
            what="motor",
            limits=(0.0, 100.0),
            tolerance=0.01,
            tau=tau,
            on_set=lambda: None,
        )
        self._has_moved = False
        self._shutter = Pv("B:SHUTTER", 0, "", "1 is open", (0, 1), put=self._put_shutter)
        self._gain = Pv("B:CAM:GAIN", 1, "", "gain", (1, 10), put=self._put_gain)
        camera = TriggeredChannels(
            "B:CAM",
            channels={"COUNTS": ("", "counts at this gain, with the shutter open")},
            sample=lambda: [self._motor.readback * self._gain.value * self._shutter.value],
            run_time=COUNT_S,
            sleep=sleep,
            what="camera",
        )
        self.pvs = (*self._motor.pvs, self._shutter, self._gain, *camera.pvs)

    def step(self, seconds: float) -> bool:
        if self._motor.moving:
            self._has_moved = True
        elif self._has_moved:
            self._motor._tau = FAST_S
        self._motor.step(seconds)
        return self._motor.moving

    async def _put_shutter(self, value: float) -> None:
        self._shutter.post(int(value))

    async def _put_gain(self, value: float) -> None:
        self._gain.post(int(value))


def create(seed: int, sleep: Sleep) -> Beamline:
    return Beamline(sleep, SLOW_S if sys.argv[2:] == ["slow"] else FAST_S)


if __name__ == "__main__":

    def say(about: object) -> None:
        print(json.dumps(about), flush=True)

    fence = Fence(witness=Path(sys.argv[1]))
    serve(sys.modules["__main__"], name="beamline", fence=fence, on_ready=say)
