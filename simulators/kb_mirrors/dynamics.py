"""What the mirrors do beside what their motors say: play, hysteresis, a bump from the heat.

All of it is off at the start, and depends on the way to a setting or on time. So a measurement is a
pure function of the settings only as long as nobody switches it on.
"""

import math
from collections.abc import Mapping

from simulators.motor import Motor
from simulators.pv import Pv

BUMP_TIME = 1200.0
"""Seconds of lab time after which the bump has come to 1 - 1/e of its height, and gone to 1/e."""

SETTLED = 1e-3
"""Part of the bump that is not waited for."""


class Benders:
    """Benders behind their motors.

    With play a bender follows its motor up at once, and down only once the motor has come back by
    the play; a final approach from below as long as the play takes it out. With hysteresis a bender
    falls short of its motor by a part of the motor's last move, also when the same place is ordered
    again.

    Args:
        motors: one for each bender, by parameter.
    """

    def __init__(self, motors: Mapping[str, Motor]) -> None:
        self._motors = motors
        self._driven = {name: motor.dial for name, motor in motors.items()}
        """Where play leaves each of them."""
        self._stood = dict(self._driven)
        """Where each motor stood at the last step."""
        self._ordered = dict(self._driven)
        """Where each motor was when it was ordered to move."""
        self._begun = dict(self._driven)
        """The same, for the last order after which it moved."""
        self._play = Pv(
            "KB:BACKLASH",
            0.0,
            "%",
            "twin only: play between each bender and its motor; 0, as at the start, for none",
            (0.0, 0.2),
            put=self._put_play,
            anyone=True,
        )
        self._hysteresis = Pv(
            "KB:HYSTERESIS",
            0.0,
            "%",
            "twin only: part of its next and each later move by which a bender falls short; "
            "0, as at the start, for none",
            (0.0, 20.0),
            put=self._put_hysteresis,
            anyone=True,
        )
        self.pvs = (self._play, self._hysteresis)

    @property
    def bends(self) -> dict[str, float]:
        """Where each bender is; exactly where its motor is as long as nothing is switched on."""
        part = float(self._hysteresis.value) / 100.0
        return {
            name: driven - part * (self._stood[name] - self._begun[name])
            for name, driven in self._driven.items()
        }

    def order(self, name: str) -> None:
        """A motor is ordered to move, or to stop, where it stands now."""
        self._ordered[name] = self._motors[name].dial

    def follow(self) -> None:
        """The motors have made a step."""
        play = float(self._play.value)
        for name, motor in self._motors.items():
            dial = motor.dial
            if dial != self._stood[name]:
                self._stood[name], self._begun[name] = dial, self._ordered[name]
            self._driven[name] = min(max(self._driven[name], dial), dial + play)

    async def _put_play(self, value: float) -> None:
        self._play.post(value)
        self.follow()

    async def _put_hysteresis(self, value: float) -> None:
        self._hysteresis.post(value)
        self._ordered, self._begun = dict(self._stood), dict(self._stood)


class ThermalBump:
    """A bump that the beam heats onto both mirrors: convex, so that they lose curvature.

    It rises as 1 - exp(-t / `BUMP_TIME`) under constant light, and falls as exp(-t / `BUMP_TIME`)
    without. A put to `KB:BUMP` begins with cold mirrors.
    """

    def __init__(self) -> None:
        self._warm = 0.0
        self._height = Pv(
            "KB:BUMP",
            0.0,
            "%",
            "twin only: curvature that both mirrors lose when warm in full beam; "
            "0, as at the start, for none",
            (0.0, 0.5),
            put=self._put,
            anyone=True,
        )
        self.pvs = (self._height,)

    @property
    def lost(self) -> float:
        """Curvature that both mirrors lack now, %; exactly 0 when switched off."""
        return float(self._height.value) * self._warm

    def step(self, seconds: float, light: float) -> bool:
        """Let so much lab time pass under this part of the full beam; True while it matters."""
        self._warm = light + (self._warm - light) * math.exp(-seconds / BUMP_TIME)
        return bool(self._height.value) and abs(light - self._warm) > SETTLED

    async def _put(self, value: float) -> None:
        self._height.post(value)
        self._warm = 0.0
