"""Process variables and dynamics of the fermenter, and what is measured of a batch."""

from simulators.alarm import AlarmLimits
from simulators.condition import Condition
from simulators.detector import TriggeredChannels
from simulators.noise import TriggerNoise
from simulators.penicillin.model import BOUNDS, GROWTH, INOCULUM, ferment
from simulators.pv import Sleep
from simulators.setpoint import SetpointPairs

TIME_COMPRESSION = 1e6
"""Lab seconds per wall second, unless the server is told otherwise: 100 hours take 0.36 s."""

HOUR = 3600.0
"""Seconds."""

GROWTH_SCATTER, INOCULUM_SCATTER, PUMP_SCATTER = 0.025, 0.05, 0.01
"""Relative standard deviations from batch to batch."""

HPLC_NOISE, DRY_WEIGHT_NOISE, SUBSTRATE_NOISE = 0.04, 0.05, 0.05
"""Relative standard deviations of what is read."""

LOAD_CELL_NOISE = 0.02
"""Standard deviation of the volume, L."""

STIRRER_SPEED = 400.0
"""Of the stirrer when all is well, rpm."""

FEEDS = ("feed_1", "feed_2", "feed_3")
"""The parameters that the pump sets."""

CHANNELS = {
    "MASS": ("g", "penicillin at the harvest"),
    "MAX_BIOMASS": ("g/L", "largest biomass on the way"),
    "MAX_SUBSTRATE": ("g/L", "largest substrate on the way"),
    "TITRE": ("g/L", "penicillin at the harvest, by HPLC"),
    "VOLUME": ("L", "at the harvest, by load cell"),
}
"""Unit and meaning."""


class Penicillin:
    """A fermenter that runs a batch at each trigger, with the recipe of its readbacks.

    A measurement is a pure function of the seed, the setpoints (as snapped by the readbacks), and
    how many triggers went before since a setpoint was last put.

    Args:
        seed: of the scatter and the measurement noise.
        sleep: waits for lab time.
    """

    def __init__(self, seed: int, sleep: Sleep) -> None:
        self._noise = TriggerNoise(seed)
        self._setpoints = setpoints = SetpointPairs(BOUNDS, on_set=self._noise.restart)
        for parameter, prefix, start, what in (
            ("feed_1", "PEN:FEED1", 10.0, "first feed"),
            ("switch_1", "PEN:TIME1", 60.0, "hours of it"),
            ("feed_2", "PEN:FEED2", 10.0, "second feed"),
            ("switch_2", "PEN:TIME2", 30.0, "hours of it"),
            ("feed_3", "PEN:FEED3", 10.0, "third feed"),
            ("duration", "PEN:HARVEST", 126.0, "hours to harvest"),
        ):
            unit, tau = ("g/h", 2.0) if parameter in FEEDS else ("h", 1.0)
            setpoints.add(
                parameter, prefix, start=start, unit=unit, what=what, tolerance=0.01, tau=tau
            )
        stirrer = Condition(
            "PEN:STIR:SPEED",
            STIRRER_SPEED,
            "rpm",
            what="stirrer",
            fault="added to the speed, to rehearse a failing stirrer",
            fault_limits=(-STIRRER_SPEED, STIRRER_SPEED),
            precision=0,
            alarm_limits=AlarmLimits(lolo=300.0, low=380.0),
        )
        batch = TriggeredChannels(
            "PEN:BATCH",
            channels=CHANNELS,
            sample=self._sample,
            run_time=self._run_time,
            sleep=sleep,
            what="batch",
        )
        self.pvs = (*setpoints.pvs, *stirrer.pvs, *batch.pvs)

    def step(self, seconds: float) -> bool:
        """Let so much lab time pass; True while a readback still moves."""
        return self._setpoints.step(seconds)

    def _run_time(self) -> float:
        return self._setpoints.readbacks["duration"] * HOUR

    def _sample(self) -> list[float]:
        recipe = self._setpoints.readbacks
        growth, inoculum, pump, hplc, load_cell, biomass, substrate = self._noise.draw(
            recipe.values(), 7
        )
        for feed in FEEDS:
            recipe[feed] *= 1.0 + PUMP_SCATTER * pump
        batch = ferment(
            **recipe,
            growth=GROWTH * (1.0 + GROWTH_SCATTER * growth),
            inoculum=INOCULUM * (1.0 + INOCULUM_SCATTER * inoculum),
        )
        titre = float(batch["titre"]) * (1.0 + HPLC_NOISE * hplc)
        volume = float(batch["volume"]) + LOAD_CELL_NOISE * load_cell
        return [
            titre * volume,
            float(batch["max_biomass"]) * (1.0 + DRY_WEIGHT_NOISE * biomass),
            float(batch["max_substrate"]) * (1.0 + SUBSTRATE_NOISE * substrate),
            titre,
            volume,
        ]


def create(seed: int, sleep: Sleep) -> Penicillin:
    """The instrument that the server serves."""
    return Penicillin(seed, sleep)
