"""Process variables and dynamics of the deposition reactor and its two quartz crystals."""

import math

from simulators.ald.model import BOUNDS, evaluate, growth_rate
from simulators.detector import TriggeredChannels
from simulators.noise import standard_normal
from simulators.pv import Pv, Sleep
from simulators.setpoint import SetpointPair

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


class Ald:
    """A reactor that runs cycles from a fresh surface, with a crystal at each end.

    A measurement is a pure function of the seed, the setpoints (as snapped by the readbacks), and
    how many triggers went before since a setpoint was last put.

    Args:
        seed: of the measurement noise.
        sleep: waits for lab time.
    """

    def __init__(self, seed: int, sleep: Sleep) -> None:
        self._seed = seed
        self._triggers = 0
        self._pairs = {
            "dose_1": self._pair("ALD:V1:OPEN", "dose_1", 7.0, "open time of valve 1, TMA"),
            "purge_1": self._pair("ALD:V1:PURGE", "purge_1", 60.0, "purge after valve 1"),
            "dose_2": self._pair("ALD:V2:OPEN", "dose_2", 6.0, "open time of valve 2, water"),
            "purge_2": self._pair("ALD:V2:PURGE", "purge_2", 180.0, "purge after valve 2"),
        }
        self._flow = Pv(
            "ALD:N2:FLOW", CARRIER_FLOW, "sccm", "carrier gas", precision=1, heartbeat=True
        )
        self._fault = Pv(
            "ALD:N2:FAULT",
            0.0,
            "sccm",
            "twin only: added to the flow, to rehearse a starved purge",
            (-CARRIER_FLOW, CARRIER_FLOW),
            precision=1,
            put=self._put_fault,
            anyone=True,
        )
        crystals = TriggeredChannels(
            "ALD:QCM",
            channels={
                "RATE": ("nm/h", "film growth, mean of both crystals"),
                "GPC_UP": ("", "growth per cycle upstream, 1 is saturation"),
                "GPC_DOWN": ("", "growth per cycle downstream, 1 is saturation"),
            },
            sample=self._sample,
            run_time=self._run_time,
            sleep=sleep,
            what="quartz crystals",
        )
        fixed = (
            Pv("ALD:TEMP:RB", TEMPERATURE, "degC", "temperature of the reactor", precision=1),
            Pv("ALD:RUN:NCYC", CYCLES, "", "cycles over which a run averages"),
        )
        axes = [pv for pair in self._pairs.values() for pv in pair.pvs]
        self.pvs = (*axes, self._flow, self._fault, *fixed, *crystals.pvs)

    def step(self, seconds: float) -> bool:
        """Let so much lab time pass; True while a readback still moves."""
        for pair in self._pairs.values():
            pair.step(seconds)
        return any(pair.moving for pair in self._pairs.values())

    def _pair(self, prefix: str, parameter: str, start: float, what: str) -> SetpointPair:
        return SetpointPair(
            prefix,
            start=start,
            unit="s",
            what=what,
            limits=BOUNDS[parameter],
            tolerance=0.01,
            tau=1.0,
            on_set=self._forget_triggers,
        )

    def _forget_triggers(self) -> None:
        self._triggers = 0

    async def _put_fault(self, value: float) -> None:
        self._fault.post(value)
        self._flow.post(CARRIER_FLOW + value)

    def _run_time(self) -> float:
        cycle = sum(pair.readback for pair in self._pairs.values())
        return (CONDITIONING + CYCLES) * cycle

    def _sample(self) -> list[float]:
        """Growth in the third cycle of the model, with the noise of a mean over `CYCLES`."""
        settings = {name: pair.readback for name, pair in self._pairs.items()}
        *jitter, up, down = standard_normal(
            self._seed, list(settings.values()), self._triggers, len(settings) + 2
        )
        self._triggers += 1
        of_mean = 1.0 / math.sqrt(CYCLES)
        times = {
            name: max(seconds + VALVE_JITTER * of_mean * z, 0.0)
            for (name, seconds), z in zip(settings.items(), jitter, strict=True)
        }
        true = evaluate(**times)
        gpc_up = float(true["gpc_up"]) + GPC_NOISE * of_mean * up
        gpc_down = float(true["gpc_down"]) + GPC_NOISE * of_mean * down
        return [float(growth_rate(gpc_up, gpc_down, sum(settings.values()))), gpc_up, gpc_down]


def create(seed: int, sleep: Sleep) -> Ald:
    """The instrument that the server serves."""
    return Ald(seed, sleep)
