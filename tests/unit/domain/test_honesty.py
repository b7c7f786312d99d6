from dataclasses import replace
from typing import Any

import pytest

from orchestrator.domain import events as ev
from orchestrator.domain.honesty import Honesty, honesty
from orchestrator.domain.spec import CampaignSpec
from tests.unit.domain.builders import campaign, opened, proposed, results, state_of

MINIMIZE = {"objectives": {"y": {"goal": "minimize", "unit": "mm"}}}


def _recording(trial_id: int, trials: int = 24, r2: float = 0.9, **changes: Any) -> ev.Proposed:
    filling = {"trials": trials, "draws": 128, "low": 3.2, "median": 3.4, "high": 3.9, "best": 3.1}
    details = {
        "cross_validation": {"y": {"r2": r2, "inside_95": 0.95}},
        "space_filling": {**filling, **changes},
    }
    return replace(proposed(trial_id), details=details)


def _honesty(*happened: ev.Event, spec: CampaignSpec | None = None) -> Honesty | None:
    spec = spec or campaign()
    return honesty(state_of(opened(spec), *happened), spec)


def test_a_campaign_that_random_points_would_have_beaten_says_so():
    found = _honesty(*results(1.0), _recording(2))
    assert found is not None
    assert found.no_better
    assert found.sentence == (
        "no better than random so far: best y 3.1, the space-filling reference 3.4 [3.2, 3.9]"
        " at 24 trials"
    )
    assert (found.best, found.reference, found.band) == (3.1, 3.4, (3.2, 3.9))
    assert found.cross_validation == {"y": 0.9}


@pytest.mark.parametrize(
    ("best", "verdict"),
    [(3.4, "no better"), (3.5, "perhaps better"), (3.9, "perhaps better"), (4.0, "better")],
)
def test_it_is_better_beyond_the_band_and_perhaps_within(best: float, verdict: str):
    found = _honesty(_recording(1, best=best))
    assert found is not None
    assert found.sentence.startswith(f"{verdict} than random so far")
    assert found.no_better == (verdict == "no better")


@pytest.mark.parametrize(
    ("best", "verdict"),
    [(3.4, "no better"), (3.3, "perhaps better"), (3.2, "perhaps better"), (3.1, "better")],
)
def test_when_minimizing_less_is_better(best: float, verdict: str):
    found = _honesty(_recording(1, best=best), spec=campaign(**MINIMIZE))
    assert found is not None
    assert found.sentence.startswith(f"{verdict} than random so far: best y {best} mm")


@pytest.mark.parametrize("goal", [{}, MINIMIZE], ids=["maximize", "minimize"])
def test_something_feasible_is_better_than_nothing(goal: dict[str, Any]):
    nowhere = {"low": None, "median": None, "high": None}
    found = _honesty(_recording(1, **nowhere), spec=campaign(**goal))
    assert found is not None
    assert found.sentence.startswith("better than random so far")
    assert "reference nothing feasible [nothing feasible, nothing feasible]" in found.sentence
    found = _honesty(_recording(1, best=None), spec=campaign(**goal))
    assert found is not None
    assert found.sentence.startswith("no better than random so far: best y nothing feasible")
    assert found.best is None


def test_the_best_informed_proposal_counts():
    happened = [_recording(1, 20), _recording(2, 22, r2=0.5), _recording(3, 21), proposed(4)]
    found = _honesty(*happened)
    assert found is not None
    assert (found.trials, found.cross_validation) == (22, {"y": 0.5})


def test_there_is_none_before_a_model_proposed_nor_from_older_records():
    assert _honesty() is None
    assert _honesty(*results(1.0)) is None
    assert _honesty(replace(proposed(1), details={"method": "ax", "left_out": 0})) is None


def test_there_is_none_with_several_objectives():
    several = campaign(objectives={"y": {"goal": "maximize"}, "z": {"goal": "minimize"}})
    nothing = replace(proposed(1), details={"space_filling": None})
    assert _honesty(nothing, spec=several) is None
    assert _honesty(_recording(1), spec=several) is None
