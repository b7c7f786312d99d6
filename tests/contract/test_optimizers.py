"""What every optimizer keeps: the same knowledge gives the same proposal, and it is allowed."""

import json
import math
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.adapters.optimizers.ax_optimizer import AxOptimizer
from orchestrator.adapters.optimizers.ax_problem import AxProblem
from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer
from orchestrator.domain.errors import OptimizerError
from orchestrator.domain.proposal import Knowledge, Observation, Suggestion, seed_for
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.trial import Outcome, ParameterValue
from orchestrator.ports import Optimizer

pytestmark = pytest.mark.contract

Measure = Callable[[Mapping[str, Any]], dict[str, Outcome]]
PLANE = {"a": {"device": "a", "range": [0, 1]}, "b": {"device": "b", "range": [-1, 3]}}
OPTIMIZERS: dict[str, Optimizer] = {"sobol": SobolOptimizer(), "ax": AxOptimizer()}


def campaign(parameters: dict[str, Any] | None = None, **changes: Any) -> CampaignSpec:
    content = {
        "name": "c",
        "instrument": "soft",
        "plan": {"name": "p"},
        "parameters": parameters or PLANE,
        "objectives": {"height": {"goal": "maximize"}},
        "budget": {"trials": 50},
        "optimizer": {"initial_trials": 5},
    }
    return CampaignSpec.model_validate({**content, **changes}, strict=False)


def hill(point: Mapping[str, Any]) -> dict[str, Outcome]:
    return {"height": Outcome(-((point["a"] - 0.3) ** 2) - (point["b"] - 1) ** 2)}


def two_hills(point: Mapping[str, Any]) -> dict[str, Outcome]:
    return {**hill(point), "cost": Outcome(point["a"] + point["b"]), "dirt": Outcome(point["b"])}


def knowledge(
    spec: CampaignSpec, measure: Measure = hill, told: int = 6, pending: int = 0, failed: int = 0
) -> Knowledge:
    """As after so many trials at space-filling points: first those told, then the others."""
    observations: list[Observation] = []
    for number in range(1, told + pending + failed + 1):
        point = SobolOptimizer().suggest(Knowledge(spec, (), number, 0, "0")).parameters
        outcomes = measure(point) if number <= told else None
        is_pending = told < number <= told + pending
        observations.append(Observation(number, point, outcomes, is_pending))
    number = len(observations) + 1
    return Knowledge(spec, tuple(observations), number, seed_for(0, number), "0")


SEVERAL = {
    "objectives": {"height": {"goal": "maximize"}, "cost": {"goal": "minimize"}},
    "constraints": {"outcomes": ["dirt <= 2", "height >= -3", "cost + dirt <= 5"]},
}
NO_THRESHOLD = {**SEVERAL, "constraints": {"outcomes": ["dirt <= 2"]}}
CONSTRAINED = {"constraints": {"parameters": ["a + 0.1 * b <= 0.2"]}}
CASES: dict[str, Knowledge] = {
    "one objective": knowledge(campaign(), pending=1, failed=1),
    "several objectives": knowledge(campaign(**SEVERAL), two_hills),
    "parameter constraint": knowledge(campaign(**CONSTRAINED)),
}


@cache
def suggested(kind: str, case: str) -> Suggestion:
    """What is suggested in this process, computed once."""
    return OPTIMIZERS[kind].suggest(CASES[case])


def exact(suggestion: Suggestion) -> dict[str, str]:
    """Every bit of the parameters."""
    values = suggestion.parameters.items()
    return {name: v.hex() if isinstance(v, float) else repr(v) for name, v in values}


def assert_allowed(spec: CampaignSpec, point: Mapping[str, ParameterValue]) -> None:
    assert set(point) == set(spec.parameters)
    for name, value in point.items():
        assert spec.parameters[name].admits(value), (name, value)
        assert type(value) in {float, int, str, bool}
        if spec.parameters[name].range is not None:
            assert type(value).__name__ == spec.parameters[name].type
    numbers: Any = point
    assert all(rule.holds(numbers) for rule in spec.parameter_constraints)
    assert json.loads(json.dumps(dict(point))) == point


