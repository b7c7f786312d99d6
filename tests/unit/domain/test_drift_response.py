"""What follows from a sentinel that is off: who is called, and what runs."""

from dataclasses import replace

from orchestrator.domain import events as ev
from orchestrator.domain.drift_response import needs_person, needs_realignment
from orchestrator.domain.realignment import REALIGNMENT, spec_for
from orchestrator.domain.sentinels import is_due, judged
from orchestrator.domain.stopping import StopRule, verdict
from tests.unit.domain.builders import campaign, failed, opened, run, state_of
from tests.unit.domain.drifting import ALIGN, drifting, realignment, sentinel, trial, watched


def test_a_realignment_is_due_once_after_a_good_sentinel():
    spec = watched()
    happened = drifting(spec)
    state = state_of(*happened)
    assert needs_realignment(state, spec) == (
        "sentinel trial 7 gave 3, 16.3 sigma from its reference 1"
    )
    assert needs_person(state, spec) is None
    happened += realignment(8)[:2]
    under_way = state_of(*happened)
    assert needs_realignment(under_way, spec) is None
    assert needs_person(under_way, spec) is None
    assert is_due(under_way, spec), "and then the sentinel"


def test_a_realignment_that_helps_lets_the_campaign_go_on():
    spec = watched()
    state = state_of(*drifting(spec), *realignment(8), *sentinel(9, 1.1))
    assert needs_person(state, spec) is needs_realignment(state, spec) is None
    assert not is_due(state, spec)
    again = [*sentinel(9, 1.0), *trial(10, 9.0), *sentinel(11, 3.0)]
    state = state_of(*drifting(spec), *realignment(8), *again)
    assert needs_realignment(state, spec), "it may drift another time"


def test_a_realignment_that_does_not_help_calls_a_person():
    spec = watched()
    state = state_of(*drifting(spec), *realignment(8), *sentinel(9, 3.0))
    assert needs_realignment(state, spec) is None
    why = needs_person(state, spec)
    assert why is not None
    assert "its realignment, trial 8, has not brought it back; 2 trials measured" in why


def test_a_realignment_that_fails_calls_a_person():
    spec = watched()
    state = state_of(*drifting(spec), *realignment(8, failed(8, "abandoned")))
    assert "its realignment, trial 8, was abandoned (hang)" in str(needs_person(state, spec))
    again = state_of(*drifting(spec), *realignment(8, failed(8)))
    assert needs_person(again, spec) is None, "it has attempts left"


def test_a_realignment_whose_documents_cannot_be_read_is_judged_by_its_sentinel():
    spec = watched()
    happened = [*drifting(spec), *realignment(8, ev.Unreduced(trial_id=8, reason="damaged"))]
    assert needs_person(state_of(*happened), spec) is None, "it may have helped"
    assert needs_person(state_of(*happened, *sentinel(9, 1.0)), spec) is None
    why = needs_person(state_of(*happened, *sentinel(9, 3.0)), spec)
    assert "its realignment, trial 8, has not brought it back" in str(why)


def test_a_realignment_that_cannot_be_judged_calls_a_person():
    spec = watched()
    first, *rest = run(9, failed(9, "abandoned"))
    check = [replace(first, source="sentinel"), *rest]
    happened = [*drifting(spec), *realignment(8)]
    assert needs_person(state_of(*happened, *check[:-1]), spec) is None
    why = needs_person(state_of(*happened, *check), spec)
    assert "the sentinel after its realignment, trial 9, is abandoned" in str(why)


def test_after_a_person_has_looked_a_sentinel_tells_before_anything_is_realigned_again():
    spec = watched()
    called = [ev.NeedsPerson(by="sentinel", reason="drift"), ev.Resumed(by="ada")]
    happened = [*drifting(spec), *realignment(8), *sentinel(9, 3.0), *called]
    state = state_of(*happened)
    assert needs_person(state, spec) is needs_realignment(state, spec) is None
    assert is_due(state, spec)
    assert needs_person(state_of(*happened, *sentinel(10, 3.0)), spec)


def test_the_budget_holds_for_realignments_too():
    spec = watched(budget={"trials": 7})
    state = state_of(*drifting(spec))
    assert needs_realignment(state, spec) is needs_person(state, spec) is None


def test_a_sentinel_that_waits_is_measured_after_what_happens_meanwhile():
    spec = watched("pause")
    waiting = sentinel(3, 1.0)[:1]
    held = [ev.Suspended(by="condition", reason="dump"), ev.Resumed(by="condition")]
    happened = [opened(spec), *sentinel(1, 1.0), *trial(2, 5.0), *waiting, *held]
    assert not is_due(state_of(*happened), spec)


def test_one_that_is_off_makes_no_reference():
    spec = watched()
    state = state_of(opened(spec), *sentinel(1, 1.0), *sentinel(2, 3.0), *sentinel(3, 1.0))
    assert [one.reference for one in judged(state, spec)] == [1.0, 1.0]
    assert [one.is_good for one in judged(state, spec)] == [False, True]


def test_a_realignment_has_its_own_plan_and_no_arguments_of_the_other():
    parameters = {
        "x": {"device": "stage.x", "range": [0, 10], "unit": "mm"},
        "exposure": {"arg": "seconds", "range": [1, 2]},
    }
    at = {"x": 5.0, "exposure": 1.0}
    told = {"at": at, "every": 2, "then": ALIGN}
    spec = campaign(parameters=parameters, sentinel=told, reduce={"where": "external"})
    own = spec_for(spec, REALIGNMENT)
    assert (own.plan.name, own.plan.args) == ("lab.align", {"mirror": "heater"})
    assert (list(own.parameters), own.reduce.where) == (["x"], "local")
    assert spec_for(spec, "model") is spec


def test_realignments_in_a_row_are_no_invalid_trials_in_a_row():
    spec = watched(policy={"stop_after": {"invalid_in_a_row": 1}})
    invalid = ev.Invalidated(trial_id=2, outcomes={}, reason="y >= 0")
    found = verdict(state_of(opened(spec), *sentinel(1, 1.0), *realignment(2)), spec, 100.0)
    assert found is None
    found = verdict(state_of(opened(spec), *sentinel(1, 1.0), *run(2, invalid)), spec, 100.0)
    assert found is not None
    assert found.rule == StopRule.INVALID
