"""Process variables and dynamics of the tokamak: references are set, then a pulse is fired."""

from simulators.alarm import AlarmLimits
from simulators.condition import Condition
from simulators.detector import TriggeredChannels
from simulators.noise import TriggerNoise
from simulators.pv import Pv, Sleep
from simulators.setpoint import SetpointPairs
from simulators.tokamak.model import (
    ALPHA_SHARE,
    BOUNDS,
    COLLAPSED,
    DISRUPTED,
    OHMIC_POWER,
    discharge,
    normalized_beta,
)

TIME_COMPRESSION = 6000.0
"""Lab seconds per wall second, unless the server is told otherwise."""

PULSE_TIME = 400.0
"""Seconds of lab time from trigger to result."""

COOLDOWN_TIME = 600.0
"""Seconds of lab time that a pulse takes longer when it disrupts."""

CONFINEMENT_SCATTER = 0.03
"""Standard deviation of the confinement time from pulse to pulse, relative to its value."""

NOISE = {
    "fusion_power": 0.07,
    "temperature": 0.05,
    "stored_energy": 0.03,
    "radiated_power": 0.05,
}
"""Standard deviations of what is measured in a pulse, relative to the value."""

BEAM_POWER = 33.0
"""MW that the neutral beams can give; the rest of the heating is electron cyclotron."""

COIL_TEMPERATURE = 4.5
"""Steady temperature of the coils, K."""

CHANNELS = {
    "FUSION_POWER": ("MW", "from the neutron flux"),
    "GAIN": ("", "fusion power per heating power"),
    "Q95": ("", "safety factor"),
    "SEPARATRIX_POWER": ("MW", "heating less radiation"),
    "BETA_N": ("%", "normalized beta, from the stored energy"),
    "REGIME": ("", "-1 disrupted, 0 collapsed, 1 L-mode, 2 H-mode"),
    "TEMPERATURE": ("keV", "of the electrons in the centre"),
    "STORED_ENERGY": ("MJ", "from the diamagnetic loop"),
    "RADIATED_POWER": ("MW", "from the bolometers"),
}
"""Unit and meaning."""


class Tokamak:
    """The plasma at flat top of a pulse under the readbacks at its trigger.

    A measurement is a pure function of the seed, the setpoints (as snapped by the readbacks), and
    how many triggers went before since a setpoint was last put.

    Args:
        seed: of the scatter between pulses, and of the measurement noise.
        sleep: waits for lab time.
    """

    def __init__(self, seed: int, sleep: Sleep) -> None:
        self._sleep = sleep
        self._disrupted = False
        self._noise = TriggerNoise(seed)
        self._setpoints = setpoints = SetpointPairs(BOUNDS, on_set=self._noise.restart)
        setpoints.add("plasma_current", "IP:REF", start=12.0, unit="MA", tolerance=0.01, tau=1.0)
        setpoints.add(
            "field",
            "BT:REF",
            start=5.3,
            unit="T",
            tolerance=0.002,
            tau=120.0,
            locked=self._coils_locked,
        )
        setpoints.add("greenwald_fraction", "PELLET:DENSITY", start=0.6, tolerance=0.002, tau=2.0)
        setpoints.add("heating_power", "HEAT:PWR", start=40.0, unit="MW", tolerance=0.1, tau=0.5)
        setpoints.add("tritium_fraction", "GAS:T2", start=0.5, tolerance=0.002, tau=2.0)
        setpoints.add("argon_fraction", "GAS:AR", start=0.0, unit="%", tolerance=0.001, tau=2.0)
        self._shares = {
            "beams": Pv("NBI:PWR:RB", 0.0, "MW", "heating by neutral beams"),
            "waves": Pv("ECH:PWR:RB", 0.0, "MW", "heating by electron cyclotron waves"),
            "deuterium": Pv("GAS:D2:RB", 0.0, "", "deuterium, fraction of the fuel"),
        }
        self._state = Pv("PULSE:STATE", "ready", "", "ready, pulse or cooldown")
        coils = Condition(
            "CRYO:TEMP:RB",
            COIL_TEMPERATURE,
            "K",
            what="coil temperature",
            fault="added to the coil temperature, to rehearse a weak cryoplant",
            fault_limits=(-COIL_TEMPERATURE, 20.0),
            precision=2,
            alarm_limits=AlarmLimits(high=4.7, hihi=5.0),
        )
        pulse = TriggeredChannels(
            "PULSE",
            channels=CHANNELS,
            sample=self._sample,
            run_time=PULSE_TIME,
            sleep=self._fire,
            what="pulse",
        )
        machine = (*self._shares.values(), self._state, *coils.pvs)
        self.pvs = (*setpoints.pvs, *machine, *pulse.pvs)
        self._share()

    def step(self, seconds: float) -> bool:
        """Let so much lab time pass; True while a readback still moves."""
        moving = self._setpoints.step(seconds)
        self._share()
        return moving

    def _coils_locked(self) -> str:
        return "" if self._state.value == "ready" else "the field stays as it is during a pulse"

    def _share(self) -> None:
        """What follows from the readbacks; posted on change alone."""
        settings = self._setpoints.readbacks
        beams = min(settings["heating_power"], BEAM_POWER)
        for name, value in (
            ("beams", beams),
            ("waves", settings["heating_power"] - beams),
            ("deuterium", 1.0 - settings["tritium_fraction"]),
        ):
            if self._shares[name].value != value:
                self._shares[name].post(value)

    async def _fire(self, seconds: float) -> None:
        """Wait for the end of the pulse, and after a disruption until the machine is cold."""
        self._state.post("pulse")
        await self._sleep(seconds)
        if self._disrupted:
            self._state.post("cooldown")
            await self._sleep(COOLDOWN_TIME)
        self._state.post("ready")

    def _sample(self) -> list[float]:
        settings = self._setpoints.readbacks
        scatter, *noise = self._noise.draw(settings.values(), 1 + len(NOISE))
        plasma = discharge(**settings, confinement=1.0 + CONFINEMENT_SCATTER * scatter)
        truth = {name: float(value[0]) for name, value in plasma.items()}
        self._disrupted = truth["regime"] == DISRUPTED
        seen = {
            name: truth[name] * (1.0 + sigma * z)
            for (name, sigma), z in zip(NOISE.items(), noise, strict=True)
        }
        heats = ALPHA_SHARE * seen["fusion_power"] + OHMIC_POWER + settings["heating_power"]
        crosses = heats - seen["radiated_power"] if truth["regime"] > COLLAPSED else 0.0
        beta = normalized_beta(seen["stored_energy"], settings["plasma_current"], settings["field"])
        return [
            seen["fusion_power"],
            seen["fusion_power"] / settings["heating_power"],
            truth["q95"],
            crosses,
            float(beta),
            truth["regime"],
            2.0 * seen["temperature"],
            seen["stored_energy"],
            seen["radiated_power"],
        ]


def create(seed: int, sleep: Sleep) -> Tokamak:
    """The instrument that the server serves."""
    return Tokamak(seed, sleep)