@pytest.fixture(params=OPTIMIZERS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


ELSEWHERE = """
import json, pickle, sys
from orchestrator.adapters.optimizers.optimizer_process import OptimizerProcess

answers, cases = {}, pickle.loads(bytes.fromhex(sys.argv[1]))
for kind in ("ax", "sobol"):
    optimizer = OptimizerProcess(kind)
    for name, known in cases.items():
        point = optimizer.suggest(known).parameters
        answers[f"{kind}: {name}"] = {key: value.hex() for key, value in point.items()}
    optimizer.close()
assert not {"ax", "botorch", "torch"} & set(sys.modules)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def elsewhere() -> dict[str, dict[str, str]]:
    """What the optimizer's process of a new process, with other hashes, suggests in each case."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ELSEWHERE, pickle.dumps(CASES).hex()],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")  # so nothing was logged or warned of either
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", CASES)
def test_the_same_knowledge_gives_the_same_bits_anywhere(
    kind: str, case: str, elsewhere: dict[str, dict[str, str]]
) -> None:
    suggestion = suggested(kind, case)
    assert exact(suggestion) == elsewhere[f"{kind}: {case}"]
    assert suggestion.source == ("model" if kind == "ax" else "fallback")
    assert suggestion.details["method"] == kind
    assert_allowed(CASES[case].spec, suggestion.parameters)


def test_asking_again_gives_the_same(kind: str) -> None:
    again = OPTIMIZERS[kind].suggest(replace(CASES["one objective"], basis="elsewhere"))
    assert again == suggested(kind, "one objective")


def test_a_parameter_with_one_choice_is_held_there(kind: str) -> None:
    held = {"number": {"device": "n", "choices": [3]}, "text": {"arg": "t", "choices": ["A"]}}
    known = knowledge(campaign({**PLANE, **held}), pending=1)
    point = OPTIMIZERS[kind].suggest(known).parameters
    assert_allowed(known.spec, point)
    assert (point["number"], point["text"]) == (3, "A")


def test_the_order_of_keys_does_not_matter(kind: str) -> None:
    known = CASES["several objectives"]

    def backwards(mapping: Mapping[str, Any]) -> dict[str, Any]:
        return dict(reversed(mapping.items()))

    spec = known.spec.model_copy(
        update={
            "parameters": backwards(known.spec.parameters),
            "objectives": backwards(known.spec.objectives),
        }
    )
    observations = tuple(
        replace(one, parameters=backwards(one.parameters), outcomes=backwards(one.outcomes or {}))
        for one in known.observations
    )
    turned = replace(known, spec=spec, observations=observations)
    answer = OPTIMIZERS[kind].suggest(turned)
    assert answer.parameters == suggested(kind, "several objectives").parameters


def seeded_by(seed: int) -> None:
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def torch_and_randomness() -> list[Any]:
    import torch

    threads, state = torch.get_num_threads(), torch.get_rng_state().tolist()
    return [random.getstate(), repr(np.random.get_state()), state, threads]


def test_the_programs_own_randomness_is_left_alone(kind: str) -> None:
    seeded_by(1)
    before = torch_and_randomness()
    assert OPTIMIZERS[kind].suggest(CASES["one objective"]) == suggested(kind, "one objective")
    assert torch_and_randomness() == before


@st.composite
def campaigns(draw: st.DrawFn) -> CampaignSpec:
    """Any mixture of parameters, sometimes with a constraint on those it may name."""
    edge = st.floats(1e-3, 1e6)
    parameters: dict[str, Any] = {}
    for i in range(draw(st.integers(1, 5))):
        low, high = sorted(draw(st.lists(edge, min_size=2, max_size=2, unique=True)))
        kind = draw(st.sampled_from(["float", "log", "int", "log int", "choices"]))
        scale = "log" if "log" in kind else "linear"
        parameters[f"p{i}"] = {
            "choices": {"choices": draw(st.sampled_from([["a", "b"], [1, 2.5, True], [3, 1, 2]]))},
            "float": {"range": [low, high]},
            "log": {"range": [low, high], "scale": scale},
        }.get(kind, {"range": [int(low) + 1, int(high) + 2], "type": "int", "scale": scale})
        parameters[f"p{i}"]["device"] = f"d{i}"
    linear = [n for n, p in parameters.items() if "range" in p and p.get("scale") != "log"]
    rules = [f"{linear[0]} <= {sum(parameters[linear[0]]['range']) / 2!r}"] if linear else []
    return campaign(parameters, constraints={"parameters": rules})


@given(campaigns(), st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_space_filling_points_are_allowed(spec: CampaignSpec, number: int) -> None:
    known = Knowledge(spec, (), number, 0, "0")
    assert_allowed(spec, SobolOptimizer().suggest(known).parameters)


MIXED = {
    "f": {"device": "f", "range": [0.001, 10], "scale": "log"},
    "i": {"device": "i", "range": [1, 9], "type": "int"},
    "c": {"arg": "c", "choices": ["a", 2, 2.5, True]},
    "o": {"arg": "o", "choices": [1, 2, 8], "ordered": True},
}


def test_a_model_serves_all_kinds_of_parameters() -> None:
    def measure(point: Mapping[str, Any]) -> dict[str, Outcome]:
        return {"height": Outcome(point["f"] * point["i"] - point["o"], 0.1)}

    known = knowledge(campaign(MIXED), measure, told=8)
    suggestion = AxOptimizer().suggest(known)
    assert suggestion.source == "model"
    assert_allowed(known.spec, suggestion.parameters)


REACTION = {
    "catalyst": {"arg": "catalyst", "choices": ["palladium", "nickel", "copper", "iron"]},
    "solvent": {"arg": "solvent", "choices": ["toluene", "ethanol", "water"]},
    **{name: {"device": name, "range": [0, 1]} for name in ("temperature", "time", "loading")},
}
CLIMBED = [
    ("palladium toluene", 0.431, 0.564, 0.0, 0.175),
    ("copper ethanol", 1.0, 0.433, 0.585, 0.282),
    ("copper ethanol", 0.554, 0.447, 1.0, 0.379),
    ("copper ethanol", 0.242, 0.477, 1.0, 0.215),
    ("copper ethanol", 0.681, 0.41, 1.0, 0.399),
    ("palladium toluene", 0.204, 0.88, 0.0, 0.171),
    ("copper ethanol", 0.667, 0.397, 0.869, 0.525),
    ("copper ethanol", 0.633, 0.299, 0.766, 0.659),
    ("copper ethanol", 0.587, 0.213, 0.691, 0.699),
    ("copper ethanol", 0.596, 0.18, 0.686, 0.698),
    ("copper ethanol", 0.583, 0.206, 0.666, 0.696),
    ("copper ethanol", 0.587, 0.184, 0.693, 0.699),
    ("copper ethanol", 0.585, 0.192, 0.688, 0.699),
]
"""Choices, numbers and yield in a campaign that has found the best of copper in ethanol."""


def test_another_choice_is_tried_where_the_last_has_nothing_left() -> None:
    observations = []
    for choices, *numbers, found in CLIMBED:
        values = zip(REACTION, [*choices.split(), *numbers], strict=True)
        outcomes = {"height": Outcome(found)}
        observations.append(Observation(len(observations) + 1, dict(values), outcomes, False))
    for seed in range(3):
        known = Knowledge(campaign(REACTION), tuple(observations), len(CLIMBED) + 1, seed, "0")
        point = AxOptimizer(tells_quality=False).suggest(known).parameters
        assert (point["catalyst"], point["solvent"]) != ("copper", "ethanol")


def test_an_optimum_on_the_edge_of_a_constraint_is_approached_from_inside() -> None:
    spec = campaign(constraints={"parameters": ["0.1 * a + 0.7 * b <= 0.3"]})

    def measure(point: Mapping[str, Any]) -> dict[str, Outcome]:
        return {"height": Outcome(point["a"] + point["b"])}

    point = AxOptimizer().suggest(knowledge(spec, measure)).parameters
    assert_allowed(spec, point)
    assert 0.1 * float(point["a"]) + 0.7 * float(point["b"]) == pytest.approx(0.3, abs=1e-6)


def ridge(point: Mapping[str, Any]) -> dict[str, Outcome]:
    """Gain on a narrow ridge, and as objective the distance from it."""
    gain = 12 * math.exp(-((point["a"] - 0.85) ** 2) / 0.03 - (point["b"] - 2.4) ** 2 / 0.5)
    edge = 4 * point["a"] + point["b"]
    return {"height": Outcome(-gain), "gain": Outcome(gain), "edge": Outcome(edge)}


def first_feasible(last: int) -> int | None:
    """The first trial that keeps both constraints; none of the first five does."""
    spec = campaign(constraints={"outcomes": ["gain >= 10", "edge <= 6.2"]})
    known = knowledge(spec, ridge, told=5)
    while known.trial_id <= last:
        point = AxOptimizer().suggest(known).parameters
        found = ridge(point)
        if found["gain"].mean >= 10 and found["edge"].mean <= 6.2:
            return known.trial_id
        told = (*known.observations, Observation(known.trial_id, point, found, False))
        known = Knowledge(spec, told, len(told) + 1, seed_for(0, len(told) + 1), "0")
    return None


def test_a_narrow_feasible_region_is_found() -> None:
    assert first_feasible(last=15) is not None


def test_control_expected_improvement_alone_does_not_find_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(AxProblem, "has_feasible", lambda *_: True)
    assert first_feasible(last=15) is None


NOWHERE = ["dirt <= -5"]
"""Least broken where b is lowest, at -1."""


@pytest.mark.parametrize(
    ("changes", "pending"),
    [
        ({"constraints": {"outcomes": NOWHERE}}, 2),
        ({"constraints": {"outcomes": ["cost + dirt <= -9"]}}, 0),
        ({"constraints": {"outcomes": NOWHERE, **CONSTRAINED["constraints"]}}, 0),
        ({**SEVERAL, "constraints": {"outcomes": NOWHERE}}, 1),
        ({**SEVERAL, "constraints": {"outcomes": [*NOWHERE, "height >= -3", "cost <= 5"]}}, 0),
    ],
)
def test_less_violation_is_sought_in_every_kind_of_campaign(
    changes: dict[str, Any], pending: int
) -> None:
    spec = campaign(**changes)
    suggestion = AxOptimizer().suggest(knowledge(spec, two_hills, told=8, pending=pending))
    assert suggestion.details["acquisition"] == "less violation"
    assert suggestion.parameters["b"] == pytest.approx(-1.0, abs=0.1)
    assert_allowed(spec, suggestion.parameters)


def test_less_violation_is_sought_among_choices_too() -> None:
    def measure(point: Mapping[str, Any]) -> dict[str, Outcome]:
        return {"height": Outcome(point["f"]), "cost": Outcome(float(point["i"]))}

    spec = campaign(MIXED, constraints={"outcomes": ["cost >= 50"]})
    suggestion = AxOptimizer().suggest(knowledge(spec, measure, told=8))
    assert suggestion.details["acquisition"] == "less violation"
    assert suggestion.parameters["i"] in {8, 9}


@pytest.mark.parametrize(
    ("rules", "is_one"),
    [
        ([], True),
        (["cost <= 0"], False),
        (["cost >= -2"], True),
        (["cost + dirt >= 90"], False),
        (["height >= 5"], True),  # the objective's own good side is pursued anyway
        (["height <= -90"], False),
    ],
)
def test_whether_a_result_is_feasible(rules: list[str], is_one: bool) -> None:
    spec = campaign(constraints={"outcomes": rules})

    def measure(point: Mapping[str, Any]) -> dict[str, Outcome]:
        return {**two_hills(point), "cost": Outcome(1 + point["a"])}

    known = knowledge(spec, measure)
    assert AxProblem(spec).has_feasible(known.observations) is is_one


@pytest.mark.parametrize("factor", [2.0**10, 2.0**-10])
def test_the_unit_of_a_constrained_outcome_does_not_matter(factor: float) -> None:
    def suggested_in(unit: float) -> Suggestion:
        def measure(point: Mapping[str, Any]) -> dict[str, Outcome]:
            return {**two_hills(point), "dirt": Outcome(unit * point["b"])}

        spec = campaign(constraints={"outcomes": [f"dirt <= {0.5 * unit!r}"]})
        return AxOptimizer().suggest(knowledge(spec, measure, told=8))

    assert exact(suggested_in(factor)) == exact(suggested_in(1.0))


def test_to_minimize_is_to_maximize_the_negative() -> None:
    def valley(point: Mapping[str, Any]) -> dict[str, Outcome]:
        return {"height": Outcome(-hill(point)["height"].mean)}

    spec = campaign(objectives={"height": {"goal": "minimize"}})
    downwards = AxOptimizer().suggest(knowledge(spec, valley, pending=1, failed=1))
    assert exact(downwards) == exact(suggested("ax", "one objective"))


@pytest.mark.parametrize(("least_height", "most_cost"), [(-0.1, 3.0), (-3.0, 0.3)])
def test_bounds_on_all_objectives_say_which_compromise_is_sought(
    least_height: float, most_cost: float
) -> None:
    rules = [f"height >= {least_height}", f"cost <= {most_cost}"]
    objectives = {"height": {"goal": "maximize"}, "cost": {"goal": "minimize"}}
    spec = campaign(objectives=objectives, constraints={"outcomes": rules})
    point = AxOptimizer().suggest(knowledge(spec, two_hills, told=12)).parameters
    reached = {name: one.mean for name, one in two_hills(point).items()}
    assert reached["height"] >= least_height
    assert reached["cost"] <= most_cost


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (["height >= -3", "cost <= 5"], ["y001 >= -3/1", "y000 >= -5/1"]),  # cost is told turned
        (["cost <= 5"], ["z000 <= 5/1"]),
        (["height <= 3", "cost <= 5"], ["z001 <= 3/1", "z000 <= 5/1"]),
    ],
)
def test_bounds_are_thresholds_where_each_objective_has_one(
    rules: list[str], told: list[str]
) -> None:
    objectives = {"height": {"goal": "maximize"}, "cost": {"goal": "minimize"}}
    spec = campaign(objectives=objectives, constraints={"outcomes": rules})
    assert AxProblem(spec).outcome_constraints() == told


