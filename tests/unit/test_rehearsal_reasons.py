"""Why rehearsed trials gave nothing, and why nothing is feasible."""

import json
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import pytest
import yaml

from orchestrator.campaign_files import read_files
from orchestrator.cli.main import main
from orchestrator.rehearsal import rehearse
from orchestrator.rehearsal_words import lines
from tests.unit.rehearsals import here

FLOW = read_files("flow-chemistry")


def campaign(plan: Any, **fields: Any) -> dict[str, Any]:
    return {
        **json.loads(json.dumps(FLOW.campaign.to_data())),
        "plan": {"name": f"{__name__}.{plan.__name__}", "args": {"detector": "hplc"}},
        "reduce": {"call": f"{__name__}.reduce_mean"},
        "constraints": {},
        "valid": [],
        "stop": {},
        "policy": {"stop_after": {"failed_in_a_row": 9, "invalid_in_a_row": 9}},
        "budget": {"trials": 6},
        "optimizer": {"method": "sobol"},
        **fields,
    }


def rehearsed(plan: Any, **fields: Any) -> Any:
    spec = type(FLOW.campaign).from_data(campaign(plan, **fields))
    return rehearse(spec, FLOW.instrument, 1, here)


def plain(settings: Any, detector: Any) -> Any:
    for device, value in settings.items():
        yield from bps.mv(device, value)
    yield from bp.count([detector], md={"at": settings[next(iter(settings))]})


def heats_beyond(settings: Any, detector: Any) -> Any:
    heater = next(device for device in settings if device.name == "temperature")
    yield from bps.mv(heater, settings[heater] + 40.0)
    yield from plain(settings, detector)


def talks(settings: Any, detector: Any) -> Any:
    print("a plan that talks")
    yield from plain(settings, detector)


def on_a_sample(settings: Any, detector: Any, label: str) -> Any:
    yield from bp.count([detector], md={"sample": label, "at": len(settings)})


def reduce_mean(runs: Any) -> Any:
    return {"sty": float(runs[0]["primary"]["hplc_peak_area"].mean())}


def reduce_long_residence(runs: Any) -> Any:
    if runs[0].start["at"] < 1.25:
        raise ValueError(f"no peak at {runs[0].start['at']}")
    return reduce_mean(runs)


def test_reasons_of_failed_trials_are_told_and_those_that_differ_in_numbers_are_one():
    found = rehearsed(heats_beyond)
    (reason,) = found["reasons"]
    assert 1 <= reason["count"] == found["unmeasured"] < 6
    assert "temperature = 1" in reason["why"]
    assert "is outside [30.0, 120.0] degC (" in reason["why"]
    assert f"  {reason['count']}: {reason['why']}" in lines(found)


def test_what_the_reducer_says_is_told():
    found = rehearsed(plain, reduce={"call": f"{__name__}.reduce_long_residence"})
    (reason,) = found["reasons"]
    assert 1 <= reason["count"] == found["unmeasured"] < 6
    assert reason["why"].startswith("reduce_long_residence raised ValueError: no peak at ")


def test_a_rule_that_makes_trials_invalid_is_told():
    (reason,) = rehearsed(plain, valid=["peak_area >= 1e9"])["reasons"]
    assert reason["count"] == 6
    assert reason["why"].startswith("not valid: peak_area >= 1e9 (")


def test_nothing_feasible_names_the_constraint_that_no_trial_kept():
    found = rehearsed(plain, constraints={"outcomes": ["sty <= -1", "sty >= 0"]})
    assert found["reasons"] == []
    assert (
        "nothing feasible: of 6 measured trials kept were sty <= -1 by 0, sty >= 0 by 6"
        in lines(found)
    )
    assert not [line for line in lines(rehearsed(plain)) if "nothing feasible" in line]


def test_what_a_plan_prints_is_no_part_of_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "talks.yaml"
    file.write_text(yaml.safe_dump(campaign(talks, budget={"trials": 1})))
    with pytest.raises(SystemExit) as ended:
        main(["rehearse", str(file), "-n", "1", "--fast", "--json"])
    assert ended.value.code == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["rehearsals"] == 1
    assert "a plan that talks" in said.err


def test_a_list_of_samples_ends_a_rehearsal_after_its_uses():
    listed = [{"position": "A1", "uses": 1}, {"position": "A2", "uses": 2}]
    samples = {"file": "samples.csv", "parameter": "label", "list": listed}
    parameters = {
        **FLOW.campaign.to_data()["parameters"],
        "label": {"arg": "label", "choices": ["A1", "A2"]},
    }
    found = rehearsed(on_a_sample, samples=samples, parameters=parameters)
    assert found["failed"] == []
    assert found["trials_spent"]["mean"] == found["trials"] == 3
    assert found["left_out"] == []
    assert found["stops"] == {"samples": found["rehearsals"]}


def test_what_a_run_has_and_a_rehearsal_has_not_is_said():
    middle = dict.fromkeys(FLOW.campaign.parameters, 1.0) | {"temperature": 60.0}
    middle["concentration"] = 0.3
    sentinel = {"at": middle, "every": 2, "band": "3 sigma", "then": "pause"}
    said = lines(rehearsed(plain, sentinel=sentinel))
    assert "not rehearsed: sentinels: in a run they take trials of the budget, every 2" in said
    assert not [line for line in lines(rehearsed(plain)) if "not rehearsed" in line]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--plot", "/nowhere/r.png"), "--plot /nowhere/r.png: there is no folder /nowhere"),
        (("--plot", "r.nosuch"), "--plot r.nosuch: its name ends in none of "),
        (("--hour-cost", "inf"), "--hour-cost"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_rehearsed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: Any, what: str
):
    monkeypatch.setattr("orchestrator.rehearsal.rehearse", lambda *_, **__: pytest.fail("began"))
    with pytest.raises(SystemExit) as ended:
        main(["rehearse", "soft", *words, "--json"])
    assert ended.value.code == 2
    assert what in json.loads(capsys.readouterr().out)["error"]
