import asyncio

import numpy as np
import pytest

from simulators.pv import PutRefused
from simulators.tokamak.instrument import COOLDOWN_TIME, PULSE_TIME, Tokamak
from simulators.tokamak.model import BOUNDS, DISRUPTED, discharge, evaluate
from tests.unit.simulators import rig

SETTINGS = dict(zip(BOUNDS, (15.0, 5.3, 0.8, 60.0, 0.5, 0.1), strict=True))
"""Well within H-mode, whatever the scatter."""


class Lab(rig.Lab):
    """Also notes the state of the machine while it waits."""

    def __init__(self) -> None:
        super().__init__(Tokamak, *rig.names("tokamak"))
        self.waits: list[tuple[str, float]] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append((str(self.pvs["PULSE:STATE"].value), seconds))


def test_readbacks_end_exactly_on_the_setpoints():
    lab = Lab()
    lab.put("PELLET:DENSITY:SP", 1.0)
    lab.twin.step(2.0)
    assert lab.pvs["PELLET:DENSITY:RB"].value == pytest.approx(1.0 - 0.4 / np.e)
    lab.set({**SETTINGS, "field": 4.2})
    expected = {**SETTINGS, "field": 4.2}
    assert {name: lab.get(f"{lab.prefixes[name]}:RB") for name in BOUNDS} == expected


def test_heating_is_shared_among_beams_and_waves():
    lab = Lab()
    for heating, beams in ((25.0, 25.0), (60.0, 33.0)):
        lab.set({"heating_power": heating, "tritium_fraction": 0.3})
        assert lab.pvs["NBI:PWR:RB"].value == beams
        assert lab.pvs["ECH:PWR:RB"].value == heating - beams
    assert lab.pvs["GAS:D2:RB"].value == pytest.approx(0.7)


def test_measurement_is_the_model_within_noise_and_scatter():
    lab = Lab()
    lab.set(SETTINGS)
    truth, state = evaluate(**SETTINGS), discharge(**SETTINGS)
    readings = [lab.measure() for _ in range(40)]
    table = {name: np.array([reading[name] for reading in readings]) for name in readings[0]}
    for name in ("fusion_power", "gain", "separatrix_power", "beta_n"):
        mean, error = np.mean(table[name]), np.std(table[name]) / np.sqrt(40)
        assert abs(mean - truth[name]) < 4 * error + 0.01 * truth[name]
    assert 0.07 < np.std(table["fusion_power"]) / truth["fusion_power"] < 0.14
    assert np.std(table["radiated_power"]) > 0.03 * float(state["radiated_power"][0])
    assert set(table["q95"]) == {truth["q95"]}
    assert set(table["regime"]) == {truth["regime"]}
    assert lab.waits == [("pulse", PULSE_TIME)] * 40
    assert lab.pvs["PULSE:STATE"].value == "ready"


def test_a_disruption_gives_zeros_and_takes_a_cooldown():
    lab = Lab()
    settings = {**SETTINGS, "plasma_current": 17.0, "field": 4.0}
    lab.set(settings)
    reading = lab.measure()
    assert reading.pop("regime") == DISRUPTED
    assert reading.pop("q95") == evaluate(**settings)["q95"]
    assert set(reading.values()) == {0.0}
    assert lab.waits == [("pulse", PULSE_TIME), ("cooldown", COOLDOWN_TIME)]
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