def test_a_standard_error_that_is_small_by_chance_binds_no_model() -> None:
    def measure(point: Mapping[str, Any]) -> dict[str, Outcome]:
        return {"height": Outcome(point["a"], errors.pop()), "cost": Outcome(0.0)}

    errors = [0.5, 0.0, 0.2, 0.1, 0.3]
    spec = campaign(constraints={"outcomes": ["cost <= 1"]})
    told = AxProblem(spec).results(knowledge(spec, measure, told=5).observations)
    assert [one["y001"][1] for one in told] == [0.3, 0.2, 0.2, 0.2, 0.5]
    assert all(math.isnan(one["y000"][1]) for one in told)


def test_pending_points_are_avoided_and_abandoned_ones_forgotten() -> None:
    known = knowledge(campaign())
    alone = dict(AxOptimizer().suggest(known).parameters)
    proposed = Observation(99, alone, None, pending=True)
    waiting = replace(known, observations=(*known.observations, proposed))
    assert AxOptimizer().suggest(waiting).parameters != alone
    abandoned = replace(known, observations=(*known.observations, replace(proposed, pending=False)))
    assert AxOptimizer().suggest(abandoned).parameters == alone


def test_data_at_once_equal_data_trial_by_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_by_one(experiment: Any, problem: Any, usable: Sequence[Observation]) -> None:
        from ax.api.client import Client

        client = Client()
        client.set_experiment(experiment)
        for one, results in zip(usable, problem.results(usable), strict=True):
            index = client.attach_trial(problem.arm(one.parameters))
            if one.outcomes is not None:
                data = {key: pair for key, pair in results.items() if key in experiment.metrics}
                client.complete_trial(index, data)

    known = knowledge(campaign(constraints={"outcomes": ["dirt <= 2"]}), two_hills, pending=1)
    at_once = exact(AxOptimizer().suggest(known))
    monkeypatch.setattr("orchestrator.adapters.optimizers.ax_client.tell", one_by_one)
    assert exact(AxOptimizer().suggest(known)) == at_once


