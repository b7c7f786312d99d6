"""Process variables and dynamics of the mirror pair, its beam, and what looks at the focus."""

import math
from functools import partial
from statistics import NormalDist

from simulators.alarm import AlarmLimits, AlarmPv
from simulators.areadetector import Camera, HDF5Plugin
from simulators.areadetector.camera import Frame
from simulators.detector import TriggeredChannels
from simulators.kb_mirrors.dynamics import Benders, ThermalBump
from simulators.kb_mirrors.image import SIZE, frame
from simulators.kb_mirrors.model import BOUNDS, FWHM_PER_SIGMA, evaluate, focus_of
from simulators.motor import Motor
from simulators.noise import TriggerNoise
from simulators.pv import Pv, Sleep

TIME_COMPRESSION = 60.0
"""Lab seconds per wall second, unless the server is told otherwise."""

SCAN_TIME = 20.0
"""Seconds of lab time of a knife-edge scan in both directions."""

RELATIVE_NOISE, ABSOLUTE_NOISE = 0.02, 5.0
"""Standard deviations of a measured width: relative to it, and in nm."""

CENTROID_NOISE = 0.1
"""Standard deviation of a measured position, um."""

COUNTS = 1e6
"""Photons that a scan would count at full flux and full current."""

CURRENT_NOISE = 0.003
"""Standard deviation of what is left of the ring current in the flux, relative."""

RING_CURRENT = 200.0
"""mA that top-up keeps."""

DARK_TIME, REFILL_TIME = 300.0, 300.0
"""Seconds of lab time after a beam dump without beam, and from then to full current."""

EXPOSURE = 0.1
"""Seconds of lab time of one reading of the diode behind the knives."""

EXPOSURE_COUNTS = 1e5
"""Photons that the diode would count in it at full flux and full current."""

DARK_NOISE = 1e-4
"""Standard deviation of the diode without light, relative to the full beam."""

KNIVES = {"knife_v": "KNIFE:V", "knife_h": "KNIFE:H"}
"""Name of the motor record of each knife; at -40 um both are out of the beam."""

SLITS = {"slit_v": ("SLIT:V:SIZE", 1200.0), "slit_h": ("SLIT:H:SIZE", 600.0)}
"""Name of the motor record of each slit, and um at which it is open: the mirror looks smaller."""

NARROWEST, CLOSED = 50.0, 1.0
"""um to which a slit is driven, and what it lets through when it is sent home, to 0."""

NO_LIGHT = -10.0
"""What `LOG_FOCUS` says when there is no flux."""

PREFIXES = {
    "pitch_v": "KBV:PITCH",
    "pitch_h": "KBH:PITCH",
    "bend_vu": "KBV:BNDU",
    "bend_vd": "KBV:BNDD",
    "bend_hu": "KBH:BNDU",
    "bend_hd": "KBH:BNDD",
}
"""Name of the motor record of each parameter."""

CHANNELS = {
    "FWHM_V": ("nm", "vertical size of the focus"),
    "FWHM_H": ("nm", "horizontal size of the focus"),
    "FLUX": ("", "flux per flux before slits and mirrors"),
    "CENTROID_V": ("um", "vertical position of the focus from the rotation centre"),
    "CENTROID_H": ("um", "horizontal position of the focus from the rotation centre"),
    "FOCUS": ("", "flux per (100 nm)^2, less off the rotation centre"),
    "LOG_FOCUS": ("", "decimal logarithm of FOCUS"),
}
"""Unit and meaning."""


