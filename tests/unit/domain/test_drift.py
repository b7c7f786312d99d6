"""What follows from a sentinel that is off: who is called, what runs, what is told."""

from dataclasses import replace

import pytest

from orchestrator.domain import events as ev
from orchestrator.domain.drift import needs_person, needs_realignment
from orchestrator.domain.proposal import knowledge
from orchestrator.domain.realignment import NO_DATA, REALIGN, spec_for
from orchestrator.domain.recomputation import questions
from orchestrator.domain.sentinels import is_due, judged
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.stopping import StopRule, verdict
from orchestrator.domain.summary import rows, summary
from orchestrator.domain.suspect_data import doubtful, drifts
from orchestrator.domain.trial import Outcome
from tests.unit.domain.builders import campaign, failed, log, opened, run, state_of

ALIGN = {"realign": {"name": "lab.align", "args": {"mirror": "heater"}}}


def watched(then: object = ALIGN, **changes) -> CampaignSpec:
    told = {"at": {"x": 5.0}, "every": 2, "then": then}
    return campaign(**{"sentinel": told, "budget": {"trials": 20}, **changes})


def trial(number: int, y: float, source: str = "model", sem: float | None = 0.1) -> list[ev.Event]:
    first, *rest = run(number, ev.Measured(trial_id=number, outcomes={"y": Outcome(y, sem)}))
    return [replace(first, source=source), *rest]


def sentinel(number: int, y: float) -> list[ev.Event]:
    return trial(number, y, "sentinel")


def realignment(number: int, last: ev.TrialEvent | None = None) -> list[ev.Event]:
    done = ev.Invalidated(trial_id=number, outcomes={}, reason=NO_DATA)
    first, *rest = run(number, last or done)
    return [replace(first, source=REALIGN), *rest]


def drifting(spec: CampaignSpec) -> list[ev.Event]:
    """Good sentinels 1 and 4; from then on 2 too much until sentinel 7."""
    happened = [opened(spec), *sentinel(1, 1.0), *trial(2, 5.0), *trial(3, 6.0), *sentinel(4, 1.0)]
    return [*happened, *trial(5, 7.0), *trial(6, 8.0), *sentinel(7, 3.0)]


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
    own = spec_for(spec, REALIGN)
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


# Suspect data


def amounts(spec: CampaignSpec, *happened: ev.Event) -> dict[int, float]:
    return {number: one.amount for number, one in drifts(state_of(*happened), spec).items()}


def test_drift_is_linear_between_a_good_sentinel_and_one_that_is_off():
    spec = watched("correct")
    known = drifts(state_of(*drifting(spec)), spec)
    assert [known[n].amount for n in (5, 6, 7)] == pytest.approx([2 / 3, 4 / 3, 2.0])
    sigma = known[7].sigma
    assert [known[n].sigma for n in (5, 6)] == pytest.approx([sigma / 3, 2 * sigma / 3])
    assert (
        known[5].reason
        == known[7].reason
        == ("sentinel trial 7 gave 3, 16.3 sigma from its reference 1")
    )
    assert set(known) == {5, 6, 7}


def test_what_comes_after_is_suspect_until_a_sentinel_is_good():
    spec = watched("correct")
    happened = [*drifting(spec), *trial(8, 9.0)]
    assert amounts(spec, *happened)[8] == pytest.approx(2.0), "as far off as the newest sentinel"
    happened += [*trial(9, 9.0), *sentinel(10, 4.0)]
    known = amounts(spec, *happened)
    assert [known[n] for n in (8, 9, 10)] == pytest.approx([2 + 1 / 3, 2 + 2 / 3, 3.0])
    happened += [*trial(11, 9.0), *sentinel(12, 1.0), *trial(13, 9.0)]
    known = amounts(spec, *happened)
    assert known[11] == pytest.approx(1.5)
    assert 13 not in known


