"""BayBE's Campaign with its default recommenders: one initial point, then its own GP."""

from collections.abc import Mapping

import pandas as pd
from baybe import Campaign, active_settings
from baybe.objectives import ParetoObjective
from baybe.parameters import CategoricalParameter, NumericalContinuousParameter
from baybe.searchspace import SearchSpace
from baybe.targets import NumericalTarget

from orchestrator.domain.spec import ParameterSpec
from orchestrator.domain.trial import ParameterValue
from tests.benchmarks.problems import Problem


class BaybeCampaign:
    """As its tutorial has it. BayBE has no constraints on outcomes."""

    def __init__(self, problem: Problem, seed: int) -> None:
        active_settings.random_seed = seed
        targets = [
            NumericalTarget(name, minimize=one.goal == "minimize")
            for name, one in problem.spec.objectives.items()
        ]
        objective = ParetoObjective(targets) if len(targets) > 1 else targets[0].to_objective()
        parameters = [_parameter(name, one) for name, one in problem.spec.parameters.items()]
        self._campaign = Campaign(SearchSpace.from_product(parameters), objective)

    def suggest(self) -> dict[str, ParameterValue]:
        (row,) = self._campaign.recommend(1).to_dict("records")
        return {str(name): value for name, value in row.items()}

    def tell(self, point: Mapping[str, ParameterValue], outcomes: Mapping[str, float]) -> None:
        self._campaign.add_measurements(pd.DataFrame([{**point, **outcomes}]))


def _parameter(
    name: str, given: ParameterSpec
) -> CategoricalParameter | NumericalContinuousParameter:
    if given.choices is not None:
        return CategoricalParameter(name, list(given.choices))
    return NumericalContinuousParameter(name, given.range)
