import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from tests.unit.domain.builders import CAMPAIGN, INSTRUMENT, campaign, instrument

edges = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=50, deadline=None)
@given(edges, edges, st.lists(edges | st.integers() | st.text() | st.booleans(), min_size=2))
def test_a_campaign_survives_the_ledger_exactly(low, high, choices):
    parameters = {}
    if low < high:
        parameters["x"] = {"arg": "x", "range": [low, high]}
    if len({(isinstance(one, bool), one) for one in choices}) == len(choices):
        parameters["c"] = {"arg": "c", "choices": choices}
    parameters["last"] = {"arg": "last", "range": [0, 1]}
    spec = campaign(parameters=parameters)
    stored = json.loads(json.dumps(spec.to_data()))
    assert CampaignSpec.from_data(stored) == spec
    assert repr(CampaignSpec.from_data(stored)) == repr(spec)


def test_an_instrument_survives_the_ledger():
    spec = instrument(
        constraints=["stage + heater <= 205"],
        conditions=[{"signal": "RING:CURRENT", "suspend_below": 90, "resume_above": 95}],
        quiet=[{"stop": ["stage.x"]}],
        park=[{"set": {"heater": 20}}, {"set": {"stage.x": 0.1}}],
    )
    assert InstrumentSpec.from_data(spec.to_data()) == spec
    assert spec.to_data()["devices"]["stage"]["class"] == "lab.Stage"


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "1", None, [1]])
def test_a_limit_is_a_number(value):
    stage = {**INSTRUMENT["devices"]["stage"], "limits": [0, value]}
    with pytest.raises(ValidationError):
        instrument(devices={"stage": stage})


def test_defaults_are_worked_out():
    spec = campaign()
    assert spec.initial_trials == 5
    four = {f"x{n}": {"arg": f"x{n}", "range": [0, 1]} for n in range(4)}
    assert campaign(parameters=four).initial_trials == 8
    assert campaign(optimizer={"initial_trials": 0}).initial_trials == 0
    assert spec.budget.deadline_s() is None


def test_outcomes_are_objectives_then_constraints_each_once():
    spec = campaign(
        objectives={"y": {"goal": "maximize"}, "z": {"goal": "minimize"}},
        constraints={"outcomes": ["e + z <= 1", "e <= 3", "f >= 0"]},
    )
    assert spec.outcome_names == ("y", "z", "e", "f")


def test_a_number_of_trials_replaces_budget_and_stop_rules():
    spec = campaign(
        budget={"trials": 9, "beam_hours": 1, "deadline": "2026-12-24T08:00:00Z"},
        stop={"target": {"y": ">= 1"}, "stalled_for": 2},
        policy={"attempts": 7},
        optimizer={"seed": 1, "lookahead": 3},
    )
    run = spec.with_run_options(trials=5, seed=11)
    assert (run.budget.trials, run.budget.beam_hours, run.budget.deadline) == (5, None, None)
    assert (run.stop.target, run.stop.stalled_for) == ({}, None)
    assert run.policy.stop_after.failed_in_a_row == run.policy.stop_after.invalid_in_a_row == 0
    assert (run.policy.attempts, run.optimizer.seed, run.optimizer.lookahead) == (7, 11, 3)
    assert spec.with_run_options() == spec
    assert CampaignSpec.from_data(run.to_data()) == run


def test_each_contradiction_stands_at_its_own_key():
    with pytest.raises(ValidationError) as error:
        CampaignSpec.from_data(
            {
                **CAMPAIGN,
                "constraints": {"parameters": ["q <= 1"]},
                "stop": {"target": {"w": ">= 1"}},
            }
        )
    assert [one["loc"] for one in error.value.errors()] == [
        ("constraints", "parameters", 0),
        ("stop", "target", "w"),
    ]


def test_limits_and_unit_of_a_part_are_those_of_its_device():
    spec = instrument()
    assert spec.limits("stage.x") == spec.limits("stage") == (0, 10)
    assert spec.unit("heater.setpoint") == "degC"
    assert spec.limits("camera") is None
    assert spec.limits("laser") is None
    assert spec.unit("laser") == ""
