import asyncio

import numpy as np
import pytest

from orchestrator.adapters.spec_files import (
    find_campaign,
    find_instrument,
    read_campaign,
    read_instrument,
)
from simulators.pv import PutRefused
from simulators.tokamak.instrument import COOLDOWN_TIME, PULSE_TIME, Tokamak
from simulators.tokamak.model import BOUNDS, DISRUPTED, OPTIMUM, discharge, evaluate

PREFIXES = dict(
    zip(
        BOUNDS,
        ("IP:REF", "BT:REF", "PELLET:DENSITY", "HEAT:PWR", "GAS:T2", "GAS:AR"),
        strict=True,
    )
)
SETTINGS = dict(zip(BOUNDS, (15.0, 5.3, 0.8, 60.0, 0.5, 0.1), strict=True))
"""Well within H-mode, whatever the scatter."""


class Lab:
    """The instrument, driven without network and clock."""

    def __init__(self, seed: int = 0) -> None:
        self.slept: list[tuple[str, float]] = []
        self.twin = Tokamak(seed, self._sleep)
        self.pvs = {pv.name: pv for pv in self.twin.pvs}

    async def _sleep(self, seconds: float) -> None:
        self.slept.append((str(self.pvs["PULSE:STATE"].value), seconds))

    def put(self, name: str, value: float) -> None:
        asyncio.run(self.pvs[name].accept(value))

    def set(self, settings: dict[str, float], step: float = 0.5) -> None:
        for name, value in settings.items():
            self.put(f"{PREFIXES[name]}:SP", value)
        while self.twin.step(step):
            pass

    def measure(self) -> dict[str, float]:
        self.put("PULSE:TRIGGER", 1)
        names = str(self.pvs["PULSE:CHANNELS"].value).split(",")
        return {name: float(self.pvs[f"PULSE:{name}"].value) for name in names}


def test_readbacks_end_exactly_on_the_setpoints():
    lab = Lab()
    lab.put("PELLET:DENSITY:SP", 1.0)
    lab.twin.step(2.0)
    assert lab.pvs["PELLET:DENSITY:RB"].value == pytest.approx(1.0 - 0.4 / np.e)
    lab.set({**SETTINGS, "field": 4.2})
    expected = {**SETTINGS, "field": 4.2}
    assert {name: lab.pvs[f"{PREFIXES[name]}:RB"].value for name in BOUNDS} == expected


@pytest.mark.parametrize("name", BOUNDS)
def test_out_of_limit_puts_are_refused(name):
    lab = Lab()
    before = lab.pvs[f"{PREFIXES[name]}:SP"].value
    for value in (BOUNDS[name][0] - 0.01, BOUNDS[name][1] + 0.01, float("nan")):
        with pytest.raises(PutRefused):
            lab.put(f"{PREFIXES[name]}:SP", value)
    assert lab.pvs[f"{PREFIXES[name]}:SP"].value == before


def test_heating_is_shared_among_beams_and_waves():
    lab = Lab()
    for heating, beams in ((25.0, 25.0), (60.0, 33.0)):
        lab.set({"heating_power": heating, "tritium_fraction": 0.3})
        assert lab.pvs["NBI:PWR:RB"].value == beams
        assert lab.pvs["ECH:PWR:RB"].value == heating - beams
    assert lab.pvs["GAS:D2:RB"].value == pytest.approx(0.7)


def test_measurement_is_a_pure_function_of_seed_setpoints_and_trigger():
    slow, fast = Lab(), Lab()
    slow.set(SETTINGS, step=0.1)
    fast.set({**SETTINGS, "field": 4.5}, step=20.0)
    fast.measure()
    fast.set(dict(reversed(SETTINGS.items())), step=20.0)
    first, second = slow.measure(), slow.measure()
    assert [first, second] == [fast.measure(), fast.measure()]
    assert first != second
    slow.put("GAS:T2:SP", SETTINGS["tritium_fraction"])  # also the same value starts again
    assert slow.measure() == first
    other = Lab(seed=1)
    other.set(SETTINGS)
    assert other.measure() != first


