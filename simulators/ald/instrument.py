"""Process variables and dynamics of the deposition reactor and its two quartz crystals."""

import math

from simulators.alarm import AlarmLimits, AlarmPv
from simulators.ald.model import BOUNDS, growth_at_monitors, growth_rate
from simulators.condition import Condition
from simulators.detector import TriggeredChannels
from simulators.noise import TriggerNoise
from simulators.pv import Pv, Sleep
from simulators.setpoint import SetpointPairs

TIME_COMPRESSION = 6000.0
"""Lab seconds per wall second, unless the server is told otherwise."""

CYCLES = 5
"""Cycles over which one run averages."""

CONDITIONING = 2
"""Cycles before those, in which the surface forgets what was there."""

GPC_NOISE = 0.01
"""Standard deviation of the growth of one cycle at one crystal, relative to saturation."""

VALVE_JITTER = 0.01
"""Standard deviation of each of the four times of a cycle, s."""

CARRIER_FLOW = 100.0
"""Steady flow of nitrogen, sccm."""

TEMPERATURE = 100.0
"""Of the reactor, degC; the model knows no other."""

CHANNELS = {
    "RATE": ("nm/h", "film growth, mean of both crystals"),
    "GPC_UP": ("", "growth per cycle upstream, 1 is saturation"),
    "GPC_DOWN": ("", "growth per cycle downstream, 1 is saturation"),
}
"""Unit and meaning."""


class Ald:
    """A reactor that runs cycles from a fresh surface, with a crystal at each end.

    A measurement is a pure function of the seed, the setpoints (as snapped by the readbacks), and
    how many triggers went before since a setpoint was last put; and of the bubbler, whose pressure
    is steady at the start.

    Args:
        seed: of the measurement noise.
        sleep: waits for lab time.
    """

    def __init__(self, seed: int, sleep: Sleep) -> None:
        self._noise = TriggerNoise(seed)
        self._setpoints = setpoints = SetpointPairs(BOUNDS, on_set=self._noise.restart)
        for parameter, prefix, start, what in (
            ("dose_1", "ALD:V1:OPEN", 7.0, "open time of valve 1, TMA"),
            ("purge_1", "ALD:V1:PURGE", 60.0, "purge after valve 1"),
            ("dose_2", "ALD:V2:OPEN", 6.0, "open time of valve 2, water"),
            ("purge_2", "ALD:V2:PURGE", 180.0, "purge after valve 2"),
        ):
            setpoints.add(
                parameter, prefix, start=start, unit="s", what=what, tolerance=0.01, tau=1.0
            )
        carrier = Condition(
            "ALD:N2:FLOW",
            CARRIER_FLOW,
            "sccm",
            what="carrier gas",
            fault="added to the flow, to rehearse a starved purge",
            fault_limits=(-CARRIER_FLOW, CARRIER_FLOW),
            precision=1,
            alarm_limits=AlarmLimits(lolo=80.0, low=95.0),
        )
        self._cycles = 0
        self._bubbler = Pv(
            "ALD:BUBBLER:DRIFT",
            0.0,
            "%",
            "twin only: pressure of TMA that is lost in 100 cycles; a put fills the bubbler",
            (0.0, 10.0),
            put=self._put_bubbler,
            anyone=True,
        )
        crystals = TriggeredChannels(
            "ALD:QCM",
            channels=CHANNELS,
            sample=self._sample,
            run_time=self._run_time,
            sleep=sleep,
            what="quartz crystals",
        )
        fixed = (
            AlarmPv(
                "ALD:TEMP:RB",
                TEMPERATURE,
                "degC",
                "temperature of the reactor",
                precision=1,
                alarm_limits=AlarmLimits(lolo=90.0, low=95.0, high=105.0, hihi=110.0),
            ),
            Pv("ALD:RUN:NCYC", CYCLES, "", "cycles over which a run averages"),
        )
        self.pvs = (*setpoints.pvs, *carrier.pvs, *fixed, self._bubbler, *crystals.pvs)

    def step(self, seconds: float) -> bool:
        """Let so much lab time pass; True while a readback still moves."""
        return self._setpoints.step(seconds)

    async def _put_bubbler(self, value: float) -> None:
        self._bubbler.post(value)
        self._cycles = 0

    def _run_time(self) -> float:
        cycle = sum(self._setpoints.readbacks.values())
        return (CONDITIONING + CYCLES) * cycle

    def _sample(self) -> list[float]:
        """Growth in the third cycle of the model, with the noise of a mean over `CYCLES`."""
        settings = self._setpoints.readbacks
        *jitter, up, down = self._noise.draw(settings.values(), len(settings) + 2)
        of_mean = 1.0 / math.sqrt(CYCLES)
        times = {
            name: max(seconds + VALVE_JITTER * of_mean * z, 0.0)
            for (name, seconds), z in zip(settings.items(), jitter, strict=True)
        }
        left = (1.0 - float(self._bubbler.value) / 100.0) ** (self._cycles / 100.0)
        self._cycles += CONDITIONING + CYCLES
        true_up, true_down = growth_at_monitors(**times, bubbler=left)
        gpc_up = float(true_up) + GPC_NOISE * of_mean * up
        gpc_down = float(true_down) + GPC_NOISE * of_mean * down
        return [float(growth_rate(gpc_up, gpc_down, sum(settings.values()))), gpc_up, gpc_down]


def create(seed: int, sleep: Sleep) -> Ald:
    """The instrument that the server serves."""
    return Ald(seed, sleep)
