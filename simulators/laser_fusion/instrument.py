"""Process variables and dynamics of the powder-bed machine and the inspection of its coupons."""

from simulators.detector import TriggeredChannels
from simulators.laser_fusion.model import BOUNDS, build
from simulators.noise import standard_normal
from simulators.pv import Pv, Sleep
from simulators.setpoint import SetpointPair

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
        self._seed = seed
        self._triggers = 0
        self._fouled_builds = 0
        self._pairs = {
            "power": self._pair("LASER:PWR", "power", "W", start=200.0, tolerance=0.5, tau=50e-6),
            "speed": self._pair("SCAN:SPEED", "speed", "m/s", start=1.0, tolerance=0.002, tau=1e-3),
            "hatch": self._pair("SCAN:HATCH", "hatch", "um", start=100.0, tolerance=0.1, tau=1e-3),
            "layer": self._pair(
                "RECOAT:LAYER", "layer", "um", start=30.0, tolerance=2.5, tau=2.0, resolution=5.0
            ),
            "plate_temperature": self._pair(
                "PLATE:TEMP", "plate_temperature", "degC", start=20.0, tolerance=1.0, tau=1200.0
            ),
        }
        self._oxygen = Pv(
            "CHAMBER:OXYGEN:RB", OXYGEN, "ppm", "oxygen in the chamber", precision=0, heartbeat=True
        )
        self._leak = Pv(
            "CHAMBER:OXYGEN:FAULT",
            0.0,
            "ppm",
            "twin only: added to the oxygen, to rehearse a leak",
            (-OXYGEN, 5000.0),
            precision=0,
            put=self._put_leak,
            anyone=True,
        )
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
        axes = [pv for pair in self._pairs.values() for pv in pair.pvs]
        self.pvs = (*axes, self._oxygen, self._leak, self._fouling, *inspection.pvs)

    def step(self, seconds: float) -> bool:
        """Let so much lab time pass; True while a readback still moves."""
        for pair in self._pairs.values():
            pair.step(seconds)
        return any(pair.moving for pair in self._pairs.values())

    def _pair(
        self,
        prefix: str,
        setting: str,
        unit: str,
        *,
        start: float,
        tolerance: float,
        tau: float,
        resolution: float = 0.0,
    ) -> SetpointPair:
        return SetpointPair(
            prefix,
            start=start,
            unit=unit,
            what=setting.replace("_", " "),
            limits=LIMITS[setting],
            tolerance=tolerance,
            tau=tau,
            on_set=self._forget_triggers,
            resolution=resolution,
        )

    def _forget_triggers(self) -> None:
        self._triggers = 0

    async def _put_leak(self, value: float) -> None:
        self._leak.post(value)
        self._oxygen.post(OXYGEN + value)

    async def _put_fouling(self, value: float) -> None:
        self._fouling.post(value)
        self._fouled_builds = 0

    def _sample(self) -> list[float]:
        settings = {name: pair.readback for name, pair in self._pairs.items()}
        noise = standard_normal(self._seed, list(settings.values()), self._triggers, len(CHANNELS))
        clear = (1.0 - float(self._fouling.value) / 100.0) ** self._fouled_builds
        made = build(**{**settings, "power": settings["power"] * clear})
        made["photodiode"] = 10.0 * made["absorbed_power"]
        self._triggers += 1
        self._fouled_builds += 1
        return [
            float(made[name]) * (1.0 + sigma * z)
            for (name, (_, _, sigma)), z in zip(CHANNELS.items(), noise, strict=True)
        ]


def create(seed: int, sleep: Sleep) -> LaserFusion:
    """The instrument that the server serves."""
    return LaserFusion(seed, sleep)
