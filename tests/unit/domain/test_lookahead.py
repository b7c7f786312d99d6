"""How far to look ahead, whom to ask for, and how long to wait."""

from typing import Any

import pytest

from orchestrator.domain import lookahead
from orchestrator.domain.lookahead import Pace
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState, CampaignStatus
from orchestrator.domain.trial import Trial, TrialState
from tests.unit.domain.builders import state_with

NOW = 1000.0
S = TrialState
KNOWN = Pace(trial_s=10.0, suggestion_s=1.0, reduction_s=0.1)


def spec(lookahead: object = "auto", **optimizer: Any) -> CampaignSpec:
    return CampaignSpec.from_data(
        {
            "name": "scan",
            "instrument": "stage",
            "plan": {"name": "count"},
            "parameters": {"x": {"device": "x", "range": [0, 1]}},
            "objectives": {"y": {"goal": "maximize"}},
            "budget": {"trials": 40},
            "optimizer": {"lookahead": lookahead, "initial_trials": 2, **optimizer},
        }
    )


def trial(number: int, state: TrialState, **changes: Any) -> Trial:
    plain = {"parameters": {"x": 0.5}, "source": "model", "basis": "0", "seed": 0}
    return Trial(trial_id=number, state=state, **{**plain, **changes})


def after(*states: TrialState, **changes: Any) -> CampaignState:
    """A campaign whose trials are in these states; a running one was started at ``NOW``."""
    trials = {
        number: trial(number, state, started_at=NOW if state is S.RUNNING else None, **changes)
        for number, state in enumerate(states, 1)
    }
    return state_with(trials)


def test_the_pace_is_that_of_the_newest_trials():
    old = {"started_at": 0.0, "acquired_at": 500.0, "measured_at": 600.0, "suggestion_s": 90.0}
    new = {"started_at": 0.0, "acquired_at": 10.0, "measured_at": 10.5, "suggestion_s": 2.0}
    trials = {n: trial(n, S.MEASURED, **(old if n < 96 else new)) for n in range(1, 101)}
    trials[101] = trial(101, S.RUNNING, started_at=0.0, source="fallback")
    found = lookahead.pace(state_with(trials))
    assert found == Pace(trial_s=10.0, suggestion_s=2.0, reduction_s=0.5)


def test_nothing_is_known_of_the_pace_before_the_first_trial():
    assert lookahead.pace(CampaignState()) == Pace(None, None, None)


@pytest.mark.parametrize(
    ("pace", "depth"),
    [
        (Pace(), 1),
        (Pace(trial_s=10.0), 1),
        (Pace(10.0, 1.0, 0.0), 1),
        (Pace(1000.0, 1.0, 1.0), 0),
        (Pace(1000.0, 1.0, 20.0), 1),
        (Pace(0.2, 1.0, 0.0), 1),
        (Pace(0.1, 1.0, 0.0), 0),
        (Pace(60.0, 0.4, 900.0), 1),
    ],
)
def test_auto_waits_for_the_last_result_where_looking_ahead_gains_next_to_nothing(
    pace: Pace, depth: int
):
    assert lookahead.depth(after(S.MEASURED, S.MEASURED), spec(), pace) == depth


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_person_may_choose(depth: int):
    assert lookahead.depth(after(S.MEASURED), spec(depth), Pace(1000.0, 1.0, 1.0)) == depth


@pytest.mark.parametrize(("method", "done"), [("sobol", 20), ("auto", 1)])
def test_a_point_that_needs_no_result_is_not_held_back_for_one(method: str, done: int):
    state = after(*[S.MEASURED] * done)
    assert lookahead.depth(state, spec(method=method), Pace(1000.0, 0.0, 0.0)) == 1


