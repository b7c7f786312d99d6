"""A twin measured within the process is the one that a worker drives over the network."""

import asyncio
import math
import signal
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import pytest

from orchestrator.adapters.walks import twin_in_process as module
from orchestrator.adapters.walks.twin_in_process import (
    TwinByModel,
    TwinByPlan,
    obstacle,
    twin_in_process,
)
from orchestrator.campaign_files import read_files
from orchestrator.domain.errors import PlanFailed, Unusable
from orchestrator.domain.spec import InstrumentSpec
from simulators.detector import TriggeredChannels
from simulators.flow_chemistry.instrument import RUN_TIME
from simulators.flow_chemistry.model import evaluate
from simulators.pv import PutRefused, Pv
from simulators.twins import twin_model

POINT = {"residence_time": 0.8, "equivalents": 3.3, "concentration": 0.31, "temperature": 77.7}
FLOW = read_files("flow-chemistry")
SOFT = read_files("soft")


def changed(campaign: Any, **fields: Any) -> Any:
    return type(campaign).from_data({**campaign.to_data(), **fields})


def flow(seed: int = 0, **fields: Any) -> Any:
    return twin_in_process(changed(FLOW.campaign, **fields), FLOW.instrument, seed)


def test_the_flow_reactor_is_driven_with_its_own_noise():
    twin = flow()
    assert isinstance(twin, TwinByPlan)
    assert twin.noise == "the twin's own"
    found = twin.measure(POINT).reduction
    assert found.outcomes["sty"].mean == pytest.approx(evaluate(**POINT)["sty"], rel=0.05)
    assert found.outcomes["sty"].mean != evaluate(**POINT)["sty"]
    assert found.outcomes["sty"].unit == "kg/m3/h"
    assert found.invalid is None


def test_a_measurement_depends_on_seed_and_point_alone():
    twin = flow()
    first = twin.measure(POINT).reduction
    twin.measure({**POINT, "temperature": 40.0})
    assert twin.measure(POINT).reduction == first
    assert flow().measure(POINT).reduction == first
    assert flow(seed=1).measure(POINT).reduction != first


def test_readings_are_as_many_as_the_plan_takes():
    args = {"detector": "hplc", "settle_residence_times": 3, "readings": 20}
    measured = flow(plan={"name": "steady_state_sample", "args": args}).measure(POINT)
    assert measured.readings_s == 20 * RUN_TIME
    assert measured.waits_s == pytest.approx(3 * 60 * POINT["residence_time"])
    sty = measured.reduction.outcomes["sty"]
    assert sty.mean == pytest.approx(evaluate(**POINT)["sty"], rel=0.01)
    assert sty.sem == pytest.approx(0.01 * sty.mean / 20**0.5, rel=0.5)


def test_moves_take_until_the_axis_has_arrived():
    twin = flow()
    twin.measure(POINT)
    assert twin.measure(POINT).moves_s == 0
    # First-order, 60 s, from 77.7 to 37.7 degC within 0.2: 60 ln(40 / 0.2) = 317.9 s.
    measured = twin.measure({**POINT, "temperature": 37.7})
    assert measured.moves_s == pytest.approx(317.9, rel=0.05)


def test_validity_rules_see_the_stream():
    valid = ["peak_area >= 1e9"]
    assert "peak_area >= 1e9" in flow(valid=valid).measure(POINT).reduction.invalid


def test_the_soft_instrument_has_no_server_so_its_model_answers():
    twin = twin_in_process(SOFT.campaign, SOFT.instrument, 0)
    assert isinstance(twin, TwinByModel)
    assert twin.noise.startswith("none: ")
    measured = twin.measure({"x": 2.5, "y": 7.5})
    assert measured.reduction.outcomes["branin"].mean == pytest.approx(24.1299, abs=1e-4)
    assert measured.reduction.outcomes["branin"].sem == 0
    assert (measured.waits_s, measured.moves_s, measured.readings_s) == (0.0, None, None)


def test_an_alarm_that_is_set_goes_on_after_a_measurement():
    """As that of whoever tests a campaign of theirs with a timeout."""
    before = signal.setitimer(signal.ITIMER_REAL, 60.0)
    try:
        flow().measure(POINT)
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0.0
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)


def test_any_plan_is_walked():
    plan = {"name": "bluesky.plans.count", "args": {"detectors": ["hplc"], "num": 3}}
    twin = flow(
        plan=plan,
        reduce={"call": "plans.channel_means.reduce_channel_means"},
        objectives={"ortho": {"goal": "maximize"}},
        constraints={},
        stop={},
    )
    assert twin.noise == "the twin's own"
    measured = twin.measure(POINT)
    assert (measured.waits_s, measured.readings_s) == (0.0, 3 * RUN_TIME)
    assert measured.reduction.outcomes["ortho"].sem is not None


