"""The benchmark problems are those of the literature, and their optima are right."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer
from orchestrator.domain.proposal import Knowledge
from tests.benchmarks.problems import (
    BRANIN,
    BRANIN_CURRIN,
    GRAMACY,
    MIXED,
    PROBLEMS,
    SWEET_SPOTS,
    hypervolume,
)

BEST = {
    "branin": {"x1": np.pi, "x2": 2.275},
    "hartmann6": dict(
        zip(
            ("x1", "x2", "x3", "x4", "x5", "x6"),
            (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573),
            strict=True,
        )
    ),
    "levy8": {f"x{i}": 1.0 for i in range(1, 9)},
    "gramacy": {"x1": 0.19512268387, "x2": 0.40466536815},
    "mixed": {
        "catalyst": "iron",
        "solvent": "ethanol",
        **dict(zip(("temperature", "time", "loading"), SWEET_SPOTS["iron"], strict=True)),
    },
}


def points(problem, count):
    for number in range(1, count + 1):
        yield SobolOptimizer().suggest(Knowledge(problem.spec, (), number, 0, "0")).parameters


@pytest.mark.parametrize("name", BEST)
def test_the_optimum_is_reached_where_it_is_said_to_be(name):
    problem = PROBLEMS[name]
    (regret,) = problem.regrets([problem.truth(BEST[name])])
    assert regret == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", BEST)
def test_nothing_in_the_box_is_better_or_beyond_the_width(name):
    problem = PROBLEMS[name]
    truths = [problem.truth(point) for point in points(problem, 200)]
    for found in truths:
        (regret,) = problem.regrets([found])
        assert 0 <= regret <= problem.width


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("branin", "Branin"), ("hartmann6", "Hartmann"), ("levy8", "Levy"), ("gramacy", "Gramacy")],
)
def test_they_agree_with_botorch(name, theirs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from botorch.test_functions import synthetic
    problem = PROBLEMS[name]
    dimension = len(problem.spec.parameters)
    made = {
        "Branin": synthetic.Branin,
        "Hartmann": lambda: synthetic.Hartmann(dimension),
        "Levy": lambda: synthetic.Levy(dimension),
        "Gramacy": synthetic.ConstrainedGramacy,
    }[theirs]()
    for point in points(problem, 20):
        x = torch.tensor([float(value) for value in point.values()], dtype=torch.double)
        found = problem.truth(point)
        assert found["value"] == pytest.approx(float(made.evaluate_true(x)), abs=1e-6)
        if name == "gramacy":
            slack = made.evaluate_slack_true(x)
            assert [found["wave"], found["circle"]] == pytest.approx((-slack).tolist())


def test_the_two_objectives_agree_with_botorch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from botorch.test_functions.multi_objective import BraninCurrin
    for point in points(BRANIN_CURRIN, 20):
        x = torch.tensor([float(value) for value in point.values()], dtype=torch.double)
        found = list(BRANIN_CURRIN.truth(point).values())
        assert found == pytest.approx(BraninCurrin().evaluate_true(x).tolist())


def test_hypervolume():
    corner = (2.0, 2.0)
    assert hypervolume([], corner) == 0
    assert hypervolume([(1.0, 1.0)], corner) == 1
    assert hypervolume([(1.0, 1.0), (1.5, 1.5), (3.0, 0.0)], corner) == 1
    assert hypervolume([(1.0, 1.0), (0.0, 1.5), (1.5, 0.0)], corner) == pytest.approx(2)


def test_the_same_noise_meets_whoever_proposes():
    noisy = PROBLEMS["branin-noisy"]
    one, other = {"x1": 0.0, "x2": 0.0}, {"x1": 5.0, "x2": 5.0}

    def noise(seed, number, point):
        return noisy.measured(seed, number, point)["value"] - noisy.truth(point)["value"]

    assert noise(3, 7, one) == pytest.approx(noise(3, 7, other))
    assert noise(3, 7, one) != pytest.approx(noise(3, 8, one))
    drawn = [noise(seed, 1, one) for seed in range(400)]
    assert np.std(drawn) == pytest.approx(0.05 * noisy.width, rel=0.15)
    assert BRANIN.measured(3, 7, one) == BRANIN.truth(one)


def test_what_breaks_a_constraint_is_no_progress():
    outside, inside = {"x1": 0.0, "x2": 0.0}, {"x1": 1.0, "x2": 0.5}
    trace = GRAMACY.regrets([GRAMACY.truth(one) for one in (outside, inside, outside)])
    assert trace == [GRAMACY.width, pytest.approx(1.5 - GRAMACY.optimum), trace[1]]


def test_regret_knows_what_is_maximized():
    worse = {**BEST["mixed"], "solvent": "water"}
    assert MIXED.regrets([MIXED.truth(worse)]) == [pytest.approx(0.25)]
    assert replace(MIXED, optimum=0.75).regrets([MIXED.truth(worse)]) == [pytest.approx(0)]
