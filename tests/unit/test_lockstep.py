"""The fast rehearsal is an approximation, and a good one."""

import math
import re
from typing import Any

import pytest
import torch

from orchestrator.adapters.optimizers.batched_surrogate import BatchedSurrogate, _log_h
from orchestrator.adapters.optimizers.sobol_optimizer import space_filling_points
from orchestrator.campaign_files import read_files
from orchestrator.domain.errors import Unusable
from orchestrator.domain.proposal import Knowledge, Observation
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.trial import Outcome
from orchestrator.lockstep import in_lockstep
from orchestrator.rehearsal import rehearse

SOFT = read_files("soft")
FLOW = read_files("flow-chemistry")


def rehearsed(
    files: Any = SOFT, count: int = 6, processes: int = 1, **fields: Any
) -> dict[str, Any]:
    campaign = CampaignSpec.from_data({**files.campaign.to_data(), **fields})
    with in_lockstep(processes) as carry:
        return rehearse(campaign, files.instrument, count, carry, approximate=True)


def test_it_finds_the_valleys_of_branin():
    found = rehearsed(count=4)
    assert found["approximate"]
    assert found["best"][-1]["mean"] < 2
    assert found["best"][-1]["mean"] < found["chance"]["best"][-1]["mean"]
    assert found["best"][:8] == found["chance"]["best"][:8], "the initial trials are the same"


def test_it_keeps_constraints_and_stops_by_the_campaigns_rules():
    found = rehearsed(FLOW, count=2, stop={"target": {"sty": ">= 9000"}})
    assert found["reached"]["count"] == 2
    assert found["chance"]["reached"]["count"] < 2
    assert found["trials_spent"]["high"] < 40
    assert found["unmeasured"] == 0


def test_the_same_rehearsal_gives_the_same():
    first = rehearsed(count=2, budget={"trials": 10})
    assert rehearsed(count=2, budget={"trials": 10}) == first


def known(spec: CampaignSpec, value: Any, told: int) -> Knowledge:
    points = space_filling_points(spec, told)
    observations = [
        Observation(number, point, value(point), pending=False)
        for number, point in enumerate(points, 1)
    ]
    return Knowledge(spec, tuple(observations), told + 1, 0, "0")


def box(**fields: Any) -> CampaignSpec:
    parameters = {
        "a": {"arg": "a", "range": [0.001, 10], "scale": "log"},
        "b": {"arg": "b", "range": [0, 1]},
    }
    return CampaignSpec.from_data(
        {
            **{"name": "box", "instrument": "soft", "plan": {"name": "any"}},
            **{"parameters": parameters, "objectives": {"y": {"goal": "maximize"}}},
            **{"budget": {"trials": 30}, **fields},
        }
    )


def slope(point: Any) -> dict[str, Outcome]:
    return {"y": Outcome(math.log10(point["a"]) + point["b"], 0.0)}


def test_a_slope_is_climbed_to_its_corner_in_all_campaigns():
    spec = box()
    points = BatchedSurrogate(spec, 0).suggest([known(spec, slope, 9), known(spec, slope, 5)])
    for point in points:
        assert point["a"] > 3
        assert point["b"] > 0.7


def test_parameter_constraints_hold():
    spec = box(
        parameters={one: {"arg": one, "range": [0, 10]} for one in ("a", "b")},
        constraints={"parameters": ["a + 3 * b <= 12"]},
    )
    (point,) = BatchedSurrogate(spec, 0).suggest([known(spec, slope, 9)])
    assert 9 < point["a"] + 3 * point["b"] <= 12


def test_while_nothing_is_feasible_it_looks_for_what_is():
    spec = box(constraints={"outcomes": ["z >= 0.95"]})

    def outcomes(point: Any) -> dict[str, Outcome]:
        return {**slope(point), "z": Outcome(1 - point["b"] - 0.1 if point["b"] < 2 else 0.0)}

    (point,) = BatchedSurrogate(spec, 0).suggest([known(spec, outcomes, 8)])
    assert point["b"] < 0.1


def test_results_that_are_all_equal_are_no_obstacle():
    spec = box()
    flat = {"y": Outcome(0.0)}
    (point,) = BatchedSurrogate(spec, 0).suggest([known(spec, lambda _: flat, 4)])
    assert 0.001 <= point["a"] <= 10


def test_the_logarithm_of_the_expected_improvement_does_not_underflow():
    z = torch.tensor([1.0, -1.0, -1.0001, -30.0, -1e5], dtype=torch.double)
    found = _log_h(z).tolist()
    assert found[0] == pytest.approx(math.log(1.0833154705876864))
    assert found[1] == pytest.approx(found[2], abs=1e-3)
    assert found[3] == pytest.approx(
        -450 - 0.5 * math.log(2 * math.pi) - 2 * math.log(30), abs=0.01
    )
    assert math.isfinite(found[4])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"optimizer": {"method": "mine"}}, "no optimizer is called 'mine'"),
        (
            {"parameters": {"x": {"device": "bench.x", "range": [0, 9], "type": "int"}, "y": None}},
            "one objective and floats alone",
        ),
    ],
)
def test_what_it_does_not_know_is_refused(fields, words):
    if "parameters" in fields:
        fields["parameters"]["y"] = SOFT.campaign.to_data()["parameters"]["y"]
    with pytest.raises(Unusable, match=re.escape(words)):
        rehearsed(**fields)


def test_it_proposes_in_one_thread_and_leaves_the_others_to_others(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(BatchedSurrogate, "_suggested", lambda *_: torch.get_num_threads())
    torch.set_num_threads(2)
    try:
        assert BatchedSurrogate(box(), 0).suggest([]) == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
