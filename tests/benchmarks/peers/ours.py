"""Labwright's own optimizer, told what a campaign tells it."""

from collections.abc import Mapping

from orchestrator.adapters.optimizers.ax_optimizer import AxOptimizer
from orchestrator.domain.proposal import Knowledge, Observation, seed_for
from orchestrator.domain.trial import Outcome, ParameterValue
from tests.benchmarks.problems import Problem


class Sequential:
    """Each proposal knows every earlier result: ``lookahead: 0``."""

    ahead = 0
    """Trials that still run when the next one is proposed."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._spec = problem.spec_with_reference.with_run_options(seed=seed)
        self._optimizer = AxOptimizer()
        self._optimizer.warm_up()
        self._known: list[Observation] = []

    def suggest(self) -> dict[str, ParameterValue]:
        number = len(self._known) + 1
        measured = max(number - 1 - self.ahead, 0)
        running = [
            Observation(one.trial_id, one.parameters, None, True) for one in self._known[measured:]
        ]
        observations = (*self._known[:measured], *running)
        seed = seed_for(self._spec.optimizer.seed, number)
        known = Knowledge(self._spec, observations, number, seed, "0")
        return dict(self._optimizer.suggest(known).parameters)

    def tell(self, point: Mapping[str, ParameterValue], outcomes: Mapping[str, float]) -> None:
        told = {name: Outcome(value) for name, value in outcomes.items()}
        self._known.append(Observation(len(self._known) + 1, point, told, False))


class Ahead(Sequential):
    """Each is made while the trial before it runs: ``lookahead: 1``."""

    ahead = 1