def test_a_plan_that_scans_sees_what_it_scans():
    files = read_files("simulators/kb_mirrors/campaign_knife_edge.yaml")
    twin = twin_in_process(files.campaign, files.instrument, 0)
    assert isinstance(twin, TwinByPlan)
    middle = dict.fromkeys(files.campaign.parameters, 0.0)
    outcomes = twin.measure(middle).reduction.outcomes
    truth = twin_model("kb-mirrors").evaluate(**middle)
    for name in ("fwhm_v", "fwhm_h"):
        assert outcomes[name].mean == pytest.approx(truth[name], rel=0.2)


def test_a_plan_that_uses_what_the_twin_does_not_serve_leaves_the_model():
    args = {"detector": "reactor_camera"}
    devices = {"reactor_camera": {"class": "ophyd.sim.SynGauss", "prefix": "CAM"}}
    data = FLOW.instrument.to_data()
    more = InstrumentSpec.from_data({**data, "devices": {**data["devices"], **devices}})
    campaign = changed(FLOW.campaign, plan={"name": "steady_state_sample", "args": args})
    twin = twin_in_process(campaign, more, 0)
    assert "because device 'reactor_camera' is no axis or detector" in twin.noise
    assert "it knows nothing of what is valid by peak_area >= 100" in twin.noise


def test_a_trial_that_breaks_a_joint_constraint_fails():
    rules = {"constraints": ["temperature + 100 * concentration <= 100"]}
    strict = InstrumentSpec.from_data({**FLOW.instrument.to_data(), **rules})
    twin = twin_in_process(FLOW.campaign, strict, 0)
    twin.measure({**POINT, "temperature": 60.0})
    with pytest.raises(PlanFailed, match="does not hold"):
        twin.measure(POINT)


def test_a_joint_constraint_on_what_the_twin_does_not_serve_leaves_the_model():
    unserved = {"class": "ophyd.EpicsMotor", "prefix": "FC:LIFT", "limits": [0, 100]}
    data = FLOW.instrument.to_data()
    devices = {"devices": {**data["devices"], "lift": unserved}}
    strict = InstrumentSpec.from_data({**data, **devices, "constraints": ["temperature <= lift"]})
    twin = twin_in_process(FLOW.campaign, strict, 0)
    assert "device 'lift' is no axis or detector that the twin serves here" in twin.noise


def test_a_real_instrument_that_names_a_twin_is_stood_for_by_it():
    real = FLOW.instrument.model_copy(update={"mode": "real"})
    twin = twin_in_process(FLOW.campaign, real, 0)
    assert twin.measure(POINT).reduction == flow().measure(POINT).reduction


def test_a_real_instrument_without_a_twin_cannot_be_rehearsed():
    real = FLOW.instrument.model_copy(update={"mode": "real", "twin": None})
    with pytest.raises(Unusable, match="is real and names no twin; write 'twin: NAME'"):
        twin_in_process(FLOW.campaign, real, 0)


def test_what_the_model_does_not_know_is_named():
    renamed = changed(
        SOFT.campaign,
        parameters={"x": {"device": "bench.x", "range": [0, 1]}},
    )
    with pytest.raises(Unusable, match="needs the parameter 'y' too"):
        twin_in_process(renamed, SOFT.instrument, 0)
    other = changed(SOFT.campaign, objectives={"brannin": {"goal": "minimize"}})
    with pytest.raises(Unusable, match="gives no outcome 'brannin'.*branin"):
        twin_in_process(other, SOFT.instrument, 0)
    unknown = SOFT.instrument.model_copy(update={"name": "soff"})
    with pytest.raises(Unusable, match="no twin 'soff'; known: soft"):
        twin_in_process(SOFT.campaign, unknown, 0)


class Stage:
    """An axis as a motor record has it: a put is complete when it has arrived, 2 units a second."""

    def __init__(self, seed: int, sleep: Any) -> None:
        self._arrived = asyncio.Event()
        self._val = Pv("M.VAL", 0.0, "mm", put=self._put)
        self._rbv = Pv("M.RBV", 0.0, "mm")
        channels = {"LIGHT": ("lx", "light")}
        detector = TriggeredChannels(
            "D", channels=channels, sample=self._sample, run_time=5.0, sleep=sleep, what="a diode"
        )
        self.pvs = (self._val, self._rbv, *detector.pvs)

    async def _put(self, value: float) -> None:
        self._arrived.clear()
        self._val.post(value)
        await self._arrived.wait()

    def step(self, seconds: float) -> bool:
        left = float(self._val.value) - float(self._rbv.value)
        arrives = abs(left) <= 2.0 * seconds
        moved = left if arrives else math.copysign(2.0 * seconds, left)
        self._rbv.post(float(self._rbv.value) + moved)
        if arrives:
            self._arrived.set()
        return not arrives

    def _sample(self) -> list[float]:
        return [10.0 - float(self._rbv.value)]


STAGE = InstrumentSpec.from_data(
    {
        **{"name": "stage", "mode": "twin", "twin": "stage"},
        "devices": {
            "x": {"class": "ophyd.EpicsMotor", "prefix": "M", "limits": [0, 9]},
            "diode": {"class": "devices.TriggeredDetector", "prefix": "D"},
        },
    }
)


