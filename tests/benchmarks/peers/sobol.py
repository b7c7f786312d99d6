"""A scrambled Sobol sequence: what any model has to beat."""

from collections.abc import Mapping

from scipy.stats import qmc  # noqa: F401  here, so that the first suggestion does not pay

from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer
from orchestrator.domain.proposal import Knowledge
from orchestrator.domain.trial import ParameterValue
from tests.benchmarks.problems import Problem


class Sobol:
    """Learns nothing."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._spec = problem.spec.with_run_options(seed=seed)
        self._number = 0

    def suggest(self) -> dict[str, ParameterValue]:
        self._number += 1
        known = Knowledge(self._spec, (), self._number, 0, "0")
        return dict(SobolOptimizer().suggest(known).parameters)

    def tell(self, point: Mapping[str, ParameterValue], outcomes: Mapping[str, float]) -> None:
        pass
