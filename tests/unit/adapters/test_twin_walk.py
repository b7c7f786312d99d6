"""A plan is walked on a twin under the rules that a real run has."""

from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import pytest

from orchestrator.adapters.walks.twin_in_process import TwinByModel, TwinByPlan, twin_in_process
from orchestrator.adapters.walks.twin_walk import TwinWalk
from orchestrator.campaign_files import read_files
from orchestrator.domain.errors import PlanFailed, ReductionError
from orchestrator.domain.spec import InstrumentSpec

FLOW = read_files("flow-chemistry")
POINT = {"residence_time": 0.8, "equivalents": 3.3, "concentration": 0.31, "temperature": 77.7}
HOT = {**POINT, "temperature": 100.0}


def twin(plan: Any, instrument: Any = None, seed: int = 0, **fields: Any) -> Any:
    """The reactor with a plan of this module; its reducer gives the mean of its peak as ``sty``."""
    data = {
        **FLOW.campaign.to_data(),
        "plan": {"name": f"{__name__}.{plan.__name__}", "args": {"detector": "hplc"}},
        "reduce": {"call": f"{__name__}.reduce_mean"},
        "constraints": {},
        "valid": [],
        "optimizer": {"method": "sobol", "seed": seed},
    }
    campaign = type(FLOW.campaign).from_data({**data, **fields})
    return twin_in_process(campaign, instrument or FLOW.instrument, seed)


def changed(**fields: Any) -> Any:
    return InstrumentSpec.from_data({**FLOW.instrument.to_data(), **fields})


def reduce_mean(runs: Any) -> Any:
    return {"sty": float(runs[0]["primary"]["hplc_peak_area"].mean())}


def reduce_what_the_start_says(runs: Any) -> Any:
    about = runs[0].start
    return {"sty": about["parameters"]["temperature"] + about["trial_id"] + 0 * about["time"]}


def reduce_baseline(runs: Any) -> Any:
    return {"sty": float(runs[0]["baseline"]["temperature"].iloc[0])}


def plain(settings: Any, detector: Any) -> Any:
    for device, value in settings.items():
        yield from bps.mv(device, value)
    yield from bp.count([detector])


def goes_on_after_a_refusal(settings: Any, detector: Any) -> Any:
    try:
        yield from bps.mv(next(iter(settings)), 1e6)
    except Exception:  # as rude as plans are
        yield from bps.null()
    yield from plain(settings, detector)


def leaves_a_run_open(settings: Any, detector: Any) -> Any:
    yield from plain(settings, detector)
    yield from bps.open_run()


def configures(settings: Any, detector: Any) -> Any:
    yield from bps.configure(detector, {"gain": 2})
    yield from plain(settings, detector)


def configures_if_possible(settings: Any, detector: Any) -> Any:
    try:
        yield from configures(settings, detector)
    except Exception:  # as rude as plans are
        yield from plain(settings, detector)


def subscribes(settings: Any, detector: Any) -> Any:
    yield from bpp.subs_wrapper(plain(settings, detector), lambda *_: None)


def locates(settings: Any, detector: Any) -> Any:
    yield from bps.locate(next(iter(settings)))
    yield from plain(settings, detector)


def fails_where_it_is_cold(settings: Any, detector: Any) -> Any:
    if next(value for device, value in settings.items() if device.name == "temperature") < 80:
        raise KeyError("cold")
    yield from plain(settings, detector)


def warms_up_too_far(settings: Any, detector: Any) -> Any:
    at = dict(settings)
    heater = next(device for device in at if device.name == "temperature")
    yield from plain({heater: at[heater] + 25.0}, detector)


def steps_down(settings: Any, detector: Any) -> Any:
    heater = next(device for device in settings if device.name == "temperature")
    yield from bps.mv(heater, 120.0)
    yield from bps.mv(heater, 119.0)
    yield from plain(settings, detector)


def interrupted(settings: Any, detector: Any) -> Any:
    yield from plain(settings, detector)
    raise KeyboardInterrupt


def test_a_plan_that_goes_on_after_a_refused_move_has_failed():
    with pytest.raises(PlanFailed, match=r"residence_time = 1000000.0 is outside.*test_twin_walk"):
        twin(goes_on_after_a_refusal).measure(POINT)


