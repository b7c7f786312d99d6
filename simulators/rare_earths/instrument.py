"""Process variables and dynamics of the mixer-settlers and of the ICP that assays them."""

from simulators.detector import TriggeredChannels
from simulators.noise import standard_normal
from simulators.pv import Pv, Sleep
from simulators.rare_earths.model import (
    BOUNDS,
    CONVERGED,
    FEED_METAL,
    METALS,
    MOLAR_MASS,
    cascade,
    running_cost,
    score,
)
from simulators.setpoint import SetpointPair

TIME_COMPRESSION = 6000.0
"""Lab seconds per wall second, unless the server is told otherwise."""

RESPONSE_TIME = 2400.0
"""Seconds of lab time that the stages need after a change: 8 stages of 5 minutes."""

RUN_TIME = 120.0
"""Seconds of lab time of one assay."""

RELATIVE_NOISE = 0.02
"""Standard deviation of a concentration, relative to its value."""

DETECTION_LIMIT = 0.5
"""mg/L: three standard deviations of a blank. What reads less is published as 0."""

LEVEL = 50.0
"""Steady height of the interface between the phases in the settlers, %."""

STREAMS = ("organic", "raffinate")


class RareEarths:
    """The cascade at steady state under its readbacks; the ICP samples at the trigger.

    A measurement is a pure function of the seed, the setpoints (as snapped by the readbacks), the
    offset of the pH probe, and how many triggers went before since one of them was last put.

    Args:
        seed: of the measurement noise.
        sleep: waits for lab time.
    """

    def __init__(self, seed: int, sleep: Sleep) -> None:
        self._seed = seed
        self._triggers = 0
        self._since_change = RESPONSE_TIME
        self._pairs = {
            "ph_feed": self._pair("FEED:PH", "ph_feed", 1.5, "", 0.005, 60.0),
            "ph_scrub": self._pair("SCRUB:PH", "ph_scrub", 1.0, "", 0.005, 60.0),
            "organic_ratio": self._pair("ORG:FLOW", "organic_ratio", 1.0, "L/min", 0.01, 5.0),
            "scrub_ratio": self._pair("SCRUB:FLOW", "scrub_ratio", 0.2, "L/min", 0.002, 5.0),
            "dosage": self._pair("ORG:DOSAGE", "dosage", 5.0, "%", 0.02, 120.0),
        }
        self._settled = Pv("CASCADE:SETTLED", 1, "", "1 when nothing changed for long enough")
        self._offset = Pv(
            "FEED:PH:OFFSET",
            0.0,
            "",
            "twin only: how much too high the probe of the feed reads",
            (-0.2, 0.2),
            put=self._put_offset,
            anyone=True,
        )
        self._level = Pv(
            "SETTLER:LEVEL:RB", LEVEL, "%", "interface level", precision=1, heartbeat=True
        )
        self._fault = Pv(
            "SETTLER:LEVEL:FAULT",
            0.0,
            "%",
            "twin only: added to the level, to rehearse crud",
            (-LEVEL, LEVEL),
            precision=1,
            put=self._put_fault,
            anyone=True,
        )
        icp = TriggeredChannels(
            "ICP",
            channels={
                "RECOVERY": ("", "fraction of the dysprosium that is in the organic"),
                "PURITY": ("", "mass fraction of dysprosium in the organic"),
                "COST": ("", "of the settings, per value of the dysprosium fed"),
                "SCORE": ("", "recovery less cost, and less for want of purity"),
                "STEADY": ("", "1 when the readings are those of a steady state"),
                **{
                    f"{metal}_{stream}".upper(): ("mg/L", f"{metal.capitalize()} in the {stream}")
                    for stream in STREAMS
                    for metal in METALS
                },
            },
            sample=self._sample,
            run_time=RUN_TIME,
            sleep=sleep,
            what="ICP",
        )
        axes = [pv for pair in self._pairs.values() for pv in pair.pvs]
        self.pvs = (*axes, self._settled, self._offset, self._level, self._fault, *icp.pvs)

    def step(self, seconds: float) -> bool:
        """Let so much lab time pass; True while a readback or the cascade is on its way."""
        moving = any(pair.moving for pair in self._pairs.values())
        for pair in self._pairs.values():
            pair.step(seconds)
        if not moving and not self._settled.value:
            self._since_change += seconds
            if self._since_change >= RESPONSE_TIME:
                self._settled.post(1)
        return moving or not self._settled.value

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
            on_set=self._disturb,
        )

    def _disturb(self) -> None:
        self._triggers = 0
        self._since_change = 0.0
        self._settled.post(0)

    async def _put_offset(self, value: float) -> None:
        self._offset.post(value)
        self._disturb()

    async def _put_fault(self, value: float) -> None:
        self._fault.post(value)
        self._level.post(LEVEL + value)

    def _sample(self) -> list[float]:
        read = {name: pair.readback for name, pair in self._pairs.items()}
        offset = float(self._offset.value)
        true = {**read, "ph_feed": read["ph_feed"] - offset}
        stages = cascade(**true)
        trigger, self._triggers = self._triggers, self._triggers + 1
        cost = float(running_cost(**read))
        if stages["mismatch"][0] > CONVERGED:
            return [0.0, 0.0, cost, 0.0, 0.0, *[0.0] * (len(STREAMS) * len(METALS))]
        organic = stages["organic"][0, 0] * MOLAR_MASS * 1000.0
        raffinate = stages["aqueous"][0, -1] * MOLAR_MASS * 1000.0
        noise = standard_normal(self._seed, [*read.values(), offset], trigger, 8)
        assay = [
            _assayed(float(value), *noise[2 * index : 2 * index + 2])
            for index, value in enumerate((*organic, *raffinate))
        ]
        nd, dy = assay[:2]
        fed = float(FEED_METAL[1] * MOLAR_MASS[1]) * 1000.0
        recovery = read["organic_ratio"] * dy / fed
        purity = dy / (nd + dy) if nd + dy > 0 else 0.0
        return [recovery, purity, cost, float(score(recovery, purity, cost)), 1.0, *assay]


def _assayed(value: float, relative: float, blank: float) -> float:
    """What the ICP gives for a concentration in mg/L, with two standard normal numbers."""
    reading = value * (1.0 + RELATIVE_NOISE * relative) + DETECTION_LIMIT / 3.0 * blank
    return reading if reading >= DETECTION_LIMIT else 0.0


def create(seed: int, sleep: Sleep) -> RareEarths:
    """The instrument that the server serves."""
    return RareEarths(seed, sleep)
