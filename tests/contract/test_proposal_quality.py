"""What a proposal by the model records about the model: checked against what is really so."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from orchestrator.adapters.optimizers import thinning
from orchestrator.adapters.optimizers.ax_optimizer import AxOptimizer
from orchestrator.adapters.optimizers.sobol_optimizer import space_filling_points
from orchestrator.domain.proposal import Knowledge, Observation, seed_for
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.trial import Outcome

pytestmark = pytest.mark.contract

PARAMETERS: dict[str, Any] = {
    "a": {"device": "a", "range": [0, 1]},
    "b": {"device": "b", "range": [0.01, 100], "scale": "log"},
}


def campaign(**changes: Any) -> CampaignSpec:
    content = {
        "name": "c",
        "instrument": "soft",
        "plan": {"name": "p"},
        "parameters": PARAMETERS,
        "objectives": {"y": {"goal": "minimize"}},
        "budget": {"trials": 50},
        "optimizer": {"initial_trials": 5},
        **changes,
    }
    return CampaignSpec.from_data(content)


def truth(point: Mapping[str, Any]) -> dict[str, float]:
    a, b = point["a"], math.log10(point["b"])
    return {"y": (a - 0.62) ** 2 + (b - 0.4) ** 2, "z": a + b, "w": a - b}


def measured(number: int, point: Mapping[str, Any], noise: float = 0.0) -> Observation:
    outcomes = {name: Outcome(value + noise) for name, value in truth(point).items()}
    return Observation(number, point, outcomes, pending=False)


def known(spec: CampaignSpec, own: int, others: int) -> Knowledge:
    """The first ``own`` points of the campaign's sequence, then those of another sequence."""
    elsewhere = spec.model_copy(
        update={"optimizer": spec.optimizer.model_copy(update={"seed": 77})}
    )
    points = space_filling_points(spec, own) + space_filling_points(elsewhere, others)
    observations = tuple(measured(number, point) for number, point in enumerate(points, 1))
    number = len(points) + 1
    return Knowledge(spec, observations, number, seed_for(0, number), "0")


def recorded(question: Knowledge) -> Mapping[str, Any]:
    suggestion = AxOptimizer().suggest(question)
    assert suggestion.source == "model"
    return json.loads(json.dumps(suggestion.details))


CONSTRAINED = {"constraints": {"outcomes": ["z <= 0.5"]}}
BOXED = {"constraints": {"parameters": ["a <= 0.5"]}}


@pytest.mark.parametrize("changes", [{}, CONSTRAINED, BOXED], ids=["free", "outcome", "parameter"])
def test_the_reference_is_what_the_sequence_really_reaches(changes: dict[str, Any]) -> None:
    spec = campaign(**changes)
    details = recorded(known(spec, own=5, others=25))
    filling = details["space_filling"]
    values = [truth(point) for point in space_filling_points(spec, 30)]
    rules = spec.outcome_constraints
    best = min(one["y"] for one in values if all(rule.holds(one) for rule in rules))
    assert filling["trials"] == 30
    assert filling["low"] <= filling["median"] <= filling["high"]
    assert filling["low"] - 0.02 <= best <= filling["high"] + 0.02
    assert set(details["cross_validation"]) == ({"y", "z"} if changes is CONSTRAINED else {"y"})
    assert all(one["r2"] > 0.9 for one in details["cross_validation"].values())


def test_without_quality_the_point_is_the_same() -> None:
    question = known(campaign(), own=5, others=5)
    full, brief = AxOptimizer().suggest(question), AxOptimizer().without_quality().suggest(question)
    assert brief.parameters == full.parameters
    assert full.details.keys() - brief.details.keys() == {"cross_validation", "space_filling"}


def test_points_that_were_measured_are_not_guessed() -> None:
    filling = recorded(known(campaign(), own=10, others=0))["space_filling"]
    assert filling["low"] == filling["median"] == filling["high"] == filling["best"]


def test_what_the_campaign_reached_is_the_best_feasible_result() -> None:
    spec = campaign(**CONSTRAINED)
    question = known(spec, own=5, others=5)
    allowed = [one for one in question.told if truth(one.parameters)["z"] <= 0.5]
    best = min(truth(one.parameters)["y"] for one in allowed)
    assert recorded(question)["space_filling"]["best"] == best


def test_nothing_feasible_is_no_number() -> None:
    spec = campaign(constraints={"outcomes": ["z <= -50"]})
    filling = recorded(known(spec, own=5, others=5))["space_filling"]
    assert {filling[key] for key in ("low", "median", "high", "best")} == {None}


