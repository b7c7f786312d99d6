"""The space-filling sequence: what it gives, and what it must not need."""

import subprocess
import sys
from typing import Any

import pytest
from scipy.stats import qmc

from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer
from orchestrator.domain.errors import OptimizerError
from orchestrator.domain.proposal import Knowledge, Suggestion
from orchestrator.domain.spec import CampaignSpec

X_AND_Y = {"x": {"device": "x", "range": [0, 1]}, "y": {"device": "y", "range": [-5, 5]}}


def campaign(parameters: dict[str, Any], **changes: Any) -> CampaignSpec:
    content = {
        "name": "c",
        "instrument": "soft",
        "plan": {"name": "p"},
        "parameters": parameters,
        "objectives": {"o": {"goal": "maximize"}},
        "budget": {"trials": 10},
    }
    return CampaignSpec.model_validate({**content, **changes}, strict=False)


def nth(spec: CampaignSpec, number: int, seed: int = 0) -> Suggestion:
    return SobolOptimizer().suggest(Knowledge(spec, (), number, seed, "0"))


def test_the_kth_trial_gets_the_kth_point_of_the_campaigns_sequence() -> None:
    spec = campaign(X_AND_Y, optimizer={"seed": 7})
    units = qmc.Sobol(2, rng=7).random(8)
    units[0] = 0.5
    for number, (x, y) in enumerate(units.tolist(), start=1):
        assert nth(spec, number).parameters == {"x": x, "y": -5 * (1 - y) + 5 * y}


def test_the_seed_of_the_proposal_does_not_matter_that_of_the_campaign_does() -> None:
    spec, other = (campaign(X_AND_Y, optimizer={"seed": seed}) for seed in (1, 2))
    assert nth(spec, 3, seed=1) == nth(spec, 3, seed=2)
    assert nth(spec, 3).parameters != nth(other, 3).parameters


def test_the_order_of_keys_in_the_file_does_not_matter() -> None:
    backwards = dict(reversed(X_AND_Y.items()))
    assert nth(campaign(X_AND_Y), 4).parameters == nth(campaign(backwards), 4).parameters


def test_whole_numbers_and_choices_are_spread_evenly() -> None:
    spec = campaign(
        {
            "n": {"device": "n", "range": [1, 4], "type": "int"},
            "c": {"arg": "c", "choices": ["a", True, 2, 2.5]},
        }
    )
    points = [nth(spec, number).parameters for number in range(1, 65)]
    for name, values in (("n", [1, 2, 3, 4]), ("c", ["a", True, 2, 2.5])):
        drawn = [repr(point[name]) for point in points]
        counts = [drawn.count(repr(value)) for value in values]
        assert sum(counts) == 64
        assert all(15 <= count <= 17 for count in counts)


def test_the_first_trial_stands_in_the_middle_where_there_is_one() -> None:
    parameters = {
        "t": {"device": "t", "range": [20, 120]},
        "p": {"device": "p", "range": [1, 100], "scale": "log"},
        "n": {"device": "n", "range": [1, 5], "type": "int"},
        "grade": {"arg": "grade", "choices": ["low", "middle", "high"], "ordered": True},
        "solvent": {"arg": "solvent", "choices": ["water", "toluene"]},
    }
    firsts = [nth(campaign(parameters, optimizer={"seed": seed}), 1).parameters for seed in (1, 2)]
    for first in firsts:
        assert first["t"] == 70
        assert first["p"] == pytest.approx(10)
        assert (first["n"], first["grade"]) == (3, "middle")
    assert {first["solvent"] for first in firsts} <= {"water", "toluene"}


def test_a_constraint_that_forbids_the_middle_has_the_sequence_go_on() -> None:
    rules = {"parameters": ["x + y <= 0.4"]}
    x, y = nth(campaign(X_AND_Y, constraints=rules), 1).parameters.values()
    assert (x, y) != (0.5, 0.0)
    assert x + y <= 0.4


@pytest.mark.parametrize("kind", ["float", "int"])
def test_a_log_scale_gives_each_decade_its_share(kind: str) -> None:
    parameters = {"x": {"device": "x", "range": [1, 10_000], "type": kind, "scale": "log"}}
    spec = campaign(parameters)
    values = [nth(spec, number).parameters["x"] for number in range(1, 129)]
    assert all(type(value).__name__ == kind for value in values)
    shares = [sum(10**d <= float(value) < 10 ** (d + 1) for value in values) for d in range(4)]
    assert all(abs(share - 32) <= 8 for share in shares)


def test_with_constraints_the_kth_feasible_point_serves() -> None:
    free = campaign(X_AND_Y)
    bound = campaign(X_AND_Y, constraints={"parameters": ["x + 0.1 * y <= 0.2", "y >= -4"]})
    rules = bound.parameter_constraints
    points = [nth(free, number).parameters for number in range(1, 200)]
    feasible = [p for p in points if all(rule.holds(p) for rule in rules)]  # type: ignore[arg-type]
    assert 5 < len(feasible) < len(points)
    assert [nth(bound, k).parameters for k in range(1, 6)] == feasible[:5]


def test_constraints_that_leave_nothing_are_named() -> None:
    spec = campaign(X_AND_Y, constraints={"parameters": ["x + y >= 5.9999"]})
    with pytest.raises(OptimizerError, match=r"leave almost nothing .* \(x \+ y >= 5.9999\)"):
        nth(spec, 1)


def test_a_narrow_passage_is_still_found() -> None:
    spec = campaign(X_AND_Y, constraints={"parameters": ["x <= 0.01", "y <= -4.8"]})
    points = [nth(spec, number).parameters for number in (1, 2, 3)]
    assert len({repr(point) for point in points}) == 3


@pytest.mark.parametrize(
    ("method", "number", "source"),
    [("auto", 5, "initial"), ("auto", 6, "fallback"), ("sobol", 6, "initial")],
)
def test_source(method: str, number: int, source: str) -> None:
    spec = campaign(X_AND_Y, optimizer={"method": method, "initial_trials": 5})
    assert nth(spec, number).source == source


def test_importing_it_is_cheap_and_using_it_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer\n"
        "assert not {'numpy', 'scipy'} & set(sys.modules)\n"
        "from orchestrator.domain.proposal import Knowledge\n"
        "from orchestrator.domain.spec import CampaignSpec\n"
        "spec = CampaignSpec.model_validate_json(sys.argv[1])\n"
        "SobolOptimizer().suggest(Knowledge(spec, (), 1, 0, '0'))\n"
        "assert not {'ax', 'torch'} & set(sys.modules)\n"
    )
    spec = campaign(X_AND_Y).model_dump_json(by_alias=True)
    subprocess.run([sys.executable, "-W", "error", "-c", code, spec], check=True)
