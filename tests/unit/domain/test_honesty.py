from dataclasses import replace
from typing import Any

import pytest

from orchestrator.domain import events as ev
from orchestrator.domain.honesty import Honesty, honesty
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import fold
from orchestrator.domain.trial import Outcome
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


def _compared(best: float | None, spec: CampaignSpec | None = None, **changes: Any) -> Honesty:
    """After one trial that measured the best."""
    measured = results(9.0 if best is None else best)
    found = _honesty(*measured, _recording(2, best=best, **changes), spec=spec)
    assert found is not None
    return found


def test_a_campaign_that_random_points_would_have_beaten_says_so():
    found = _compared(3.1)
    assert found.no_better
    assert found.sentence == (
        "no better than random after 24 trials: best y 3.1, a space-filling campaign 3.4 by the"
        " model (nine in ten 3.2 to 3.9; r2 0.90)"
    )
    assert found.of == "y"
    assert (found.best, found.reference, found.band) == (3.1, 3.4, (3.2, 3.9))
    assert found.cross_validation == {"y": 0.9}


@pytest.mark.parametrize(
    ("best", "verdict"),
    [(3.4, "no better"), (3.5, "perhaps better"), (3.9, "perhaps better"), (4.0, "better")],
)
def test_it_is_better_beyond_the_band_and_perhaps_within(best: float, verdict: str):
    found = _compared(best)
    assert found.sentence.startswith(f"{verdict} than random after 24 trials")
    assert found.no_better == (verdict == "no better")


@pytest.mark.parametrize(
    ("best", "verdict"),
    [(3.4, "no better"), (3.3, "perhaps better"), (3.2, "perhaps better"), (3.1, "better")],
)
def test_when_minimizing_less_is_better(best: float, verdict: str):
    found = _compared(best, campaign(**MINIMIZE))
    assert found.sentence.startswith(f"{verdict} than random after 24 trials: best y {best} mm")


@pytest.mark.parametrize("goal", [{}, MINIMIZE], ids=["maximize", "minimize"])
def test_something_feasible_is_better_than_nothing(goal: dict[str, Any]):
    nowhere = {"low": None, "median": None, "high": None}
    found = _compared(3.1, campaign(**goal), **nowhere)
    assert found.sentence.startswith("better than random after 24 trials")
    assert "campaign nothing feasible" in found.sentence
    found = _compared(None, campaign(**goal))
    assert found.sentence.startswith("no better than random after 24 trials: best y nothing feas")
    assert found.best is None
    assert "nine in ten nothing feasible;" in _compared(3.1, campaign(**goal), **nowhere).sentence
    found = _compared(None, campaign(**goal), **nowhere)
    assert found.no_better is None
    assert found.sentence == (
        "nothing feasible after 24 trials, and none is expected of so many random points either"
    )


def test_a_band_that_ends_where_nothing_is_feasible():
    found = _compared(3.6, low=None)
    assert "(nine in ten nothing feasible, or up to 3.9; r2" in found.sentence
    found = _compared(3.3, campaign(**MINIMIZE), high=None)
    assert "(nine in ten nothing feasible, or down to 3.2; r2" in found.sentence


def test_a_model_that_foretells_little_is_no_measure():
    found = _compared(3.1, r2=0.3)
    assert found.no_better is None
    assert found.sentence == (
        "not to be compared with random after 24 trials: the model foretells y too badly (r2 0.30)"
    )


def _corrected(spec: CampaignSpec | None = None) -> Honesty | None:
    """A proposal's record, then a correction, then the next proposal's."""
    spec = spec or campaign()
    after = state_of(opened(spec), *results(3.3), _recording(2, best=3.1))
    correction = ev.Corrected(
        trial_id=1,
        outcomes={"y": Outcome(3.2), "z": Outcome(1.0)},
        reducer="",
        reducer_sha256="",
        by="",
    )
    after = fold([replace(correction, id="90-0")], after)
    assert honesty(after, spec) is None
    informed = replace(_recording(3, best=3.2), id="91-0", basis="90-0")
    return honesty(fold([informed], after), spec)


def test_what_was_recorded_before_a_correction_counts_no_more():
    found = _corrected()
    assert found is not None
    assert found.best == 3.2


def test_the_best_informed_proposal_counts():
    recorded = [_recording(2, 20), _recording(3, 22, r2=0.6), _recording(4, 21), proposed(5)]
    found = _honesty(*results(3.1), *recorded)
    assert found is not None
    assert (found.trials, found.cross_validation) == (22, {"y": 0.6})


def test_there_is_none_before_a_model_proposed_nor_from_older_records():
    assert _honesty() is None
    assert _honesty(*results(1.0)) is None
    assert _honesty(replace(proposed(1), details={"method": "ax", "left_out": 0})) is None


SEVERAL = campaign(objectives={"y": {"goal": "maximize"}, "z": {"goal": "minimize", "unit": "s"}})


def test_several_objectives_are_compared_by_hypervolume_and_more_is_better():
    found = _honesty(*results(3.0), _recording(2, best=3.6), spec=SEVERAL)
    assert found is not None
    assert (found.of, found.no_better) == ("hypervolume", False)
    assert found.sentence == (
        "perhaps better than random after 24 trials: hypervolume 3.6, a space-filling campaign 3.4"
        " by the model (nine in ten 3.2 to 3.9; r2 0.90)"
    )
    found = _honesty(*results(3.0), _recording(2, best=0.0), spec=SEVERAL)
    assert found is not None
    assert found.no_better
    assert "hypervolume 0, a space-filling campaign 3.4" in found.sentence


def test_of_several_objectives_too_a_correction_ends_what_was_recorded_before():
    assert _corrected(SEVERAL) is not None
    nothing = replace(proposed(1), details={"space_filling": None})
    assert _honesty(nothing, spec=SEVERAL) is None
