"""The EPICS server of a beamline with a startup profile: motor records and plain signals.

``python -m tests.beamline.profile_ioc WITNESS [PORT]`` prints one line of JSON when clients can
connect, and writes a line to the witness for each put, on disk before it acts.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from simulators.fence import Fence
from simulators.motor import Motor
from simulators.pv import Pv, Sleep
from simulators.serve import serve

TIME_COMPRESSION = 1.0


class ProfileBeamline:
    """Motor records ``P:X`` and ``P:Y`` (mm), ``P:I0``, ``P:RING`` (mA), ``P:SHUTTER`` (1 open)."""

    def __init__(self, sleep: Sleep) -> None:
        def motor(name: str) -> Motor:
            return Motor(
                name,
                unit="mm",
                what="stage",
                limits=(-10.0, 10.0),
                travel=(-20.0, 20.0),
                velocity=200.0,
                ramp=0.02,
                sleep=sleep,
                on_set=lambda: None,
            )

        def put(pv: Pv, whole: Callable[[float], float]) -> None:
            async def accepted(value: float) -> None:
                pv.post(whole(value))
                self._measure()

            pv.put = accepted

        self._motors = motor("P:X"), motor("P:Y")
        self._i0 = Pv("P:I0", 0.0, "", "intensity behind the shutter")
        self._ring = Pv("P:RING", 300.0, "mA", "ring current")
        self._shutter = Pv("P:SHUTTER", 1, "", "1 is open", (0, 1))
        put(self._ring, float)
        put(self._shutter, int)
        motors = [pv for one in self._motors for pv in one.pvs]
        self.pvs = (*motors, self._i0, self._ring, self._shutter)
        self._measure()

    def step(self, seconds: float) -> bool:
        for one in self._motors:
            one.step(seconds)
        self._measure()
        return any(one.moving for one in self._motors)

    def _measure(self) -> None:
        x, y = (one.dial for one in self._motors)
        bright = float(self._ring.value) * float(self._shutter.value)
        self._i0.post(bright / (1.0 + (x - 1.0) ** 2 + (y + 2.0) ** 2))


def create(seed: int, sleep: Sleep) -> ProfileBeamline:
    return ProfileBeamline(sleep)


if __name__ == "__main__":

    def say(about: object) -> None:
        print(json.dumps(about), flush=True)

    fence = Fence(witness=Path(sys.argv[1]))
    port = int(sys.argv[2]) if sys.argv[2:] else None
    serve(sys.modules["__main__"], name="profile", fence=fence, on_ready=say, port=port)
