"""Xopt's expected improvement, and its multi-objective generator for two objectives."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from xopt import VOCS
from xopt.generators.bayesian import ExpectedImprovementGenerator, MOBOGenerator
from xopt.vocs import random_inputs

from orchestrator.domain.trial import ParameterValue
from tests.benchmarks.problems import Problem

INITIAL = 5
"""Random points: Xopt has no number of its own, and its tutorials take from 3 to 10."""


class XoptGenerator:
    """Its discrete variables are ordered numbers, so it has no categories."""

    def __init__(self, problem: Problem, seed: int) -> None:
        np.random.seed(seed)
        torch.manual_seed(seed)
        spec = problem.spec
        words = {"<=": "LESS_THAN", ">=": "GREATER_THAN"}
        constraints: dict[str, list[str | float]] = {}
        for rule in spec.outcome_constraints:
            ((name, factor),) = rule.coefficients.items()
            assert factor == 1, "Xopt bounds an outcome, and no sum of several"
            constraints[name] = [words[rule.comparison], rule.bound]
        self._vocs = VOCS(
            variables={name: list(one.range or ()) for name, one in spec.parameters.items()},
            objectives={name: one.goal.upper() for name, one in spec.objectives.items()},
            constraints=constraints,
        )
        self._initial = random_inputs(self._vocs, INITIAL, seed=seed)
        if problem.reference is None:
            self._generator = ExpectedImprovementGenerator(vocs=self._vocs)
        else:
            corner = dict(zip(spec.objectives, problem.reference, strict=True))
            self._generator = MOBOGenerator(vocs=self._vocs, reference_point=corner)

    def suggest(self) -> dict[str, ParameterValue]:
        (row,) = [self._initial.pop(0)] if self._initial else self._generator.generate(1)
        return {name: float(row[name]) for name in self._vocs.variable_names}

    def tell(self, point: Mapping[str, ParameterValue], outcomes: Mapping[str, float]) -> None:
        self._generator.add_data(pd.DataFrame([{**point, **outcomes}]))