def test_measurement_is_the_model_within_noise_and_scatter():
    lab = Lab()
    lab.set(SETTINGS)
    truth, state = evaluate(**SETTINGS), discharge(**SETTINGS)
    readings = [lab.measure() for _ in range(40)]
    table = {name: np.array([reading[name] for reading in readings]) for name in readings[0]}
    for name in ("fusion_power", "gain", "separatrix_power", "beta_n"):
        mean, error = np.mean(table[name.upper()]), np.std(table[name.upper()]) / np.sqrt(40)
        assert abs(mean - truth[name]) < 4 * error + 0.01 * truth[name]
    assert 0.07 < np.std(table["FUSION_POWER"]) / truth["fusion_power"] < 0.14
    assert np.std(table["RADIATED_POWER"]) > 0.03 * float(state["radiated_power"][0])
    assert set(table["Q95"]) == {truth["q95"]}
    assert set(table["REGIME"]) == {truth["regime"]}
    assert lab.slept == [("pulse", PULSE_TIME)] * 40
    assert lab.pvs["PULSE:STATE"].value == "ready"


def test_a_disruption_gives_no_data_and_takes_a_cooldown():
    lab = Lab()
    settings = {**SETTINGS, "plasma_current": 17.0, "field": 4.0}
    lab.set(settings)
    reading = lab.measure()
    assert reading.pop("REGIME") == DISRUPTED
    assert reading.pop("Q95") == evaluate(**settings)["q95"]
    assert set(reading.values()) == {0.0}
    assert lab.slept == [("pulse", PULSE_TIME), ("cooldown", COOLDOWN_TIME)]
    assert lab.pvs["PULSE:STATE"].value == "ready"


def test_field_is_locked_during_a_pulse_and_current_is_not():
    async def scenario() -> None:
        release = asyncio.Event()

        async def sleep(_: float) -> None:
            await release.wait()

        pvs = {pv.name: pv for pv in Tokamak(0, sleep).pvs}
        pulse = asyncio.create_task(pvs["PULSE:TRIGGER"].accept(1))
        await asyncio.sleep(0)
        assert pvs["PULSE:STATE"].value == "pulse"
        with pytest.raises(PutRefused, match="BT:REF:SP: the field"):
            await pvs["BT:REF:SP"].accept(4.5)
        await pvs["IP:REF:SP"].accept(13.0)
        await pvs["BT:REF:STOP"].accept(1)
        release.set()
        await pulse
        await pvs["BT:REF:SP"].accept(4.5)
        assert pvs["BT:REF:SP"].value == 4.5

    asyncio.run(scenario())


def test_a_locked_setpoint_can_be_stopped_on_its_way():
    async def scenario() -> None:
        async def sleep(_: float) -> None:
            await pvs["BT:REF:STOP"].accept(1)

        twin = Tokamak(0, sleep)
        pvs = {pv.name: pv for pv in twin.pvs}
        await pvs["BT:REF:SP"].accept(4.0)
        twin.step(60.0)
        await pvs["PULSE:TRIGGER"].accept(1)
        assert pvs["BT:REF:SP"].value == pvs["BT:REF:RB"].value
        assert 4.0 < pvs["BT:REF:SP"].value < 5.3

    asyncio.run(scenario())


def test_coils_can_be_made_too_warm():
    lab = Lab()
    lab.put("CRYO:TEMP:FAULT", 1.0)
    assert lab.pvs["CRYO:TEMP:RB"].value == 5.5


def test_files_agree_with_what_is_served():
    file = find_campaign("tokamak")
    campaign, _ = read_campaign(file)
    instrument, _ = read_instrument(find_instrument(campaign.instrument, file))
    pvs = Lab().pvs
    for name, parameter in campaign.parameters.items():
        assert parameter.range == BOUNDS[name]
        device = instrument.devices[parameter.device]
        assert device.prefix == PREFIXES[name]
        setpoint = pvs[f"{device.prefix}:SP"]
        assert device.limits == setpoint.limits
        assert device.unit == parameter.unit == setpoint.unit
    assert set(campaign.parameters) == set(BOUNDS)
    channels = str(pvs["PULSE:CHANNELS"].value).lower().split(",")
    assert set(OPTIMUM["outcomes"]) <= set(channels)
    assert instrument.conditions[0].signal in pvs
