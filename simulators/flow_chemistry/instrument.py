"""Process variables and dynamics of the flow reactor and its HPLC."""

from simulators.detector import TriggeredChannels
from simulators.flow_chemistry.model import BOUNDS, SPECIES, concentrations
from simulators.noise import standard_normal
from simulators.pv import Pv, Sleep
from simulators.setpoint import SetpointPair

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


class FlowChemistry:
    """The reactor at steady state under its readbacks; the HPLC samples at the trigger.

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
            "residence_time": self._pair("FC:TAU", "residence_time", 1.0, "min", 0.01, 5.0),
            "equivalents": self._pair("FC:EQ", "equivalents", 2.0, "", 0.01, 5.0),
            "concentration": self._pair("FC:CONC", "concentration", 0.2, "mol/L", 0.002, 5.0),
            "temperature": self._pair("FC:TEMP", "temperature", 30.0, "degC", 0.2, 60.0),
        }
        self._pressure = Pv(
            "FC:PRESSURE:RB", PRESSURE, "bar", "system pressure", precision=2, heartbeat=True
        )
        self._fault = Pv(
            "FC:PRESSURE:FAULT",
            0.0,
            "bar",
            "twin only: added to the pressure, to rehearse a blockage",
            (-PRESSURE, 20.0),
            precision=2,
            put=self._put_fault,
            anyone=True,
        )
        channels = {name.upper(): ("mol/L", f"{name} at the outlet") for name in SPECIES}
        hplc = TriggeredChannels(
            "FC:HPLC",
            channels={**channels, "PEAK_AREA": ("mAU*s", "total peak area")},
            sample=self._sample,
            run_time=RUN_TIME,
            sleep=sleep,
            what="HPLC",
        )
        axes = [pv for pair in self._pairs.values() for pv in pair.pvs]
        self.pvs = (*axes, self._pressure, self._fault, *hplc.pvs)

    def step(self, seconds: float) -> bool:
        """Let so much lab time pass; True while a readback still moves."""
        for pair in self._pairs.values():
            pair.step(seconds)
        return any(pair.moving for pair in self._pairs.values())

    def _pair(
        self, prefix: str, parameter: str, start: float, unit: str, tolerance: float, tau: float
    ) -> SetpointPair:
        return SetpointPair(
            prefix,
            start=start,
            unit=unit,
            what=parameter.replace("_", " "),
            limits=BOUNDS[parameter],
            tolerance=tolerance,
            tau=tau,
            on_set=self._forget_triggers,
        )

    def _forget_triggers(self) -> None:
        self._triggers = 0

    async def _put_fault(self, value: float) -> None:
        self._fault.post(value)
        self._pressure.post(PRESSURE + value)

    def _sample(self) -> list[float]:
        settings = {name: pair.readback for name, pair in self._pairs.items()}
        outlet = concentrations(**settings)
        true = [float(outlet[name]) for name in SPECIES]
        true.append(sum(RESPONSE[name] * float(outlet[name]) for name in SPECIES))
        noise = standard_normal(self._seed, list(settings.values()), self._triggers, len(true))
        self._triggers += 1
        return [value * (1.0 + RELATIVE_NOISE * z) for value, z in zip(true, noise, strict=True)]


def create(seed: int, sleep: Sleep) -> FlowChemistry:
    """The instrument that the server serves."""
    return FlowChemistry(seed, sleep)
