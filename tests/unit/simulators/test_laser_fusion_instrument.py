import asyncio
from pathlib import Path

import numpy as np
import pytest
import yaml

import simulators.laser_fusion
from orchestrator.adapters.spec_files import read_campaign
from simulators.laser_fusion.instrument import CHANNELS, RUN_TIME, LaserFusion
from simulators.laser_fusion.model import BOUNDS, build
from simulators.pv import PutRefused

FOLDER = Path(simulators.laser_fusion.__file__).parent
SETTINGS = {"LASER:PWR": 287.3, "SCAN:SPEED": 1.31, "SCAN:HATCH": 93.7, "RECOAT:LAYER": 45.0}


class Lab:
    """The instrument, driven without network and clock."""

    def __init__(self, seed=0):
        self.slept = []
        self.twin = LaserFusion(seed, self._sleep)
        self.pvs = {pv.name: pv for pv in self.twin.pvs}

    async def _sleep(self, seconds):
        self.slept.append(seconds)

    def put(self, name, value):
        asyncio.run(self.pvs[name].accept(value))

    def set(self, settings, step=7.0):
        for prefix, value in settings.items():
            self.put(f"{prefix}:SP", value)
        while self.twin.step(step):
            pass

    def measure(self):
        self.put("BUILD:TRIGGER", 1)
        names = str(self.pvs["BUILD:CHANNELS"].value).split(",")
        return {name.lower(): float(self.pvs[f"BUILD:{name}"].value) for name in names}


def truth(**changes):
    made = build(**{**dict(zip(BOUNDS, SETTINGS.values(), strict=True)), **changes})
    return {**made, "photodiode": 10.0 * made["absorbed_power"]}


@pytest.mark.parametrize("prefix", [*SETTINGS, "PLATE:TEMP"])
def test_settling_ends_exactly_on_the_setpoint(prefix):
    lab = Lab()
    value = SETTINGS.get(prefix, 137.0)
    lab.set({prefix: value})
    assert lab.pvs[f"{prefix}:RB"].value == value


def test_the_plate_needs_twenty_minutes():
    lab = Lab()
    lab.put("PLATE:TEMP:SP", 120.0)
    assert lab.twin.step(1200.0)
    assert lab.pvs["PLATE:TEMP:RB"].value == pytest.approx(120 - 100 / np.e)


def test_the_recoater_moves_in_steps_of_five():
    lab = Lab()
    lab.set({"RECOAT:LAYER": 41.9})
    assert lab.pvs["RECOAT:LAYER:SP"].value == 41.9
    assert lab.pvs["RECOAT:LAYER:RB"].value == 40.0


@pytest.mark.parametrize(
    ("prefix", "value"),
    [("LASER:PWR", 99.9), ("LASER:PWR", 370.1), ("SCAN:SPEED", float("nan")), ("PLATE:TEMP", 201)],
)
def test_out_of_limit_put_is_refused_and_changes_nothing(prefix, value):
    lab = Lab()
    before = lab.pvs[f"{prefix}:SP"].value
    with pytest.raises(PutRefused):
        lab.put(f"{prefix}:SP", value)
    assert lab.pvs[f"{prefix}:SP"].value == before


def test_measurement_is_a_pure_function_of_seed_setpoints_and_trigger():
    slow, fast = Lab(), Lab()
    slow.set(SETTINGS, step=0.3)
    fast.set({**SETTINGS, "LASER:PWR": 150.0}, step=50.0)
    fast.measure()
    fast.set(dict(reversed(SETTINGS.items())), step=50.0)
    first, second = slow.measure(), slow.measure()
    assert [first, second] == [fast.measure(), fast.measure()]
    assert first != second
    slow.put("SCAN:SPEED:SP", SETTINGS["SCAN:SPEED"])  # the same value starts the count again
    assert slow.measure() == first
    other = Lab(seed=1)
    other.set(SETTINGS)
    assert other.measure() != first


def test_measurement_is_the_model_with_the_stated_noise():
    lab = Lab()
    lab.set(SETTINGS)
    readings = [lab.measure() for _ in range(300)]
    true = truth()
    for name, (_, _, sigma) in CHANNELS.items():
        ratios = np.array([reading[name] / true[name] for reading in readings])
        assert ratios.mean() == pytest.approx(1.0, abs=0.2 * sigma + 1e-12)
        assert ratios.std() == pytest.approx(sigma, rel=0.15, abs=1e-12)
    assert set(lab.slept) == {RUN_TIME}


def test_a_hot_plate_widens_the_pool():
    lab = Lab()
    lab.set({**SETTINGS, "PLATE:TEMP": 200.0})
    hot = np.mean([lab.measure()["melt_width"] for _ in range(50)])
    assert hot == pytest.approx(truth(plate_temperature=200.0)["melt_width"], rel=0.02)


def test_a_window_can_be_made_to_foul_and_a_put_cleans_it():
    lab = Lab()
    lab.set(SETTINGS)
    clean = [lab.measure() for _ in range(21)]
    lab.put("LASER:FOULING", 1.0)
    lab.set(SETTINGS)
    fouled = [lab.measure() for _ in range(21)]
    assert fouled[0] == clean[0]
    weaker = truth(power=SETTINGS["LASER:PWR"] * 0.99**20)["melt_width"] / truth()["melt_width"]
    assert fouled[20]["melt_width"] / clean[20]["melt_width"] == pytest.approx(weaker)
    lab.put("LASER:FOULING", 0.0)
    lab.set(SETTINGS)
    assert lab.measure() == clean[0]


def test_oxygen_can_be_made_to_rise():
    lab = Lab()
    assert lab.pvs["CHAMBER:OXYGEN:RB"].value == 200.0
    lab.put("CHAMBER:OXYGEN:FAULT", 1500.0)
    assert lab.pvs["CHAMBER:OXYGEN:RB"].value == 1700.0


def test_instrument_file_agrees_with_what_is_served():
    entries = yaml.safe_load((FOLDER / "instrument.yaml").read_text())
    pvs = Lab().pvs
    for entry in entries["devices"].values():
        if "limits" in entry:
            setpoint = pvs[f"{entry['prefix']}:SP"]
            assert tuple(entry["limits"]) == setpoint.limits
            assert entry.get("unit", "") == setpoint.unit
        else:
            assert f"{entry['prefix']}:TRIGGER" in pvs
    assert all(condition["signal"] in pvs for condition in entries["conditions"])


def test_campaign_asks_for_the_whole_box():
    campaign, _ = read_campaign(FOLDER / "campaign.yaml")
    ranges = {name: parameter.range for name, parameter in campaign.parameters.items()}
    assert ranges == BOUNDS
    assert set(campaign.objectives) <= set(CHANNELS)
