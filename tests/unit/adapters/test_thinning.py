from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from orchestrator.adapters.optimizers import thinning
from orchestrator.adapters.optimizers.sobol_optimizer import space_filling_points
from orchestrator.adapters.optimizers.thinning import thinned
from orchestrator.domain.proposal import Observation
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.trial import Outcome
from tests.unit.domain.builders import campaign

PLANE = {
    "parameters": {"a": {"device": "a", "range": [0, 1]}, "b": {"device": "b", "range": [0, 1]}}
}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thinning, "MOST_FITTED", 20)


def told(spec: CampaignSpec, count: int, **outcomes: Any) -> list[Observation]:
    points = space_filling_points(spec, count)
    return [
        Observation(
            number, point, {name: Outcome(f(point)) for name, f in outcomes.items()}, pending=False
        )
        for number, point in enumerate(points, 1)
    ]


def hill(point: Any) -> float:
    return -((point["a"] - 0.7) ** 2) - (point["b"] - 0.2) ** 2


def places(observations: list[Observation]) -> np.ndarray:
    return np.array([[float(one.parameters[name]) for name in "ab"] for one in observations])


def around(best: Observation, known: list[Observation]) -> list[Observation]:
    return sorted(known, key=lambda one: np.linalg.norm(places([one]) - places([best])))[:10]


def test_few_results_are_all_kept_with_whatever_else_is_known():
    spec = campaign(**PLANE)
    known = told(spec, 20, y=hill)
    known.append(Observation(21, {"a": 0.5, "b": 0.5}, None, pending=False))
    assert thinned(spec, known) == known


def test_of_many_results_half_lie_around_the_best_and_half_everywhere():
    spec = campaign(**PLANE)
    known = told(spec, 500, y=hill)
    kept = thinned(spec, known)
    assert len(kept) == 20
    assert [one.trial_id for one in kept] == sorted(one.trial_id for one in kept)
    nearest = around(max(known, key=lambda one: hill(one.parameters)), known)
    assert {one.trial_id for one in nearest} <= {one.trial_id for one in kept}
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    gaps = np.linalg.norm(corners[:, None] - places(kept)[None], axis=2).min(1)
    assert gaps.max() < 0.3


def test_pending_ones_are_kept_and_abandoned_ones_dropped():
    spec = campaign(**PLANE)
    waiting = Observation(501, {"a": 0.5, "b": 0.5}, None, pending=True)
    gone = Observation(502, {"a": 0.5, "b": 0.6}, None, pending=False)
    kept = thinned(spec, [*told(spec, 500, y=hill), waiting, gone])
    assert waiting in kept
    assert gone not in kept


def test_a_point_measured_again_and_again_does_not_fill_the_places():
    spec = campaign(**PLANE)
    known = told(spec, 100, y=hill)
    known += [replace(known[0], trial_id=number) for number in range(101, 200)]
    assert len({tuple(one.parameters.values()) for one in thinned(spec, known)}) == 20


def test_the_best_keeps_the_constraints_or_comes_closest():
    spec = campaign(**PLANE, constraints={"outcomes": ["z <= 0.5"]})
    known = told(spec, 500, y=hill, z=lambda point: point["a"])
    allowed = [one for one in known if float(one.parameters["a"]) <= 0.5]
    near = around(max(allowed, key=lambda one: hill(one.parameters)), known)
    kept = {one.trial_id for one in thinned(spec, known)}
    assert {one.trial_id for one in near} <= kept
    nowhere = told(spec, 500, y=hill, z=lambda point: 1 + point["a"])
    closest = min(nowhere, key=lambda one: one.parameters["a"])
    assert closest.trial_id in {one.trial_id for one in thinned(spec, nowhere)}


def test_every_undominated_result_of_several_objectives_is_a_best_one():
    several = {"y": {"goal": "maximize"}, "z": {"goal": "minimize"}}
    spec = campaign(**PLANE, objectives=several)
    known = told(spec, 500, y=lambda point: point["a"], z=lambda point: point["a"] - point["b"])
    kept = {one.trial_id for one in thinned(spec, known)}
    assert max(known, key=lambda one: one.parameters["a"]).trial_id in kept
    assert min(known, key=lambda o: o.parameters["a"] - o.parameters["b"]).trial_id in kept


def test_labels_logarithms_and_ordered_choices_have_distances():
    spec = campaign(
        parameters={
            "c": {"arg": "c", "choices": ["x", 1, True]},
            "o": {"arg": "o", "choices": [1, 10, 100], "ordered": True},
            "l": {"device": "l", "range": [0.001, 1000], "scale": "log"},
        }
    )
    known = told(spec, 200, y=lambda point: float(point["o"]))
    kept = thinned(spec, known)
    assert len(kept) == 20
    assert {str(one.parameters["c"]) for one in kept} == {"x", "1", "True"}
    assert {one.parameters["o"] for one in kept} == {1, 10, 100}
