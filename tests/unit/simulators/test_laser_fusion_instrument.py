from functools import partial

import numpy as np
import pytest

from simulators.laser_fusion.instrument import CHANNELS, RUN_TIME
from simulators.laser_fusion.model import build
from tests.unit.simulators.rig import shipped

Lab = partial(shipped, "laser-fusion")
SETTINGS = {"power": 287.3, "speed": 1.31, "hatch": 93.7, "layer": 45.0}


def truth(**changes):
    made = build(**{**SETTINGS, **changes})
    return {**made, "photodiode": 10.0 * made["absorbed_power"]}


def test_the_plate_needs_twenty_minutes():
    lab = Lab()
    lab.put("PLATE:TEMP:SP", 120.0)
    assert lab.twin.step(1200.0)
    assert lab.pvs["PLATE:TEMP:RB"].value == pytest.approx(120 - 100 / np.e)


def test_the_recoater_moves_in_steps_of_five():
    lab = Lab()
    lab.set({"layer": 41.9})
    assert lab.pvs["RECOAT:LAYER:SP"].value == 41.9
    assert lab.pvs["RECOAT:LAYER:RB"].value == 40.0


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
    lab.set({**SETTINGS, "plate": 200.0})
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
    weaker = truth(power=SETTINGS["power"] * 0.99**20)["melt_width"] / truth()["melt_width"]
    assert fouled[20]["melt_width"] / clean[20]["melt_width"] == pytest.approx(weaker)
    lab.put("LASER:FOULING", 0.0)
    lab.set(SETTINGS)
    assert lab.measure() == clean[0]
