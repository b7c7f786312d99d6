"""Process variables and dynamics of the pulse generator, and what benchmarks of the qubit find."""

import math
from statistics import NormalDist

from simulators.alarm import AlarmLimits
from simulators.condition import Condition
from simulators.detector import TriggeredChannels
from simulators.noise import TriggerNoise, standard_normal
from simulators.pv import Pv, Sleep
from simulators.setpoint import SetpointPairs
from simulators.transmon.model import BOUNDS, LEAKAGE_FLOOR, RELAXATION_TIME, benchmark

TIME_COMPRESSION = 100.0
"""Lab seconds per wall second, unless the server is told otherwise."""

RUN_TIME = 20.0
"""Seconds of lab time of one benchmark."""

LOG_ERROR_NOISE = 0.05
"""Standard deviation of the decadic logarithm of the gate error."""

LEAKAGE_SHOTS = 1_000_000
"""Gates after which the third level was looked for."""

READOUT_SHOTS = 2000
"""Repetitions of the train of gates."""

READOUT_FIDELITY = 0.98
"""Probability to read a level right, the same for both."""

CHANNELS = {
    "GATE_ERROR": ("", "error per gate by randomized benchmarking"),
    "LEAKAGE": ("", "population of the third level after a gate, 1e-6 or more"),
    "LOG_ERROR": ("", "decadic logarithm of the gate error"),
    "LOG_LEAKAGE": ("", "decadic logarithm of the leakage"),
    "EXCITED": ("", "probability to read 1 after 15 gates"),
}
"""Unit and meaning."""

SETTLING = 1e-3
"""Time constant of all four settings, s of lab time."""

TEMPERATURE = 12.0
"""Of the cold plate when all is well, mK."""

DRIFT_TIME = 3600.0
"""Correlation time of the qubit's frequency, and mean time between jumps of T1, s."""

DRIFT = 0.02
"""Standard deviation of the drifting frequency, MHz."""

DRIFTING_RELAXATION_TIMES = (30.0, 70.0)
"""T1 jumps between these when the qubit drifts, us."""

AMPLITUDE_DRIFT = 1e-3
"""Part of the amplitude that is lost in a day while the qubit drifts."""

DAY = 86400.0


class Transmon:
    """The qubit under the pulse of the readbacks at the trigger.

    A measurement is a pure function of the seed, the readbacks, and how many triggers went before
    since a setpoint was last put; and of the drift of the qubit, which is off at the start.

    Args:
        seed: of the measurement noise.
        sleep: waits for lab time.
    """

    def __init__(self, seed: int, sleep: Sleep) -> None:
        self._seed = seed
        self._noise = TriggerNoise(seed)
        self._setpoints = setpoints = SetpointPairs(BOUNDS, on_set=self._noise.restart)
        setpoints.add("amplitude", "AWG:AMP", start=1.0, tolerance=1e-4, tau=SETTLING)
        setpoints.add("drag", "AWG:DRAG", start=0.0, tolerance=1e-3, tau=SETTLING)
        setpoints.add("detuning", "LO:FREQ", start=0.0, unit="MHz", tolerance=1e-2, tau=SETTLING)
        setpoints.add(
            "duration",
            "AWG:LEN",
            start=20.0,
            unit="ns",
            tolerance=0.25,
            tau=SETTLING,
            resolution=0.5,
        )
        fridge = Condition(
            "FRIDGE:TEMP:RB",
            TEMPERATURE,
            "mK",
            what="cold plate",
            fault="added to the temperature, to rehearse a failing fridge",
            fault_limits=(-TEMPERATURE, 1000.0),
            precision=1,
            alarm_limits=AlarmLimits(high=25.0, hihi=50.0),
        )
        self._drift = Pv(
            "QUBIT:DRIFT",
            0,
            "",
            "twin only: 1 lets frequency, T1 and amplitude drift from nominal, 0 does not",
            (0, 1),
            put=self._put_drift,
            anyone=True,
        )
        self._restore()
        bench = TriggeredChannels(
            "QUBIT:BENCH",
            channels=CHANNELS,
            sample=self._sample,
            run_time=RUN_TIME,
            sleep=sleep,
            what="benchmark",
        )
        self.pvs = (*setpoints.pvs, *fridge.pvs, self._drift, *bench.pvs)

    def step(self, seconds: float) -> bool:
        """Let so much lab time pass; True while a readback still moves."""
        return self._setpoints.step(seconds)

    async def _put_drift(self, value: float) -> None:
        self._drift.post(int(value))
        self._restore()

    def _restore(self) -> None:
        """The qubit as at the start."""
        self._aged = 0
        self._offset = 0.0
        self._relaxation_time = RELAXATION_TIME

    def _age(self) -> None:
        """Let the qubit drift for one trigger."""
        walk, jump = standard_normal(self._seed, (), self._aged, 2)
        self._aged += 1
        kept = math.exp(-RUN_TIME / DRIFT_TIME)
        self._offset = kept * self._offset + DRIFT * math.sqrt(1.0 - kept**2) * walk
        if self._aged == 1 or NormalDist().cdf(jump) < RUN_TIME / DRIFT_TIME:
            low, high = DRIFTING_RELAXATION_TIMES
            self._relaxation_time = high if self._relaxation_time == low else low

    def _sample(self) -> list[float]:
        settings = self._setpoints.readbacks
        by_error, by_leakage, by_excited = self._noise.draw(settings.values(), 3)
        if self._drift.value:
            self._age()
        settings["detuning"] += self._offset
        settings["amplitude"] *= 1.0 - AMPLITUDE_DRIFT * RUN_TIME / DAY * self._aged
        true = benchmark(**settings, relaxation_time=self._relaxation_time)
        log_error = float(true["log_error"]) + LOG_ERROR_NOISE * by_error
        leakage = _counted(float(true["leakage"]), LEAKAGE_SHOTS, by_leakage)
        leakage = max(leakage, LEAKAGE_FLOOR)
        right = 1.0 - READOUT_FIDELITY + (2.0 * READOUT_FIDELITY - 1.0) * float(true["excited"])
        excited = _counted(right, READOUT_SHOTS, by_excited)
        return [10.0**log_error, leakage, log_error, math.log10(leakage), excited]


def _counted(probability: float, shots: int, z: float) -> float:
    """The fraction counted in so many shots, by the normal limit of the binomial distribution."""
    spread = math.sqrt(max(probability * (1.0 - probability), 0.0) / shots)
    return min(max(probability + spread * z, 0.0), 1.0)


def create(seed: int, sleep: Sleep) -> Transmon:
    """The instrument that the server serves."""
    return Transmon(seed, sleep)
