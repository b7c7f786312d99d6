"""Process variables and dynamics of the powder-bed machine and the inspection of its coupons."""

from simulators.alarm import AlarmLimits
from simulators.condition import Condition
from simulators.detector import TriggeredChannels
from simulators.laser_fusion.model import BOUNDS, build
from simulators.noise import TriggerNoise
from simulators.pv import Pv, Sleep
from simulators.setpoint import SetpointPairs

TIME_COMPRESSION = 1200.0
"""Lab seconds per wall second, unless the server is told otherwise."""

RUN_TIME = 300.0
"""Seconds of lab time to build and inspect one coupon."""

CHANNELS = {
    "build_rate": ("cm3/h", "volume per time of laser scan", 0.0),
    "porosity": ("%", "pores by computed tomography", 0.15),
    "balling_ratio": ("", "length to width of the melt pool, by camera", 0.05),
    "melt_width": ("um", "width of the melt pool, by metallography", 0.05),
    "melt_depth": ("um", "depth of the melt pool, by metallography", 0.05),
    "photodiode": ("mV", "coaxial photodiode, 10 mV per absorbed watt", 0.02),
}
"""Unit, meaning, and standard deviation relative to the value. The build rate is no reading: it
follows from the settings."""

LIMITS = {**BOUNDS, "plate_temperature": (20.0, 200.0)}
"""Of the settings, in the units of the model."""

OXYGEN = 200.0
"""Oxygen in the chamber when all is well, ppm."""


class LaserFusion:
    """A machine that builds one coupon at each trigger, under the readbacks at that moment.

    A measurement is a pure function of the seed, the readbacks, and how many coupons were built
    since a setpoint was last put; and of the fouling of the window, which is off at the start.

    Args:
        seed: of the measurement noise.
        sleep: waits for lab time.
    """

    def __init__(self, seed: int, sleep: Sleep) -> None:
        self._noise = TriggerNoise(seed)
        self._setpoints = setpoints = SetpointPairs(LIMITS, on_set=self._noise.restart)
        setpoints.add("power", "LASER:PWR", start=200.0, unit="W", tolerance=0.5, tau=50e-6)
        setpoints.add("speed", "SCAN:SPEED", start=1.0, unit="m/s", tolerance=0.002, tau=1e-3)
        setpoints.add("hatch", "SCAN:HATCH", start=100.0, unit="um", tolerance=0.1, tau=1e-3)
        setpoints.add(
            "layer", "RECOAT:LAYER", start=30.0, unit="um", tolerance=2.5, tau=2.0, resolution=5.0
        )
        setpoints.add(
            "plate_temperature",
            "PLATE:TEMP",
            start=20.0,
            unit="degC",
            tolerance=1.0,
            tau=1200.0,
            alarm_limits=AlarmLimits(high=205.0, hihi=210.0),
        )
        oxygen = Condition(
            "CHAMBER:OXYGEN:RB",
            OXYGEN,
            "ppm",
            what="oxygen in the chamber",
            fault="added to the oxygen, to rehearse a leak",
            fault_limits=(-OXYGEN, 5000.0),
            precision=0,
            alarm_limits=AlarmLimits(high=500.0, hihi=1000.0),
        )
        self._fouled_builds = 0
        self._fouling = Pv(
            "LASER:FOULING",
            0.0,
            "%",
            "twin only: power that the window takes away more with each build; a put cleans it",
            (0.0, 1.0),
            put=self._put_fouling,
            anyone=True,
        )
        inspection = TriggeredChannels(
            "BUILD",
            channels={name.upper(): (unit, what) for name, (unit, what, _) in CHANNELS.items()},
            sample=self._sample,
            run_time=RUN_TIME,
            sleep=sleep,
            what="coupon",
        )
        self.pvs = (*setpoints.pvs, *oxygen.pvs, self._fouling, *inspection.pvs)

    def step(self, seconds: float) -> bool:
        """Let so much lab time pass; True while a readback still moves."""
        return self._setpoints.step(seconds)

    async def _put_fouling(self, value: float) -> None:
        self._fouling.post(value)
        self._fouled_builds = 0

    def _sample(self) -> list[float]:
        settings = self._setpoints.readbacks
        noise = self._noise.draw(settings.values(), len(CHANNELS))
        clear = (1.0 - float(self._fouling.value) / 100.0) ** self._fouled_builds
        made = build(**{**settings, "power": settings["power"] * clear})
        made["photodiode"] = 10.0 * made["absorbed_power"]
        self._fouled_builds += 1
        return [
            float(made[name]) * (1.0 + sigma * z)
            for (name, (_, _, sigma)), z in zip(CHANNELS.items(), noise, strict=True)
        ]


def create(seed: int, sleep: Sleep) -> LaserFusion:
    """The instrument that the server serves."""
    return LaserFusion(seed, sleep)
