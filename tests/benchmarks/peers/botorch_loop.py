"""The loop that BoTorch's tutorials write: a default GP, noisy expected improvement, no more."""

from collections.abc import Mapping
from itertools import product

import torch
from botorch.acquisition import AcquisitionFunction
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import WeightedMCMultiOutputObjective
from botorch.acquisition.objective import LinearMCObjective
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.optim import optimize_acqf, optimize_acqf_mixed
from botorch.sampling import SobolQMCNormalSampler
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import Tensor
from torch.quasirandom import SobolEngine

from orchestrator.domain.expressions import Inequality
from orchestrator.domain.trial import ParameterValue
from tests.benchmarks.problems import Problem

INITIAL = 5
SEARCH = {"q": 1, "num_restarts": 10, "raw_samples": 512}
SAMPLES = 128


class BotorchLoop:
    """Parameters in the unit cube, choices as one column each, all outcomes in one model."""

    def __init__(self, problem: Problem, seed: int) -> None:
        torch.set_default_dtype(torch.double)
        torch.manual_seed(seed)
        self._spec, self._reference = problem.spec, problem.reference
        self._columns = [
            (name, choice)
            for name, one in self._spec.parameters.items()
            for choice in (one.choices or (None,))
        ]
        self._sobol = SobolEngine(len(self._spec.parameters), scramble=True, seed=seed)
        self._x: list[list[float]] = []
        self._y: list[list[float]] = []

    def suggest(self) -> dict[str, ParameterValue]:
        if len(self._x) < INITIAL:
            return self._initial()
        x, y = torch.tensor(self._x), torch.tensor(self._y)
        model = SingleTaskGP(x, y)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return self._point(self._best(self._improvement(model, x)))

    def tell(self, point: Mapping[str, ParameterValue], outcomes: Mapping[str, float]) -> None:
        self._x.append([self._unit(point, name, choice) for name, choice in self._columns])
        self._y.append([outcomes[name] for name in self._spec.outcome_names])

    def _initial(self) -> dict[str, ParameterValue]:
        units = dict(zip(self._spec.parameters, self._sobol.draw(1)[0].tolist(), strict=True))
        point: dict[str, ParameterValue] = {}
        for name, one in self._spec.parameters.items():
            if one.choices is not None:
                point[name] = one.choices[int(units[name] * len(one.choices))]
            else:
                point[name] = self._scaled(name, units[name])
        return point

    def _improvement(self, model: SingleTaskGP, x: Tensor) -> AcquisitionFunction:
        objectives = self._spec.objectives
        signs = [-1.0 if one.goal == "minimize" else 1.0 for one in objectives.values()]
        sampler = SobolQMCNormalSampler(torch.Size([SAMPLES]))
        if self._reference is not None:
            corner = [sign * one for sign, one in zip(signs, self._reference, strict=True)]
            return qLogNoisyExpectedHypervolumeImprovement(
                model,
                corner,
                x,
                sampler,
                WeightedMCMultiOutputObjective(torch.tensor(signs)),
                prune_baseline=True,
            )
        others = [0.0] * (len(self._spec.outcome_names) - 1)
        rules = [self._excess(rule) for rule in self._spec.outcome_constraints]
        return qLogNoisyExpectedImprovement(
            model,
            x,
            sampler,
            LinearMCObjective(torch.tensor([*signs, *others])),
            constraints=rules or None,
            prune_baseline=True,
        )

    def _excess(self, rule: Inequality):
        """Above 0 where samples of the outcomes break the constraint."""
        sign = 1.0 if rule.comparison == "<=" else -1.0
        factors = [rule.coefficients.get(name, 0.0) for name in self._spec.outcome_names]
        weights = sign * torch.tensor(factors)
        return lambda samples: samples @ weights - sign * rule.bound

    def _best(self, improvement: AcquisitionFunction) -> list[float]:
        bounds = torch.tensor([[0.0] * len(self._columns), [1.0] * len(self._columns)])
        lists = {name: one.choices for name, one in self._spec.parameters.items() if one.choices}
        if not lists:
            candidates, _ = optimize_acqf(improvement, bounds, **SEARCH)
            return candidates[0].tolist()
        fixed = [
            {
                index: float(chosen[name] == choice)
                for index, (name, choice) in enumerate(self._columns)
                if choice is not None
            }
            for chosen in (dict(zip(lists, one, strict=True)) for one in product(*lists.values()))
        ]
        candidates, _ = optimize_acqf_mixed(
            improvement, bounds, fixed_features_list=fixed, **SEARCH
        )
        return candidates[0].tolist()

    def _unit(
        self, point: Mapping[str, ParameterValue], name: str, choice: ParameterValue | None
    ) -> float:
        if choice is not None:
            return float(point[name] == choice)
        lower, upper = self._edges(name)
        return (float(point[name]) - lower) / (upper - lower)

    def _point(self, row: list[float]) -> dict[str, ParameterValue]:
        point: dict[str, ParameterValue] = {}
        for (name, choice), unit in zip(self._columns, row, strict=True):
            if choice is None:
                point[name] = self._scaled(name, unit)
            elif unit == 1:
                point[name] = choice
        return point

    def _scaled(self, name: str, unit: float) -> float:
        lower, upper = self._edges(name)
        return min(max(lower + unit * (upper - lower), lower), upper)

    def _edges(self, name: str) -> tuple[float, float]:
        edges = self._spec.parameters[name].range
        assert edges is not None
        return edges