@pytest.mark.parametrize(
    ("depth", "batch", "states", "wanted"),
    [
        (0, 1, [S.MEASURED], True),
        (0, 1, [S.ACQUIRED], False),
        (0, 2, [S.QUEUED], True),
        (0, 2, [S.QUEUED, S.QUEUED], False),
        (1, 1, [S.RUNNING], True),
        (1, 1, [S.RUNNING, S.QUEUED], False),
        (2, 1, [S.RUNNING, S.QUEUED], True),
        (1, 2, [S.RUNNING, S.QUEUED], True),
        (1, 1, [S.MEASURED] * 40, False),
    ],
)
def test_the_queue_is_kept_as_long_as_it_should_be(
    depth: int, batch: int, states: list[TrialState], wanted: bool
):
    assert lookahead.wants_trial(after(*states), spec(depth, batch=batch), depth) == wanted


def test_a_campaign_that_is_held_takes_no_new_trials():
    state = CampaignState(status=CampaignStatus.PAUSED)
    assert not lookahead.wants_trial(state, spec(1), 1)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"told": 0}, 3),
        ({"told": 1}, None),
        ({"told": 0, "source": "fallback"}, 3),
        ({"told": 0, "source": "initial"}, None),
        ({"told": 0, "source": "person"}, None),
        ({"told": 0, "attempts": 1}, None),
    ],
)
def test_what_waits_and_knows_less_may_be_improved(changes: dict[str, Any], found: int | None):
    state = after(S.MEASURED, S.RUNNING, S.QUEUED, **changes)
    old = lookahead.outdated(state, KNOWN, NOW)
    assert (old and old.trial_id) == found


def test_only_what_is_in_time_is_improved():
    state = after(S.MEASURED, S.RUNNING, S.QUEUED, S.QUEUED)
    at_once = lookahead.outdated(state, KNOWN, NOW)
    late = lookahead.outdated(state, KNOWN, NOW + 9.5)
    assert at_once
    assert late
    assert (at_once.trial_id, late.trial_id) == (3, 4)
    slow = Pace(trial_s=10.0, suggestion_s=25.0)
    assert lookahead.outdated(state, slow, NOW) is None


def test_nothing_is_late_while_a_person_holds_the_campaign():
    waiting = after(S.MEASURED, S.RUNNING, S.QUEUED).trials
    paused = state_with(waiting, status=CampaignStatus.PAUSED)
    old = lookahead.outdated(paused, Pace(10.0, 25.0), NOW + 60)
    assert old
    assert old.trial_id == 3


@pytest.mark.parametrize(
    ("states", "later", "spare_s"),
    [
        ([S.ACQUIRED, S.RUNNING], 0.0, 8.5),
        ([S.ACQUIRED, S.RUNNING], 6.0, 2.5),
        ([S.ACQUIRED, S.RUNNING], 9.0, 0.0),
        ([S.MEASURED, S.RUNNING], 0.0, 0.0),
        ([S.ACQUIRED], 0.0, 0.0),
    ],
)
def test_a_question_waits_for_a_result_that_is_about_to_come(
    states: list[TrialState], later: float, spare_s: float
):
    found = lookahead.hold_back_s(after(*states), KNOWN, NOW + later)
    assert found == pytest.approx(spare_s)


@pytest.mark.parametrize(
    ("states", "does"),
    [
        ([S.MEASURED], True),
        ([S.ACQUIRED], True),
        ([S.RUNNING], False),
        ([S.LEASED], False),
        ([S.QUEUED], False),
        ([S.SUSPECT], False),
    ],
)
def test_a_worker_without_a_trial_starves(states: list[TrialState], does: bool):
    assert lookahead.starves(after(*states)) == does


@pytest.mark.parametrize(
    ("chosen", "pace", "patience_s"),
    [
        (0, KNOWN, float("inf")),
        (1, KNOWN, 0.0),
        ("auto", KNOWN, 10.0),
        ("auto", Pace(), 30.0),
        ("auto", Pace(trial_s=10.0), 30.0),
        ("auto", Pace(trial_s=100.0), 100.0),
        ("auto", Pace(1.0, 4.0), 8.0),
    ],
)
def test_the_instrument_waits_as_long_as_a_wasted_measurement_would_cost(
    chosen: object, pace: Pace, patience_s: float
):
    assert lookahead.patience_s(spec(chosen), pace) == patience_s