def same_place(known: Knowledge) -> Knowledge:
    point = known.observations[0].parameters
    observations = tuple(replace(one, parameters=point) for one in known.observations)
    return replace(known, observations=observations)


def nowhere_feasible(point: Mapping[str, Any]) -> dict[str, Outcome]:
    return {**two_hills(point), "dirt": Outcome(9.0 + point["b"])}


def no_slope(point: Mapping[str, Any]) -> dict[str, Outcome]:
    return {"height": Outcome(2.0, 0.0)}


DIFFICULT = {
    "all at one point": same_place(knowledge(campaign())),
    "all outcomes equal": knowledge(campaign(), no_slope),
    "two results": knowledge(campaign(), told=2, pending=4),
    "nothing feasible": knowledge(campaign(**SEVERAL), nowhere_feasible),
    "nothing feasible, no threshold": knowledge(campaign(**NO_THRESHOLD), nowhere_feasible),
    "objective bounded": knowledge(campaign(constraints={"outcomes": ["height <= -1"]})),
}


@pytest.mark.parametrize("known", DIFFICULT.values(), ids=DIFFICULT)
def test_difficult_data_still_give_a_proposal(known: Knowledge) -> None:
    suggestion = AxOptimizer().suggest(known)
    assert suggestion.source == "model"
    assert_allowed(known.spec, suggestion.parameters)