def on_stage(plan: str = "steady_state_sample", **args: Any) -> Any:
    return changed(
        SOFT.campaign,
        plan={"name": plan, "args": {"detector": "diode", **args}},
        reduce={"call": "plans.channel_means.reduce_channel_means"},
        parameters={"x": {"device": "x", "range": [0, 9]}},
        objectives={"light": {"goal": "maximize"}},
    )


def module_of(stage: Any) -> Any:
    return SimpleNamespace(create=stage, TIME_COMPRESSION=1.0)


def test_motors_are_waited_for_until_they_have_arrived():
    campaign = on_stage(readings=2)
    assert obstacle(campaign, STAGE, module_of(Stage)) == ""
    measured = TwinByPlan(campaign, STAGE, module_of(Stage), 0).measure({"x": 4.0})
    assert measured.reduction.outcomes["light"].mean == 6.0
    assert measured.at == {"x": 4.0}
    assert measured.moves_s == pytest.approx(2.0, rel=0.06)
    assert measured.readings_s == 10.0


class StuckStage(Stage):
    """Its motor does not move, and so is never done moving."""

    def step(self, seconds: float) -> bool:
        return True


def test_an_axis_that_never_arrives_is_given_up():
    found = obstacle(on_stage(), STAGE, module_of(StuckStage))
    assert "the plan cannot be walked on it here: device 'x' of the twin never arrives" in found


def reading_beyond(settings: Any, detector: Any) -> Any:
    """Measures, and on the way sends each axis 5 further, whatever is said against it."""
    for axis, value in settings.items():
        with suppress(Exception):
            yield from bps.mv(axis, value + 5.0)
        yield from bps.mv(axis, value)
    yield from bp.count([detector])


def test_a_setting_outside_the_limits_fails_the_trial_even_if_the_plan_goes_on():
    campaign = on_stage(f"{__name__}.reading_beyond")
    assert obstacle(campaign, STAGE, module_of(Stage)) == ""
    twin = TwinByPlan(campaign, STAGE, module_of(Stage), 0)
    assert twin.measure({"x": 4.0}).reduction.outcomes["light"].mean == 6.0
    with pytest.raises(PlanFailed, match=r"outside the safety envelope: x = 9\.5 is outside"):
        twin.measure({"x": 4.5})


def where_it_was_meant_to_be(runs: Any) -> dict[str, float]:
    return {"light": runs[0].start["parameters"]["x"]}


def test_a_reducer_finds_the_metadata_of_a_trial():
    campaign = changed(on_stage(), reduce={"call": f"{__name__}.where_it_was_meant_to_be"})
    found = TwinByPlan(campaign, STAGE, module_of(Stage), 0).measure({"x": 4.0})
    assert found.reduction.outcomes["light"].mean == 4.0


def asking(settings: Any, detector: Any) -> Any:
    answer = yield from bps.input_plan("which sample?")
    yield from bp.count([detector], md={"sample": answer.strip()})


def test_a_plan_that_asks_a_person_is_walked_with_no_answer():
    campaign = on_stage(f"{__name__}.asking")
    assert obstacle(campaign, STAGE, module_of(Stage)) == ""


def reading_configured(settings: Any, detector: Any) -> Any:
    yield from bps.configure(detector, {"gain": 3})
    yield from bp.count([detector])


def reading_monitored(settings: Any, detector: Any) -> Any:
    yield from bps.open_run()
    yield from bps.monitor(detector)
    yield from bps.close_run()


@pytest.mark.parametrize(
    ("plan", "command"), [("reading_configured", "configure"), ("reading_monitored", "monitor")]
)
def test_a_message_that_the_twin_cannot_obey_here_is_an_obstacle(plan, command):
    found = obstacle(on_stage(f"{__name__}.{plan}"), STAGE, module_of(Stage))
    assert f"a twin within this process does not obey {command!r}" in found


class HungryStage(Stage):
    """Its detector refuses to acquire."""

    def _sample(self) -> list[float]:
        raise PutRefused("no film")


class LockedStage(Stage):
    """Its motor refuses to move."""

    async def _put(self, value: float) -> None:
        raise PutRefused("no permit")


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (HungryStage, "diode refused the trigger: no film"),
        (LockedStage, "x refused to move: no permit"),
    ],
)
def test_a_twin_that_refuses_one_point_may_take_another_so_the_plan_is_walked(stage, said):
    assert obstacle(on_stage(), STAGE, module_of(stage)) == ""
    with pytest.raises(PlanFailed, match=said):
        TwinByPlan(on_stage(), STAGE, module_of(stage), 0).measure({"x": 4.0})


def test_whether_a_plan_can_be_walked_is_tried_once_for_all_twins(monkeypatch):
    tried = []
    monkeypatch.setattr(module, "obstacle", lambda *given: tried.append(given) or "")
    twins = module.twins_in_process(FLOW.campaign, FLOW.instrument, [3, 4, 3])
    first, other, same = (twin.measure(POINT).reduction.outcomes["sty"].mean for twin in twins)
    assert first == same != other
    assert len(tried) == 1