def test_a_realignment_ends_drift_at_once():
    spec = watched()
    late = trial(8, 9.0)
    happened = [*drifting(spec), *late, *realignment(9), *trial(10, 9.0)]
    known = amounts(spec, *happened)
    assert (known[8], known[10]) == (pytest.approx(2.0), 0.0)
    known = amounts(spec, *happened, *sentinel(11, 1.0))
    assert (known[8], known[10]) == (pytest.approx(2.0), 0.0)
    assert 9 not in known


def test_suspect_data_are_marked_and_stay_as_measured():
    spec = watched("correct")
    state = state_of(*drifting(spec))
    assert set(doubtful(state, spec)) == {5, 6}
    assert summary(log(*enumerate(drifting(spec))))["suspect_data"] == [5, 6]
    table = rows(state, spec)
    assert [row["y"] for row in table[4:7]] == [7.0, 8.0, 3.0]
    assert [row["suspect_data"] is None for row in table] == [True] * 4 + [False, False, True]
    assert [row["drift"] is None for row in table] == [True] * 4 + [False] * 3
    plain = campaign()
    assert "drift" not in rows(state_of(opened(), *trial(1, 1.0)), plain)[0]


def told(spec: CampaignSpec, *happened: ev.Event) -> dict[int, Outcome]:
    known = knowledge(state_of(*happened), spec)
    return {one.trial_id: one.outcomes["y"] for one in known.told if one.outcomes}


def test_the_optimizer_is_told_outcomes_without_their_drift_where_the_campaign_says_so():
    spec = watched("correct")
    happened = drifting(spec)
    now = told(spec, *happened)
    assert [now[n].mean for n in (3, 5, 6, 7)] == pytest.approx([6, 7 - 2 / 3, 8 - 4 / 3, 1.0])
    sigma = drifts(state_of(*happened), spec)[7].sigma
    assert now[5].sem == pytest.approx((0.1**2 + (sigma / 3) ** 2) ** 0.5)
    assert now[3].sem == 0.1
    for then in ("pause", ALIGN):
        as_measured = watched(then)
        assert told(as_measured, *drifting(as_measured))[6] == Outcome(8.0, 0.1)
    both = watched({**ALIGN, "correct": True})
    assert told(both, *drifting(both))[6] == now[6]


def test_the_order_in_which_outcomes_arrive_does_not_count():
    spec = watched("correct")
    happened = drifting(spec)
    state = state_of(*happened)
    late = replace(state, measured=(*state.measured[1:], state.measured[0]))
    assert drifts(late, spec) == drifts(state, spec)
    assert judged(late, spec) == judged(state, spec)


def test_an_error_that_is_unknown_stays_so():
    spec = watched("correct")
    happened = [*drifting(spec), *trial(8, 9.0, sem=None)]
    now = told(spec, *happened)[8]
    assert (now.mean, now.sem) == (pytest.approx(7.0), None)


def test_no_optimizer_hears_of_a_realignment():
    spec = watched()
    state = state_of(*drifting(spec), *realignment(8))
    known = knowledge(state, spec)
    assert [one.trial_id for one in known.observations] == [1, 2, 3, 4, 5, 6, 7]
    assert known.trial_id == 9


def test_what_a_proposal_knew_is_found_again_from_the_log():
    """With what was known then: the drift as it was judged at its basis, not as it is now."""
    spec = watched("correct")
    happened = [*drifting(spec), *trial(8, 9.0)]
    known = knowledge(state_of(*happened), spec)
    first, *rest = trial(9, 9.0)
    happened += [replace(first, basis=known.basis), *rest, *sentinel(10, 9.0)]
    asked = {one.event.trial_id: one for one in questions(log(*enumerate(happened)), spec)}
    assert asked[9].known.observations == known.observations
    now = knowledge(state_of(*happened), spec)
    assert now.observations[7] != known.observations[7], "trial 8 is known to be further off"
    assert {n for n, one in asked.items() if one.is_given} == {1, 4, 7, 10}