class KbMirrors:
    """Two mirrors with three motors each, and what looks at their focus.

    `KB:SPOT` is a knife-edge scanner of its own that gives the result at each trigger. `KB:DIODE`
    reads the flux behind the two knives, for those who scan themselves. `KB:DET:` is an area
    detector that images the focus, whatever the knives do, and writes files. A slit before each
    mirror is open at the start. A measurement is a pure function of the seed, the dial positions
    (as the motors end them), how many triggers went before since a move was last ordered, and
    whether there is beam; unless somebody switches on drift, play, hysteresis or heat.

    Args:
        seed: of the measurement noise.
        sleep: waits for lab time.
        instance: which hidden zero offsets the axes have.
    """

    def __init__(self, seed: int, sleep: Sleep, instance: int = 0) -> None:
        self._instance = instance
        self._spot_noise = TriggerNoise(seed)
        self._diode_noise = TriggerNoise(seed)
        self._frame_noise = TriggerNoise(seed)
        self._since_dump = math.inf
        self._motors = {name: self._motor(name, sleep) for name in BOUNDS}
        self._benders = Benders(
            {name: motor for name, motor in self._motors.items() if name.startswith("bend")}
        )
        self._bump = ThermalBump()
        self._slits = {name: self._slit(name, sleep) for name in SLITS}
        self._knives = {name: self._knife(name, sleep) for name in KNIVES}
        self._sample_z = Motor(  # with all that looks at the focus
            "SMP:Z",
            unit="mm",
            what="sample stage along beam, + downstream",
            limits=(-2.0, 2.0),
            travel=(-2.5, 2.5),
            velocity=0.5,
            ramp=0.1,
            sleep=sleep,
            on_set=self._forget_triggers,
        )
        self._current = AlarmPv(
            "SR:CURRENT",
            RING_CURRENT,
            "mA",
            "ring current",
            precision=2,
            heartbeat=True,
            alarm_limits=AlarmLimits(lolo=150.0, low=190.0),
        )
        self._dump = Pv(
            "SR:DUMP",
            0,
            "",
            "twin only: 1 dumps the beam, which comes back by itself",
            (0, 1),
            put=self._put_dump,
            anyone=True,
        )
        self._drifted = 0.0
        self._drift = Pv(
            "KB:DRIFT",
            0.0,
            "urad",
            "twin only: both mirrors turn by this at each trigger of KB:SPOT; 0 turns them back",
            (-1.0, 1.0),
            put=self._put_drift,
            anyone=True,
        )
        self._shutter = Pv(
            "FE:SHUTTER",
            1,
            "",
            "front-end shutter",
            put=self._put_shutter,
            choices=("Closed", "Open"),
        )
        spot = TriggeredChannels(
            "KB:SPOT",
            channels=CHANNELS,
            sample=self._sample_spot,
            run_time=SCAN_TIME,
            sleep=sleep,
            what="knife edge",
        )
        diode = TriggeredChannels(
            "KB:DIODE",
            channels={
                "TRANSMISSION": ("", "flux behind the knives per flux before slits and mirrors")
            },
            sample=self._sample_diode,
            run_time=EXPOSURE,
            sleep=sleep,
            what="diode",
        )
        camera = Camera(
            "KB:DET:cam1:",
            port="CAM1",
            model="Focus imager",
            size=SIZE,
            expose=self._expose,
            sleep=sleep,
        )
        files = HDF5Plugin("KB:DET:HDF1:", port="HDF1", source="CAM1", size=SIZE)
        camera.feed(files.take)
        self.cameras = {"KB:DET:": camera}
        mirrors, slits = self._motors.values(), self._slits.values()
        self._axes = (*mirrors, *slits, *self._knives.values(), self._sample_z)
        axes = [pv for motor in self._axes for pv in motor.pvs]
        beam = (self._current, self._dump, self._shutter)
        dynamics = (self._drift, *self._benders.pvs, *self._bump.pvs)
        looks = (*spot.pvs, *diode.pvs, *camera.pvs, *files.pvs)
        self.pvs = (*axes, *beam, *dynamics, *looks)

    def step(self, seconds: float) -> bool:
        """Let so much lab time pass; True while a motor moves, the ring fills or a mirror warms."""
        for motor in self._axes:
            motor.step(seconds)
        self._benders.follow()
        warming = self._bump.step(seconds, self._light)
        if self._filling:
            self._since_dump += seconds
            part = (self._since_dump - DARK_TIME) / REFILL_TIME
            self._current.post(RING_CURRENT * min(1.0, max(0.0, part)))
        return self._filling or warming or any(motor.moving for motor in self._axes)

    @property
    def _filling(self) -> bool:
        return self._since_dump < DARK_TIME + REFILL_TIME

    def _motor(self, parameter: str, sleep: Sleep) -> Motor:
        mirror = "vertical" if "_v" in parameter else "horizontal"
        if parameter.startswith("pitch"):  # a piezo on top of a coarse stage
            return Motor(
                PREFIXES[parameter],
                unit="urad",
                what=f"pitch of the {mirror} mirror",
                limits=BOUNDS[parameter],
                travel=(-30.0, 30.0),
                velocity=20.0,
                ramp=0.1,
                sleep=sleep,
                on_set=self._forget_triggers,
            )
        end = "upstream" if parameter.endswith("u") else "downstream"
        return Motor(  # a stepper
            PREFIXES[parameter],
            unit="%",
            what=f"{end} bender, {mirror} mirror",
            limits=(-0.55, 0.55),  # room for the final approach at the ends of `BOUNDS`
            travel=(-1.0, 1.0),
            velocity=0.2,
            ramp=0.5,
            backlash=0.02,
            precision=5,
            sleep=sleep,
            on_set=partial(self._order_bender, parameter),
        )

    def _slit(self, name: str, sleep: Sleep) -> Motor:
        direction = "vertical" if name.endswith("v") else "horizontal"
        record, opened = SLITS[name]
        return Motor(
            record,
            unit="um",
            what=f"size of the slit, {direction} mirror",
            limits=(NARROWEST, opened),
            travel=(0.0, opened + 50.0),
            velocity=200.0,
            ramp=0.1,
            start=opened,
            sleep=sleep,
            on_set=self._forget_triggers,
        )

    def _knife(self, name: str, sleep: Sleep) -> Motor:
        direction = "vertical" if name.endswith("v") else "horizontal"
        return Motor(
            KNIVES[name],
            unit="um",
            what=f"knife that cuts in {direction} direction",
            limits=(-50.0, 50.0),
            travel=(-60.0, 60.0),
            velocity=50.0,
            ramp=0.05,
            start=-40.0,
            sleep=sleep,
            on_set=self._diode_noise.restart,
        )

    def _order_bender(self, parameter: str) -> None:
        self._benders.order(parameter)
        self._forget_triggers()

    def _forget_triggers(self) -> None:
        for noise in (self._spot_noise, self._diode_noise, self._frame_noise):
            noise.restart()

    async def _put_dump(self, value: float) -> None:
        if value:
            self._since_dump = 0.0
            self._current.post(0.0)
        self._dump.post(0)

    async def _put_drift(self, value: float) -> None:
        self._drift.post(value)
        self._drifted = self._drifted if value else 0.0

    async def _put_shutter(self, value: float) -> None:
        self._shutter.post(int(value))

    @property
    def _light(self) -> float:
        """Flux before the mirrors relative to that of full current and open shutter."""
        return float(self._current.value) / RING_CURRENT * int(self._shutter.value)

    def _truth(self) -> dict[str, float]:
        dials = {name: motor.dial for name, motor in self._motors.items()}
        for pitch in ("pitch_v", "pitch_h"):
            dials[pitch] += self._drifted
        for bend, at in self._benders.bends.items():
            dials[bend] = at - self._bump.lost
        slits = {name: max(slit.dial, CLOSED) for name, slit in self._slits.items()}
        z = self._sample_z.dial
        outcomes = evaluate(**dials, **slits, instance=self._instance, sample_z=z)
        return {name: float(value) for name, value in outcomes.items()}

    def _dials(self, *more: Motor) -> list[float]:
        """Where the mirrors stand, and more; slits and sample stage count only where moved to."""
        dials = [motor.dial for motor in (*self._motors.values(), *more)]
        slits = [slit.dial for slit in self._slits.values()]
        if slits != [opened for _, opened in SLITS.values()]:
            dials += slits
        return [*dials, z] if (z := self._sample_z.dial) else dials

    def _sample_spot(self) -> list[float]:
        noise = self._spot_noise.draw(self._dials(), 8)
        self._drifted += float(self._drift.value)
        if self._light == 0.0:
            return [0.0] * (len(CHANNELS) - 1) + [NO_LIGHT]
        true = self._truth()
        fwhm_v, fwhm_h = (
            true[name] * (1.0 + RELATIVE_NOISE * relative) + ABSOLUTE_NOISE * absolute
            for name, relative, absolute in zip(
                ("fwhm_v", "fwhm_h"), noise[0:2], noise[2:4], strict=True
            )
        )
        shot = 1.0 / math.sqrt(COUNTS * self._light * true["flux"])
        flux = true["flux"] * (1.0 + shot * noise[4] + CURRENT_NOISE * noise[5])
        centroid_v = true["centroid_v"] + CENTROID_NOISE * noise[6]
        centroid_h = true["centroid_h"] + CENTROID_NOISE * noise[7]
        focus = float(focus_of(flux, fwhm_v, fwhm_h, centroid_v, centroid_h))
        return [fwhm_v, fwhm_h, flux, centroid_v, centroid_h, focus, math.log10(focus)]

    def _sample_diode(self) -> list[float]:
        shot, ring, dark = self._diode_noise.draw(self._dials(*self._knives.values()), 3)
        if self._light == 0.0:
            return [DARK_NOISE * dark]
        true = self._truth()
        passed = true["flux"]
        for name, knife in self._knives.items():  # each cuts off what lies below it
            axis = name.removeprefix("knife_")
            sigma = true[f"fwhm_{axis}"] * 1e-3 / FWHM_PER_SIGMA
            passed *= NormalDist(knife.dial, sigma).cdf(true[f"centroid_{axis}"])
        photons = EXPOSURE_COUNTS * self._light
        shot *= math.sqrt(passed / photons)
        return [passed * (1.0 + CURRENT_NOISE * ring) + shot + DARK_NOISE * dark]

    def _expose(self, seconds: float) -> Frame:
        noise = self._frame_noise.image(self._dials(), SIZE)
        return frame(self._truth(), seconds * self._light, noise)


def create(seed: int, sleep: Sleep) -> KbMirrors:
    """The instrument that the server serves."""
    return KbMirrors(seed, sleep)
