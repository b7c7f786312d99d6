import random

import pytest

from orchestrator.domain import events as ev
from orchestrator.domain.ranking import Ranking, rank
from orchestrator.domain.state import fold
from orchestrator.domain.trial import Outcome
from tests.unit.domain.builders import campaign, log, opened, run, state_of

GOALS = {"y": {"goal": "maximize"}, "z": {"goal": "minimize"}}
RULES = {"outcomes": ["z <= 8"]}


def measured(trial_id: int, y: float, z: float) -> ev.Measured:
    return ev.Measured(trial_id=trial_id, outcomes={"y": Outcome(y), "z": Outcome(z)})


def by_chance(seed: int, count: int = 40) -> list[ev.Event]:
    rng = random.Random(seed)
    results = [measured(n, rng.randrange(6), rng.randrange(10)) for n in range(1, count + 1)]
    return [event for one in results for event in run(one.trial_id, one)]


@pytest.mark.parametrize("goals", [dict([item]) for item in GOALS.items()] + [GOALS])
@pytest.mark.parametrize("seed", range(10))
def test_result_by_result_or_all_at_once_is_the_same(seed, goals):
    spec = campaign(objectives=goals, constraints=RULES, stop={"target": {"z": "<= 0"}})
    state, ranking = state_of(opened(spec)), Ranking()
    for event in by_chance(seed):
        state = fold([event], state)
        ranking = rank(state, spec, ranking)
    assert ranking == rank(state, spec)
    assert len(ranking.results) == 40


@pytest.mark.parametrize("seed", range(10))
def test_nothing_beats_the_best_and_they_beat_all_others(seed):
    spec = campaign(objectives=GOALS, constraints=RULES)
    state = state_of(opened(spec), *by_chance(seed))
    best = {(t.outcomes["y"].mean, -t.outcomes["z"].mean): t for t in rank(state, spec).best}
    feasible = [t for t in state.measured if t.outcomes["z"].mean <= 8]
    for trial in feasible:
        own = (trial.outcomes["y"].mean, -trial.outcomes["z"].mean)
        rivals = [one for one in best if one[0] >= own[0] and one[1] >= own[1]]
        assert rivals
        if own in best:
            assert rivals == [own]
            assert best[own].trial_id <= trial.trial_id


def test_of_equal_results_the_oldest_trial_is_best_even_if_it_arrives_last():
    second, first = run(2, measured(2, 5, 0)), run(1, measured(1, 5, 0))
    *before, last = first
    state = state_of(opened(), *before, *second, last)
    assert [one.trial_id for one in rank(state, campaign()).best] == [1]


def test_a_log_that_went_back_is_ranked_anew():
    spec = campaign()
    events = log(*((float(n), one) for n, one in enumerate([opened(spec), *by_chance(1)])))
    known = rank(fold(events), spec)
    shorter = fold(events[:51])
    assert rank(shorter, spec, known) == rank(shorter, spec)


def test_without_news_the_ranking_stays_as_it_is():
    spec = campaign()
    state = state_of(opened(spec), *by_chance(1))
    ranking = rank(state, spec)
    later = fold([ev.Noted(id="9999-0", by="ann", text="coffee", key="1")], state)
    assert rank(later, spec, ranking) is ranking
