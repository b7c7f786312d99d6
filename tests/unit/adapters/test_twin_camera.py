"""A plan with an area detector is walked on a twin: its frames come without files."""

from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import pytest

from orchestrator.adapters.walks.twin_in_process import TwinByPlan, twin_in_process
from orchestrator.campaign_files import read_files
from orchestrator.domain.errors import PlanFailed, Unusable
from orchestrator.domain.spec import InstrumentSpec
from simulators.twins import twin_model

SPOT = read_files("simulators/kb_mirrors/campaign_spot_size.yaml")
MIDDLE = dict.fromkeys(SPOT.campaign.parameters, 0.0)


def twin(plan: Any = None, instrument: Any = None, **args: Any) -> Any:
    """The mirrors with the campaign's own plan, its arguments changed, or one of this module."""
    data = SPOT.campaign.to_data()
    name, given = data["plan"]["name"], {**data["plan"]["args"], **args}
    if plan is not None:
        name, given = f"{__name__}.{plan.__name__}", {"detector": "detector"}
    reduce = {"call": "plans.spot_size.reduce_spot_size"}
    changed = {**data, "plan": {"name": name, "args": given}, "reduce": reduce}
    campaign = type(SPOT.campaign).from_data(changed)
    return twin_in_process(campaign, instrument or SPOT.instrument, 0)


def outcomes_of(found: Any) -> Any:
    return found.measure(MIDDLE).reduction.outcomes


def without_stage(settings: Any, detector: Any) -> Any:
    yield from bps.open_run()
    yield from bps.trigger_and_read([detector])
    yield from bps.close_run()


def with_gain(settings: Any, detector: Any) -> Any:
    yield from bps.configure(detector, {"cam.gain": 2})
    yield from bp.count([detector])


def with_no_frames(settings: Any, detector: Any) -> Any:
    yield from bps.configure(detector, {"cam.num_images": 0})
    yield from bp.count([detector])


def test_the_frames_show_what_the_model_says(tmp_path: Path, monkeypatch: Any):
    monkeypatch.chdir(tmp_path)
    found = twin()
    assert isinstance(found, TwinByPlan)
    outcomes = outcomes_of(found)
    truth = twin_model("kb-mirrors").evaluate(**MIDDLE)
    for name in ("fwhm_v", "fwhm_h", "flux"):
        assert outcomes[name].mean == pytest.approx(truth[name], rel=0.03)
        assert 0 < outcomes[name].sem < 0.01 * outcomes[name].mean
    assert not list(tmp_path.iterdir())


def test_exposure_and_frames_are_those_of_the_plan():
    long, short = twin(frames=4).measure(MIDDLE), twin(frames=1, exposure=0.05).measure(MIDDLE)
    assert long.readings_s == pytest.approx(4 * 0.2)
    assert short.readings_s == pytest.approx(0.05)
    sem = [one.reduction.outcomes["fwhm_v"].sem for one in (long, short)]
    assert sem[1] / sem[0] == pytest.approx(4.0, rel=0.2)  # a sixteenth of the counts
    assert twin(frames=4).measure(MIDDLE).reduction == long.reduction


def test_each_trigger_has_frames_of_its_own():
    once, twice = outcomes_of(twin(triggers=1)), outcomes_of(twin(triggers=2))
    assert twice["fwhm_v"].sem == pytest.approx(once["fwhm_v"].sem / 2**0.5, rel=0.05)


def test_limits_of_its_settings_hold():
    data = SPOT.instrument.to_data()
    detector = {**data["devices"]["detector"], "axes": {"cam.acquire_time": [0.01, 0.1]}}
    narrow = {**data, "devices": {**data["devices"], "detector": detector}}
    instrument = InstrumentSpec.from_data(narrow)
    assert outcomes_of(twin(instrument=instrument, exposure=0.1))
    with pytest.raises(PlanFailed, match=r"detector\.cam\.acquire_time = 0.2 is outside"):
        twin(instrument=instrument).measure(MIDDLE)


def test_a_setting_that_the_twin_refuses_fails_the_trial():
    with pytest.raises(PlanFailed, match="detector refused its settings: .*NumImages: 0"):
        twin(with_no_frames).measure(MIDDLE)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (without_stage, "detector is not staged: it has no file to write to"),
        (with_gain, "detector has no setting 'cam.gain' that the twin serves here"),
    ],
)
def test_what_cannot_be_walked_is_said_with_what_the_model_lacks(plan: Any, said: str):
    with pytest.raises(Unusable, match="gives no outcome 'log_density'") as caught:
        twin(plan)
    assert said in str(caught.value)