def test_a_model_that_foretells_nothing_is_seen_through() -> None:
    spec, noise = campaign(), np.random.default_rng(1).standard_normal(30) * 100
    question = known(spec, own=30, others=0)
    observations = tuple(
        measured(one.trial_id, one.parameters, float(noise[one.trial_id - 1]))
        for one in question.observations
    )
    quality = recorded(replace(question, observations=observations))["cross_validation"]
    assert quality["y"]["r2"] < 0.3
    assert quality["y"]["inside_95"] > 0.8


TWO = {"y": {"goal": "minimize"}, "z": {"goal": "maximize"}}


def hypervolume(points: Iterable[Mapping[str, float]], corner: Mapping[str, float]) -> float:
    """Of y to be minimized and z to be maximized, in strips from the least y on."""
    area, top = 0.0, corner["z"]
    for one in sorted(points, key=lambda one: one["y"]):
        if one["y"] < corner["y"] and one["z"] > top:
            area += (corner["y"] - one["y"]) * (one["z"] - top)
            top = one["z"]
    return area


def beyond_the_worst(points: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """A tenth of the range of the points beyond the worst of them."""
    y, z = ([one[name] for one in points] for name in ("y", "z"))
    return {"y": max(y) + (max(y) - min(y)) / 10, "z": min(z) - (max(z) - min(z)) / 10}


@pytest.mark.parametrize("bounds", [["y <= 2", "z >= -1.5", "y <= 3"], ["z >= -1.5"], []])
def test_two_objectives_are_compared_by_their_hypervolume(bounds: list[str]) -> None:
    spec = campaign(objectives=TWO, constraints={"outcomes": bounds})
    question = known(spec, own=5, others=25)
    details = recorded(question)
    filling = details["space_filling"]
    told = [truth(one.parameters) for one in question.told]
    allowed = [one for one in told if all(rule.holds(one) for rule in spec.outcome_constraints)]
    corner = {"y": 2, "z": -1.5} if len(bounds) == 3 else beyond_the_worst(allowed)
    assert filling["reference_point"] == pytest.approx(corner)
    assert filling["best"] == pytest.approx(hypervolume(allowed, corner))
    filled = [truth(point) for point in space_filling_points(spec, 30)]
    keep = [one for one in filled if all(rule.holds(one) for rule in spec.outcome_constraints)]
    reached = hypervolume(keep, corner)
    assert filling["low"] * 0.98 <= reached <= filling["high"] * 1.02
    assert set(details["cross_validation"]) == {"y", "z"}


FEW = {"optimizer": {"initial_trials": 2}}


def test_of_two_objectives_points_that_were_measured_are_not_guessed() -> None:
    for own in (2, 10):
        filling = recorded(known(campaign(objectives=TWO, **FEW), own, others=0))["space_filling"]
        assert filling["low"] == filling["high"] == filling["best"] > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"objectives": {**TWO, "w": {"goal": "maximize"}}},
        {"objectives": TWO, "constraints": {"outcomes": ["z <= -50"]}},
    ],
    ids=["three", "two with nothing feasible"],
)
def test_more_than_two_objectives_or_two_without_a_result_have_no_reference(changes) -> None:
    details = recorded(known(campaign(**changes), own=8, others=0))
    assert details["space_filling"] is None
    assert {"y", "z"} <= set(details["cross_validation"])


def test_a_fit_to_some_of_many_results_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    question = known(campaign(), own=5, others=25)
    details = recorded(question)
    assert (details["told_trials"], details["fitted_trials"]) == (30, 30)
    assert (details["model"], details["acquisition"]) != ("", "")
    monkeypatch.setattr(thinning, "MOST_FITTED", 12)
    details = recorded(question)
    assert (details["told_trials"], details["fitted_trials"]) == (30, 12)
    assert details["space_filling"] is None
    every_tenth = recorded(replace(question, trial_id=40))["space_filling"]
    assert every_tenth["trials"] == 30


def with_error(one: Observation, sem: float) -> Observation:
    outcomes = {name: replace(it, sem=sem) for name, it in (one.outcomes or {}).items()}
    return replace(one, outcomes=outcomes)


def test_known_errors_are_used() -> None:
    """With errors as large as the outcomes themselves there is hardly anything to foretell."""
    question = known(campaign(), own=20, others=0)
    r2: list[float] = []
    for sem in (0.01, 3.0):
        rough = tuple(with_error(one, sem) for one in question.told)
        details = recorded(replace(question, observations=rough))
        r2.append(details["cross_validation"]["y"]["r2"])
    assert r2[1] < 0.5 < r2[0]
