"""Process variables and dynamics of the fermenter, and what is measured of a batch."""

from simulators.detector import TriggeredChannels
from simulators.noise import standard_normal
from simulators.penicillin.model import BOUNDS, GROWTH, INOCULUM, ferment
from simulators.pv import Pv, Sleep
from simulators.setpoint import SetpointPair

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


class Penicillin:
    """A fermenter that runs a batch at each trigger, with the recipe of its readbacks.

    A measurement is a pure function of the seed, the setpoints (as snapped by the readbacks), and
    how many triggers went before since a setpoint was last put.

    Args:
        seed: of the scatter and the measurement noise.
        sleep: waits for lab time.
    """

    def __init__(self, seed: int, sleep: Sleep) -> None:
        self._seed = seed
        self._triggers = 0
        self._pairs = {
            "feed_1": self._pair("PEN:FEED1", "feed_1", 10.0, "g/h", 2.0, "first feed"),
            "switch_1": self._pair("PEN:TIME1", "switch_1", 60.0, "h", 1.0, "hours of it"),
            "feed_2": self._pair("PEN:FEED2", "feed_2", 10.0, "g/h", 2.0, "second feed"),
            "switch_2": self._pair("PEN:TIME2", "switch_2", 30.0, "h", 1.0, "hours of it"),
            "feed_3": self._pair("PEN:FEED3", "feed_3", 10.0, "g/h", 2.0, "third feed"),
            "duration": self._pair("PEN:HARVEST", "duration", 126.0, "h", 1.0, "hours to harvest"),
        }
        self._stirrer = Pv(
            "PEN:STIR:SPEED", STIRRER_SPEED, "rpm", "stirrer", precision=0, heartbeat=True
        )
        self._fault = Pv(
            "PEN:STIR:FAULT",
            0.0,
            "rpm",
            "twin only: added to the speed, to rehearse a failing stirrer",
            (-STIRRER_SPEED, STIRRER_SPEED),
            precision=0,
            put=self._put_fault,
            anyone=True,
        )
        batch = TriggeredChannels(
            "PEN:BATCH",
            channels={
                "MASS": ("g", "penicillin at the harvest"),
                "MAX_BIOMASS": ("g/L", "largest biomass on the way"),
                "MAX_SUBSTRATE": ("g/L", "largest substrate on the way"),
                "TITRE": ("g/L", "penicillin at the harvest, by HPLC"),
                "VOLUME": ("L", "at the harvest, by load cell"),
            },
            sample=self._sample,
            run_time=self._run_time,
            sleep=sleep,
            what="batch",
        )
        axes = [pv for pair in self._pairs.values() for pv in pair.pvs]
        self.pvs = (*axes, self._stirrer, self._fault, *batch.pvs)

    def step(self, seconds: float) -> bool:
        """Let so much lab time pass; True while a readback still moves."""
        for pair in self._pairs.values():
            pair.step(seconds)
        return any(pair.moving for pair in self._pairs.values())

    def _pair(
        self, prefix: str, parameter: str, start: float, unit: str, tau: float, what: str
    ) -> SetpointPair:
        return SetpointPair(
            prefix,
            start=start,
            unit=unit,
            what=what,
            limits=BOUNDS[parameter],
            tolerance=0.01,
            tau=tau,
            on_set=self._forget_triggers,
        )

    def _forget_triggers(self) -> None:
        self._triggers = 0

    async def _put_fault(self, value: float) -> None:
        self._fault.post(value)
        self._stirrer.post(STIRRER_SPEED + value)

    def _run_time(self) -> float:
        return self._pairs["duration"].readback * HOUR

    def _sample(self) -> list[float]:
        recipe = {name: pair.readback for name, pair in self._pairs.items()}
        growth, inoculum, pump, hplc, load_cell, biomass, substrate = standard_normal(
            self._seed, list(recipe.values()), self._triggers, 7
        )
        self._triggers += 1
        for feed in ("feed_1", "feed_2", "feed_3"):
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
