"""Process variables and dynamics of the mixer-settlers and of the ICP that assays them."""

import math
from functools import lru_cache

from simulators.alarm import AlarmLimits
from simulators.condition import Condition
from simulators.detector import TriggeredChannels
from simulators.noise import TriggerNoise
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
from simulators.setpoint import SetpointPairs

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

CHANNELS = {
    "RECOVERY": ("", "fraction of the dysprosium that is in the organic"),
    "PURITY": ("", "mass fraction of dysprosium in the organic"),
    "LOG_IMPURITY": ("", "log10 of the mass fraction of neodymium in the organic"),
    "COST": ("", "of the settings, per value of the dysprosium fed"),
    "MARGIN": ("", "recovery less cost"),
    "SCORE": ("", "margin, and less for want of purity"),
    "STEADY": ("", "1 when the readings are those of a steady state"),
    **{
        f"{metal}_{stream}".upper(): ("mg/L", f"{metal.capitalize()} in the {stream}")
        for stream in STREAMS
        for metal in METALS
    },
}
"""Unit and meaning."""


class RareEarths:
    """The cascade at steady state under its readbacks; the ICP samples at the trigger.

    A measurement is a pure function of the seed, the setpoints (as snapped by the readbacks), the
    offset of the pH probe, and how many triggers went before since one of them was last put.

    Args:
        seed: of the measurement noise.
        sleep: waits for lab time.
    """

    def __init__(self, seed: int, sleep: Sleep) -> None:
        self._noise = TriggerNoise(seed)
        self._cascade = lru_cache(maxsize=1)(cascade)  # the same for all assays of a trial
        self._since_change = RESPONSE_TIME
        self._setpoints = setpoints = SetpointPairs(BOUNDS, on_set=self._disturb)
        setpoints.add("ph_feed", "FEED:PH", start=1.5, tolerance=0.005, tau=60.0)
        setpoints.add("ph_scrub", "SCRUB:PH", start=1.0, tolerance=0.005, tau=60.0)
        setpoints.add("organic_ratio", "ORG:FLOW", start=1.0, unit="L/min", tolerance=0.01, tau=5.0)
        setpoints.add(
            "scrub_ratio", "SCRUB:FLOW", start=0.2, unit="L/min", tolerance=0.002, tau=5.0
        )
        setpoints.add("dosage", "ORG:DOSAGE", start=5.0, unit="%", tolerance=0.02, tau=120.0)
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
        level = Condition(
            "SETTLER:LEVEL:RB",
            LEVEL,
            "%",
            what="interface level",
            fault="added to the level, to rehearse crud",
            fault_limits=(-LEVEL, LEVEL),
            precision=1,
            alarm_limits=AlarmLimits(lolo=30.0, low=40.0, high=60.0, hihi=70.0),
        )
        icp = TriggeredChannels(
            "ICP",
            channels=CHANNELS,
            sample=self._sample,
            run_time=RUN_TIME,
            sleep=sleep,
            what="ICP",
        )
        self.pvs = (*setpoints.pvs, self._settled, self._offset, *level.pvs, *icp.pvs)

    def step(self, seconds: float) -> bool:
        """Let so much lab time pass; True while a readback or the cascade is on its way."""
        moving = self._setpoints.moving
        self._setpoints.step(seconds)
        if not moving and not self._settled.value:
            self._since_change += seconds
            if self._since_change >= RESPONSE_TIME:
                self._settled.post(1)
        return moving or not self._settled.value

    def _disturb(self) -> None:
        self._noise.restart()
        self._since_change = 0.0
        self._settled.post(0)

    async def _put_offset(self, value: float) -> None:
        self._offset.post(value)
        self._disturb()

    def _sample(self) -> list[float]:
        settings = self._setpoints.readbacks
        offset = float(self._offset.value)
        noise = self._noise.draw([*settings.values(), offset], 2 * len(STREAMS) * len(METALS))
        true = {**settings, "ph_feed": settings["ph_feed"] - offset}
        stages = self._cascade(**true)
        cost = float(running_cost(**settings))
        if stages["mismatch"][0] > CONVERGED:
            return [0.0, 0.0, 0.0, cost, 0.0, 0.0, 0.0, *[0.0] * (len(STREAMS) * len(METALS))]
        organic = stages["organic"][0, 0] * MOLAR_MASS * 1000.0
        raffinate = stages["aqueous"][0, -1] * MOLAR_MASS * 1000.0
        assay = [
            _assayed(float(value), *noise[2 * index : 2 * index + 2])
            for index, value in enumerate((*organic, *raffinate))
        ]
        nd, dy = assay[:2]
        fed = float(FEED_METAL[1] * MOLAR_MASS[1]) * 1000.0
        recovery = settings["organic_ratio"] * dy / fed
        purity = dy / (nd + dy) if nd + dy > 0 else 0.0
        impurity = max(nd, DETECTION_LIMIT) / max(nd + dy, DETECTION_LIMIT)
        worth = float(score(recovery, purity, cost))
        log_impurity = math.log10(impurity)
        return [recovery, purity, log_impurity, cost, recovery - cost, worth, 1.0, *assay]


def _assayed(value: float, relative: float, blank: float) -> float:
    """What the ICP gives for a concentration in mg/L, with two standard normal numbers."""
    reading = value * (1.0 + RELATIVE_NOISE * relative) + DETECTION_LIMIT / 3.0 * blank
    return reading if reading >= DETECTION_LIMIT else 0.0


def create(seed: int, sleep: Sleep) -> RareEarths:
    """The instrument that the server serves."""
    return RareEarths(seed, sleep)
