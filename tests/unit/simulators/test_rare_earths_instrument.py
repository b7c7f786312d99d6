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
from simulators.rare_earths import model
from simulators.rare_earths.instrument import DETECTION_LIMIT, RESPONSE_TIME, RUN_TIME, RareEarths
from simulators.rare_earths.model import BOUNDS, OPTIMUM, evaluate, score

PREFIXES = dict(
    zip(BOUNDS, ("FEED:PH", "SCRUB:PH", "ORG:FLOW", "SCRUB:FLOW", "ORG:DOSAGE"), strict=True)
)
SETTINGS = dict(zip(BOUNDS, (1.9, 1.4, 0.4, 0.1, 8.0), strict=True))


class Lab:
    """The instrument, driven without network and clock."""

    def __init__(self, seed: int = 0) -> None:
        self.slept: list[float] = []
        self.twin = RareEarths(seed, self._sleep)
        self.pvs = {pv.name: pv for pv in self.twin.pvs}

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def put(self, name: str, value: float) -> None:
        asyncio.run(self.pvs[name].accept(value))

    def set(self, settings: dict[str, float], step: float = 30.0) -> None:
        for name, value in settings.items():
            self.put(f"{PREFIXES[name]}:SP", value)
        while self.twin.step(step):
            pass

    def measure(self) -> dict[str, float]:
        self.put("ICP:TRIGGER", 1)
        names = str(self.pvs["ICP:CHANNELS"].value).split(",")
        return {name: float(self.pvs[f"ICP:{name}"].value) for name in names}


def test_readbacks_end_exactly_on_the_setpoints():
    lab = Lab()
    lab.put("FEED:PH:SP", 2.5)
    lab.twin.step(60.0)
    assert lab.pvs["FEED:PH:RB"].value == pytest.approx(2.5 - 1 / np.e)
    lab.set(SETTINGS)
    assert {name: lab.pvs[f"{PREFIXES[name]}:RB"].value for name in BOUNDS} == SETTINGS


@pytest.mark.parametrize("name", BOUNDS)
def test_out_of_limit_puts_are_refused(name):
    lab = Lab()
    before = lab.pvs[f"{PREFIXES[name]}:SP"].value
    for value in (BOUNDS[name][0] - 0.01, BOUNDS[name][1] + 0.01, float("nan")):
        with pytest.raises(PutRefused):
            lab.put(f"{PREFIXES[name]}:SP", value)
    assert lab.pvs[f"{PREFIXES[name]}:SP"].value == before


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


def test_measurement_is_a_pure_function_of_seed_setpoints_and_trigger():
    slow, fast = Lab(), Lab()
    slow.set(SETTINGS, step=3.0)
    fast.set({**SETTINGS, "dosage": 2.0}, step=500.0)
    fast.measure()
    fast.set(dict(reversed(SETTINGS.items())), step=500.0)
    first, second = slow.measure(), slow.measure()
    assert [first, second] == [fast.measure(), fast.measure()]
    assert first != second
    slow.put("FEED:PH:SP", SETTINGS["ph_feed"])  # also the same value starts the count again
    assert slow.measure() == first
    other = Lab(seed=1)
    other.set(SETTINGS)
    assert other.measure() != first


def test_measurement_is_the_model_within_the_noise():
    lab = Lab()
    lab.set(SETTINGS)
    truth = evaluate(**SETTINGS)
    readings = [lab.measure() for _ in range(120)]
    recovery = [reading["RECOVERY"] for reading in readings]
    assert np.mean(recovery) == pytest.approx(truth["recovery"], rel=0.005)
    assert np.std(recovery) == pytest.approx(0.02 * truth["recovery"], rel=0.2)
    assert np.mean([reading["PURITY"] for reading in readings]) == pytest.approx(
        truth["purity"], rel=1e-3
    )
    first = readings[0]
    assert first["COST"] == truth["cost"]
    assert first["STEADY"] == 1
    assert first["SCORE"] == score(first["RECOVERY"], first["PURITY"], first["COST"])
    fed = 0.4 * first["ND_ORGANIC"] + 1.1 * first["ND_RAFFINATE"]
    assert fed == pytest.approx(10_000, rel=0.1)  # mg per litre of feed
    assert set(lab.slept) == {RUN_TIME}


def test_what_lies_below_the_detection_limit_reads_zero():
    lab = Lab()
    lab.set(dict(zip(BOUNDS, (0.8, 0.0, 0.2, 1.0, 1.0), strict=True)))
    reading = lab.measure()
    assert reading["DY_ORGANIC"] == reading["RECOVERY"] == reading["PURITY"] == 0
    lab.set(OPTIMUM["parameters"])
    low = [value for _ in range(30) for value in lab.measure().values() if value]
    assert all(np.isfinite(low))
    assert min(lab.measure()["ND_ORGANIC"] for _ in range(30)) > DETECTION_LIMIT


def test_without_a_steady_state_the_readings_say_so(monkeypatch):
    monkeypatch.setattr(model, "ITERATIONS", 1)
    reading = Lab().measure()
    assert reading.pop("COST") > 0
    assert set(reading.values()) == {0.0}


def test_a_probe_that_reads_too_high_means_a_feed_that_is_too_acid():
    lab = Lab()
    lab.set(SETTINGS)
    before = lab.measure()["DY_RAFFINATE"]
    lab.put("FEED:PH:OFFSET", 0.2)
    assert lab.pvs["FEED:PH:RB"].value == SETTINGS["ph_feed"]
    assert lab.measure()["DY_RAFFINATE"] > 1.2 * before


def test_crud_can_be_made_to_lift_the_interface():
    lab = Lab()
    lab.put("SETTLER:LEVEL:FAULT", 30.0)
    assert lab.pvs["SETTLER:LEVEL:RB"].value == 80.0


def test_files_agree_with_what_is_served():
    file = find_campaign("rare-earths")
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
    assert campaign.plan.args["settle_s"] == RESPONSE_TIME
    channels = str(pvs["ICP:CHANNELS"].value).lower().split(",")
    assert set(OPTIMUM["outcomes"]) <= set(channels)
    assert instrument.conditions[0].signal in pvs
