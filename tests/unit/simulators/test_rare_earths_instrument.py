from functools import partial

import numpy as np
import pytest

from simulators.rare_earths import instrument, model
from simulators.rare_earths.instrument import DETECTION_LIMIT, RESPONSE_TIME, RUN_TIME
from simulators.rare_earths.model import BOUNDS, OPTIMUM, evaluate, score
from tests.unit.simulators.rig import files, shipped

Lab = partial(shipped, "rare-earths")
SETTINGS = dict(zip(BOUNDS, (1.9, 1.4, 0.4, 0.1, 8.0), strict=True))
PURE = dict(zip(BOUNDS, (1.65, 1.0, 1.6, 0.525, 5.5), strict=True))
"""The product has less neodymium than can be measured."""


def test_readbacks_end_exactly_on_the_setpoints():
    lab = Lab()
    lab.put("FEED:PH:SP", 2.5)
    lab.twin.step(60.0)
    assert lab.pvs["FEED:PH:RB"].value == pytest.approx(2.5 - 1 / np.e)
    lab.set(SETTINGS)
    assert {name: lab.get(f"{lab.prefixes[name]}:RB") for name in BOUNDS} == SETTINGS


def test_cascade_settles_after_the_last_readback_has_arrived():
    lab = Lab()
    assert lab.pvs["CASCADE:SETTLED"].value == 1
    lab.put("ORG:FLOW:SP", 2.0)
    lab.twin.step(100.0)
    assert lab.pvs["ORG:FLOW:RB"].value == 2.0
    lab.twin.step(RESPONSE_TIME - 1.0)
    assert lab.pvs["CASCADE:SETTLED"].value == 0
    assert not lab.twin.step(1.0)
    assert lab.pvs["CASCADE:SETTLED"].value == 1


def test_measurement_is_the_model_within_the_noise():
    lab = Lab()
    lab.set(SETTINGS)
    truth = evaluate(**SETTINGS)
    readings = [lab.measure() for _ in range(120)]
    recovery = [reading["recovery"] for reading in readings]
    assert np.mean(recovery) == pytest.approx(truth["recovery"], rel=0.005)
    assert np.std(recovery) == pytest.approx(0.02 * truth["recovery"], rel=0.2)
    assert np.mean([reading["purity"] for reading in readings]) == pytest.approx(
        truth["purity"], rel=1e-3
    )
    first = readings[0]
    assert first["cost"] == truth["cost"]
    assert first["steady"] == 1
    assert first["score"] == score(first["recovery"], first["purity"], first["cost"])
    assert first["log_impurity"] == pytest.approx(np.log10(1 - first["purity"]))
    assert np.mean([reading["log_impurity"] for reading in readings]) == pytest.approx(
        truth["log_impurity"], abs=0.01
    )
    fed = 0.4 * first["nd_organic"] + 1.1 * first["nd_raffinate"]
    assert fed == pytest.approx(10_000, rel=0.1)  # mg per litre of feed
    assert set(lab.slept) == {RUN_TIME}


def test_what_lies_below_the_detection_limit_reads_zero():
    lab = Lab()
    lab.set(dict(zip(BOUNDS, (0.8, 0.0, 0.2, 1.0, 1.0), strict=True)))
    reading = lab.measure()
    assert reading["dy_organic"] == reading["recovery"] == reading["purity"] == 0
    assert reading["log_impurity"] == 0, "a product without dysprosium is all impurity"
    lab.set(PURE)
    reading = lab.measure()
    assert (reading["nd_organic"], reading["purity"]) == (0, 1)
    bound = np.log10(DETECTION_LIMIT / reading["dy_organic"])
    assert reading["log_impurity"] == pytest.approx(bound)
    lab.set(OPTIMUM["parameters"])
    assert min(lab.measure()["nd_organic"] for _ in range(30)) > DETECTION_LIMIT


def test_without_a_steady_state_the_readings_say_so(monkeypatch):
    monkeypatch.setattr(model, "ITERATIONS", 1)
    reading = Lab().measure()
    assert reading.pop("cost") > 0
    assert set(reading.values()) == {0.0}


def test_a_probe_that_reads_too_high_means_a_feed_that_is_too_acid():
    lab = Lab()
    lab.set(SETTINGS)
    before = lab.measure()["dy_raffinate"]
    lab.put("FEED:PH:OFFSET", 0.2)
    assert lab.pvs["FEED:PH:RB"].value == SETTINGS["ph_feed"]
    assert lab.measure()["dy_raffinate"] > 1.2 * before


def test_the_plan_waits_for_the_cascade():
    campaign, _ = files("rare-earths")
    assert campaign.plan.args["settle_s"] == RESPONSE_TIME


def test_the_cascade_is_sought_once_for_all_assays_of_a_trial(monkeypatch):
    sought = []

    def counted(**settings):
        sought.append(settings)
        return model.cascade(**settings)

    monkeypatch.setattr(instrument, "cascade", counted)
    lab = Lab()
    lab.set(SETTINGS)
    assays = [lab.measure()["dy_organic"] for _ in range(3)]
    assert len(set(assays)) == 3, "they have no noise of their own"
    lab.set(PURE)
    lab.measure()
    assert [one["ph_feed"] for one in sought] == [SETTINGS["ph_feed"], PURE["ph_feed"]]
