"""Ax's Client with its own choices: ``method="fast"``, its own initial points."""

import logging
from collections.abc import Mapping

from ax.api.client import Client
from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig
from ax.utils.common.logger import ROOT_STREAM_HANDLER

from orchestrator.domain.spec import ParameterSpec
from orchestrator.domain.trial import ParameterValue
from tests.benchmarks.problems import Problem

ROOT_STREAM_HANDLER.setLevel(logging.ERROR)


class AxClient:
    """As its tutorial has it."""

    def __init__(self, problem: Problem, seed: int) -> None:
        spec = problem.spec_with_reference
        self._client = Client(random_seed=seed)
        self._client.configure_experiment(
            [_parameter(name, one) for name, one in spec.parameters.items()]
        )
        self._client.configure_optimization(
            objective=", ".join(
                f"-{name}" if one.goal == "minimize" else name
                for name, one in spec.objectives.items()
            ),
            outcome_constraints=list(spec.constraints.outcomes),
        )
        self._client.configure_generation_strategy(method="fast", initialization_random_seed=seed)
        self._index = 0

    def suggest(self) -> dict[str, ParameterValue]:
        ((self._index, point),) = self._client.get_next_trials(1).items()
        return dict(point)

    def tell(self, point: Mapping[str, ParameterValue], outcomes: Mapping[str, float]) -> None:
        self._client.complete_trial(self._index, raw_data=dict(outcomes))


def _parameter(name: str, given: ParameterSpec) -> RangeParameterConfig | ChoiceParameterConfig:
    if given.choices is not None:
        return ChoiceParameterConfig(name, list(given.choices), "str")
    assert given.range is not None
    return RangeParameterConfig(name, given.range, "float")
