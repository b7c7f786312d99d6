"""How far trials are off that were measured while a sentinel was, and what is told of them."""

from dataclasses import replace

import pytest

from orchestrator.domain import events as ev
from orchestrator.domain.proposal import knowledge
from orchestrator.domain.recomputation import questions
from orchestrator.domain.sentinels import judged
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.summary import rows, summary
from orchestrator.domain.suspect_data import drifts, suspect_data
from orchestrator.domain.trial import Outcome
from tests.unit.domain.builders import campaign, log, opened, state_of
from tests.unit.domain.drifting import ALIGN, drifting, realignment, sentinel, trial, watched


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
    assert set(suspect_data(state, spec)) == {5, 6}
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