def test_a_space_filling_point_serves_until_there_are_two_results() -> None:
    known = knowledge(campaign(), told=1, pending=5)
    assert AxOptimizer().suggest(known) == SobolOptimizer().suggest(known)
    assert AxOptimizer().suggest(known).source == "fallback"
    assert AxOptimizer().suggest(replace(known, trial_id=5)).source == "initial"


def test_a_space_filling_point_serves_when_everything_was_tried() -> None:
    spec = campaign({"c": {"arg": "c", "choices": [1, 2]}})
    known = knowledge(spec, lambda point: {"height": Outcome(float(point["c"]))}, told=8)
    suggestion = AxOptimizer().suggest(known)
    assert (suggestion.source, suggestion.details["because"]) == (
        "fallback",
        "Ax finds nothing untried",
    )


def test_a_point_that_a_person_asked_for_may_lie_anywhere() -> None:
    known = knowledge(campaign(**CONSTRAINED), told=8)
    odd: list[dict[str, Any]] = [{"a": 2.0, "b": -30.0}, {"a": 1.0, "b": 3.0}, {"a": "x", "b": 0.0}]
    observations = list(known.observations)
    for i, point in enumerate(odd):
        observations[i] = replace(observations[i], parameters=point)
    suggestion = AxOptimizer().suggest(replace(known, observations=tuple(observations)))
    assert_allowed(known.spec, suggestion.parameters)
    assert suggestion.details["left_out"] == 2


def test_what_ax_says_is_translated() -> None:
    spec = campaign(constraints={"outcomes": ["dirt <= 1", "dirt >= 2"]})
    with pytest.raises(OptimizerError, match=r"Ax made no proposal: .*2.0 .*1.0 for dirt"):
        AxOptimizer().suggest(knowledge(spec, two_hills))


def test_nothing_is_compiled() -> None:
    from botorch.acquisition.multi_objective import logei

    AxOptimizer().warm_up()
    assert (logei._load_attempted, logei._C) == (True, None)
