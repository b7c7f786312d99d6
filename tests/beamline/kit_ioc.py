"""An EPICS server with one of each: blades, mirrors, shutter, counter, pump, and an axis to fly.

``python -m tests.beamline.kit_ioc`` prints one line of JSON when clients can connect.
"""

import json
import math
import sys

from simulators.counter import Counter
from simulators.motor import Motor
from simulators.noise import TriggerNoise
from simulators.pump import Pump
from simulators.pv import Pv, Sleep
from simulators.serve import serve
from simulators.shutter import Shutter

TIME_COMPRESSION = 10.0
PEAK, WIDTH, HEIGHT, DARK = 2.0, 3.0, 5000.0, 20.0
"""mm, mm and 1/s: what the counter sees along the axis ``K:X`` while the shutter is open."""


class Kit:
    """Motors in mm, the counter ``K:CNT``, the shutter ``K:SHUT`` and the pump ``K:PUMP``."""

    def __init__(self, seed: int, sleep: Sleep) -> None:
        self._noise = TriggerNoise(seed)
        names = ("K:SLIT:LOWER", "K:SLIT:UPPER", "K:PAIR:PITCH1", "K:PAIR:PITCH2", "K:X")
        self._motors = {name: self._motor(name, sleep) for name in names}
        self._shutter = Shutter("K:SHUT", travel=5.0, sleep=sleep, what="shutter")
        self._pump = Pump(
            "K:PUMP",
            limits=(0.0, 10.0),
            tau=1.0,
            tolerance=0.01,
            on_set=lambda: None,
            what="pump",
        )
        self._counter = Counter(
            "K:CNT", rate=self._rate, noise=self._noise, sleep=sleep, what="counter"
        )
        parts = (*self._motors.values(), self._shutter, self._pump, self._counter)
        self.pvs: tuple[Pv, ...] = tuple(pv for part in parts for pv in part.pvs)

    def step(self, seconds: float) -> bool:
        for motor in self._motors.values():
            motor.step(seconds)
        self._pump.step(seconds)
        self._counter.step()
        return self._pump.moving or any(motor.moving for motor in self._motors.values())

    def _rate(self) -> float:
        part = (self._motors["K:X"].dial - PEAK) / WIDTH
        seen = HEIGHT * math.exp(-4 * math.log(2) * part**2)
        return seen * self._shutter.is_open + DARK

    def _motor(self, name: str, sleep: Sleep) -> Motor:
        return Motor(
            name,
            unit="mm",
            what=name,
            limits=(-20.0, 20.0),
            travel=(-25.0, 25.0),
            velocity=5.0,
            ramp=0.1,
            start=1.0 if name.endswith("UPPER") else 0.0,
            sleep=sleep,
            on_set=self._noise.restart,
        )


def create(seed: int, sleep: Sleep) -> Kit:
    return Kit(seed, sleep)


if __name__ == "__main__":

    def say(about: object) -> None:
        print(json.dumps(about), flush=True)

    serve(sys.modules["__main__"], name="kit", on_ready=say)