def test_a_run_that_is_left_open_fails_the_trial():
    with pytest.raises(PlanFailed, match="leaves a run open"):
        twin(leaves_a_run_open).measure(POINT)


def test_joint_constraints_of_the_instrument_hold_between_the_points_of_a_plan():
    one = changed(constraints=["residence_time * 30 + temperature <= 130"])
    assert twin(plain, one).measure(POINT).reduction.outcomes
    with pytest.raises(PlanFailed, match="residence_time \\* 30"):
        twin(warms_up_too_far, one).measure({**POINT, "temperature": 90.0})


def test_start_documents_say_what_those_of_a_run_say():
    measured = twin(plain, reduce={"call": f"{__name__}.reduce_what_the_start_says"})
    assert isinstance(measured, TwinByPlan)
    assert measured.measure(POINT).reduction.outcomes["sty"].mean == 77.7 + 1
    assert measured.measure(POINT).reduction.outcomes["sty"].mean == 77.7 + 2


def test_the_baseline_of_the_instrument_is_read():
    reduce = {"call": f"{__name__}.reduce_baseline"}
    with pytest.raises(ReductionError, match="'baseline' is no stream"):
        twin(plain, reduce=reduce).measure(POINT)
    with_baseline = changed(baseline=["temperature"])
    measured = twin(plain, with_baseline, reduce=reduce).measure(POINT)
    assert measured.reduction.outcomes["sty"].mean == pytest.approx(77.7, abs=0.2)


@pytest.mark.parametrize(
    ("plan", "what"),
    [
        (configures, "does not obey 'configure'"),
        (subscribes, "does not obey 'subscribe'"),
        (locates, "residence_time does not implement all Locatable methods"),
    ],
)
def test_messages_that_nothing_here_obeys_leave_the_model(plan: Any, what: str):
    found = twin(plan)
    assert isinstance(found, TwinByModel)
    assert what in found.noise
    assert "test_twin_walk.py:" in found.noise


def test_a_plan_that_goes_on_without_them_leaves_the_model_too():
    assert "does not obey 'configure'" in twin(configures_if_possible).noise


@pytest.mark.parametrize("seed", range(4))
def test_where_a_plan_fails_at_some_points_these_trials_fail(seed: int):
    """Whichever seed: the first point must not decide whether the plan or the model answers."""
    found = twin(fails_where_it_is_cold, seed=seed)
    assert found.noise == "the twin's own"
    assert found.measure(HOT).reduction.outcomes
    with pytest.raises(PlanFailed, match=r"KeyError: 'cold' \(.*test_twin_walk.py:"):
        found.measure(POINT)


def test_a_plan_that_always_leaves_the_limits_fails_each_trial():
    far = {"temperature": {"device": "temperature", "range": [100, 120]}}
    parameters = {**FLOW.campaign.to_data()["parameters"], **far}
    found = twin(warms_up_too_far, parameters=parameters)
    assert found.noise == "the twin's own"
    with pytest.raises(PlanFailed, match="temperature = 125.0 is outside"):
        found.measure(HOT)


def test_steps_that_the_instrument_allows_take_their_time_whoever_computes_it():
    heater = {**FLOW.instrument.to_data()["devices"]["temperature"], "max_rate": 0.5}
    slow = changed(devices={**FLOW.instrument.to_data()["devices"], "temperature": heater})
    first, again = (twin(steps_down, slow).measure(HOT) for _ in range(2))
    assert (first.moves_s, first.waits_s) == (again.moves_s, again.waits_s)
    assert first.reduction == again.reduction


def test_an_interruption_is_no_failure_of_a_trial():
    with pytest.raises(KeyboardInterrupt):
        twin(interrupted)


def never_yields(settings: Any, detector: Any) -> Any:
    while settings:
        pass
    yield from plain(settings, detector)


def test_a_plan_that_never_ends_is_walked_once_and_given_up(monkeypatch: Any):
    monkeypatch.setattr(TwinWalk, "plan_s", 0.3)
    walked: list[Any] = []
    walk = TwinByPlan.walk
    monkeypatch.setattr(TwinByPlan, "walk", lambda *given: walked.append(given) or walk(*given))
    assert "never ends: 0.3 s and no end" in twin(never_yields).noise
    assert len(walked) == 1
