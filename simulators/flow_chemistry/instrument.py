"""Process variables and dynamics of the flow reactor and its HPLC."""

from simulators.alarm import AlarmLimits
from simulators.condition import Condition
from simulators.detector import TriggeredChannels
from simulators.flow_chemistry.model import BOUNDS, SPECIES, concentrations
from simulators.noise import TriggerNoise
from simulators.pv import Sleep
from simulators.setpoint import SetpointPairs

TIME_COMPRESSION = 600.0
"""Lab seconds per wall second, unless the server is told otherwise."""

RUN_TIME = 90.0
"""Seconds of lab time of one HPLC run."""

RELATIVE_NOISE = 0.01
"""Standard deviation of each channel, relative to its value."""

RESPONSE = {"substrate": 6000.0, "amine": 20.0, "ortho": 9000.0, "para": 11000.0, "bis": 10000.0}
"""Detector response in mAU*s per mol/L."""

PRESSURE = 3.0
"""Steady pressure of the system, bar."""

CHANNELS = {
    **{name.upper(): ("mol/L", f"{name} at the outlet") for name in SPECIES},
    "PEAK_AREA": ("mAU*s", "total peak area"),
}
"""Unit and meaning."""


class FlowChemistry:
    """The reactor at steady state under its readbacks; the HPLC samples at the trigger.

    A measurement is a pure function of the seed, the setpoints (as snapped by the readbacks), and
    how many triggers went before since a setpoint was last put.

    Args:
        seed: of the measurement noise.
        sleep: waits for lab time.
    """

    def __init__(self, seed: int, sleep: Sleep) -> None:
        self._noise = TriggerNoise(seed)
        self._setpoints = setpoints = SetpointPairs(BOUNDS, on_set=self._noise.restart)
        setpoints.add("residence_time", "FC:TAU", start=1.0, unit="min", tolerance=0.01, tau=5.0)
        setpoints.add("equivalents", "FC:EQ", start=2.0, tolerance=0.01, tau=5.0)
        setpoints.add("concentration", "FC:CONC", start=0.2, unit="mol/L", tolerance=0.002, tau=5.0)
        setpoints.add(
            "temperature",
            "FC:TEMP",
            start=30.0,
            unit="degC",
            tolerance=0.2,
            tau=60.0,
            alarm_limits=AlarmLimits(high=125.0, hihi=130.0),
        )
        pressure = Condition(
            "FC:PRESSURE:RB",
            PRESSURE,
            "bar",
            what="system pressure",
            fault="added to the pressure, to rehearse a blockage",
            fault_limits=(-PRESSURE, 20.0),
            precision=2,
            alarm_limits=AlarmLimits(low=1.0, high=6.0, hihi=8.0),
        )
        hplc = TriggeredChannels(
            "FC:HPLC",
            channels=CHANNELS,
            sample=self._sample,
            run_time=RUN_TIME,
            sleep=sleep,
            what="HPLC",
        )
        self.pvs = (*setpoints.pvs, *pressure.pvs, *hplc.pvs)

    def step(self, seconds: float) -> bool:
        """Let so much lab time pass; True while a readback still moves."""
        return self._setpoints.step(seconds)

    def _sample(self) -> list[float]:
        settings = self._setpoints.readbacks
        outlet = concentrations(**settings)
        true = [float(outlet[name]) for name in SPECIES]
        true.append(sum(RESPONSE[name] * float(outlet[name]) for name in SPECIES))
        noise = self._noise.draw(settings.values(), len(true))
        return [value * (1.0 + RELATIVE_NOISE * z) for value, z in zip(true, noise, strict=True)]


def create(seed: int, sleep: Sleep) -> FlowChemistry:
    """The instrument that the server serves."""
    return FlowChemistry(seed, sleep)
