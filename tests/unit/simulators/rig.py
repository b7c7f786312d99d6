"""An instrument driven by its process variables, without network or clock."""

import asyncio
from collections.abc import Callable, Mapping
from functools import cache

from orchestrator.adapters.user_files.spec_files import (
    find_campaign,
    find_instrument,
    read_campaign,
    read_instrument,
)
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from simulators.pv import Instrument, Sleep
from simulators.twins import twin_module


class Lab:
    """One instrument; lab time passes only in `set`, and `slept` holds what it waited for.

    Args:
        create: makes the instrument.
        detector: start of the PV names of the detector that `measure` triggers.
        prefixes: start of the PV names of each setting.
        seed: of the measurement noise.
    """

    def __init__(
        self,
        create: Callable[[int, Sleep], Instrument],
        detector: str,
        prefixes: Mapping[str, str],
        seed: int = 0,
    ) -> None:
        self.slept: list[float] = []
        self.twin = create(seed, self.sleep)
        self.pvs = {pv.name: pv for pv in self.twin.pvs}
        self.detector = detector
        self.prefixes = prefixes

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def put(self, pv: str, value: float) -> None:
        asyncio.run(self.pvs[pv].accept(value))

    def get(self, pv: str) -> float:
        return float(self.pvs[pv].value)

    def set(self, settings: Mapping[str, float], step: float = 30.0) -> None:
        """Put the setpoints, and let time pass by steps of so many seconds until all stands."""
        for name, value in settings.items():
            self.put(f"{self.prefixes[name]}:SP", value)
        while self.twin.step(step):
            pass

    def measure(self) -> dict[str, float]:
        """What one trigger gives: each channel by its name in lower case."""
        self.put(f"{self.detector}:TRIGGER", 1)
        return self.readings(self.detector)

    def readings(self, detector: str) -> dict[str, float]:
        """What the channels of a detector hold now."""
        channels = str(self.pvs[f"{detector}:CHANNELS"].value).split(",")
        return {name.lower(): self.get(f"{detector}:{name}") for name in channels}


@cache
def files(twin: str) -> tuple[CampaignSpec, InstrumentSpec]:
    """The campaign and the instrument file that a twin ships."""
    file = find_campaign(twin)
    campaign, _ = read_campaign(file)
    return campaign, read_instrument(find_instrument(campaign.instrument, file))[0]


def names(twin: str) -> tuple[str, dict[str, str]]:
    """Start of the PV names of a twin's detector and of its settings, by its shipped files."""
    campaign, instrument = files(twin)
    prefixes = {name: str(device.prefix) for name, device in instrument.devices.items()}
    parameters = {
        name: prefixes[str(parameter.device)] for name, parameter in campaign.parameters.items()
    }
    return prefixes[campaign.plan.args["detector"]], prefixes | parameters


def shipped(twin: str, seed: int = 0) -> Lab:
    """A shipped twin, its settings named as the parameters and devices of its files are."""
    return Lab(twin_module(twin).create, *names(twin), seed)
