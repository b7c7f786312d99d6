"""The lab's EPICS server: a pump, two valves under one joint limit, a beam, a shutter, a camera.

``python -m tests.dispenser.ioc WITNESS [dump]`` prints one line of JSON when clients can connect,
and writes a line to the witness for each put, on disk before it acts. ``dump``: the beam goes in
the middle of the first dispense, and stays away until ``D:BEAM:FAULT`` is put to 0.
"""

import json
import sys
from pathlib import Path

from simulators.condition import Condition
from simulators.detector import TriggeredChannels
from simulators.fence import Fence
from simulators.pv import Pv, Sleep
from simulators.serve import serve
from simulators.setpoint import SetpointPair

TIME_COMPRESSION = 1.0
DISPENSE_S = 0.6
"""Seconds that one dispense takes."""


class Dispenser:
    """Pump ``D:PUMP`` (mL), axes ``D:X`` and ``D:Y`` (mm), ``D:BEAM:RB``, ``D:SHUTTER``, ``D:CAM``.

    The limits of the axes are only shown: the server takes what it is told, so that the witness
    sees all that would have reached real devices.
    """

    def __init__(self, sleep: Sleep) -> None:
        self._sleep = sleep
        self._axes = [self._axis("D:X"), self._axis("D:Y")]
        self._pump = Pv("D:PUMP", 0.0, "mL", "dispenses when it is put", (0, 5), put=self._dispense)
        self._shutter = Pv("D:SHUTTER", 0, "", "1 is open", (0, 1), put=self._put_shutter)
        self._dumps = sys.argv[2:] == ["dump"]
        self._beam = Condition(
            "D:BEAM:RB",
            100.0,
            "mA",
            what="beam current",
            fault="takes beam away",
            fault_limits=(-100, 100),
            precision=1,
        )
        camera = TriggeredChannels(
            "D:CAM",
            channels={"COUNTS": ("", "counts")},
            sample=lambda: [self._pump.value * self._shutter.value],
            run_time=0.05,
            sleep=sleep,
            what="camera",
        )
        pairs = (pv for axis in self._axes for pv in axis.pvs)
        self.pvs = (*pairs, self._pump, self._shutter, *self._beam.pvs, *camera.pvs)

    def step(self, seconds: float) -> bool:
        for axis in self._axes:
            axis.step(seconds)
        return any(axis.moving for axis in self._axes)

    def _axis(self, prefix: str) -> SetpointPair:
        return SetpointPair(
            prefix,
            start=0.0,
            unit="mm",
            what="axis",
            limits=(-1e6, 1e6),
            tolerance=0.01,
            tau=0.01,
            on_set=lambda: None,
        )

    async def _dispense(self, value: float) -> None:
        await self._sleep(DISPENSE_S / 2)
        if self._dumps:
            self._dumps = False
            _, fault = self._beam.pvs
            await fault.accept(-100.0)
        await self._sleep(DISPENSE_S / 2)
        self._pump.post(value)

    async def _put_shutter(self, value: float) -> None:
        self._shutter.post(int(value))


def create(seed: int, sleep: Sleep) -> Dispenser:
    return Dispenser(sleep)


if __name__ == "__main__":

    def say(about: object) -> None:
        print(json.dumps(about), flush=True)

    fence = Fence(witness=Path(sys.argv[1]))
    serve(sys.modules["__main__"], name="dispenser", fence=fence, on_ready=say)
