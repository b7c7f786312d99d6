"""Optuna's default sampler, the tree-structured Parzen estimator."""

from collections.abc import Mapping

import optuna

from orchestrator.domain.trial import ParameterValue
from tests.benchmarks.problems import Problem

optuna.logging.set_verbosity(optuna.logging.ERROR)


class OptunaStudy:
    """Through its ask-and-tell interface."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._spec = problem.spec
        rules = self._spec.outcome_constraints
        sampler = optuna.samplers.TPESampler(
            seed=seed, constraints_func=_excesses if rules else None
        )
        goals = [one.goal for one in self._spec.objectives.values()]
        self._study = optuna.create_study(directions=goals, sampler=sampler)

    def suggest(self) -> dict[str, ParameterValue]:
        self._trial = self._study.ask()
        return {name: self._value(name) for name in self._spec.parameters}

    def _value(self, name: str) -> ParameterValue:
        given = self._spec.parameters[name]
        if given.choices is not None:
            return self._trial.suggest_categorical(name, given.choices)
        assert given.range is not None
        return self._trial.suggest_float(name, *given.range)

    def tell(self, point: Mapping[str, ParameterValue], outcomes: Mapping[str, float]) -> None:
        excesses = [
            (rule.left(outcomes) - rule.bound) * (1 if rule.comparison == "<=" else -1)
            for rule in self._spec.outcome_constraints
        ]
        self._trial.set_user_attr("excesses", excesses)
        self._study.tell(self._trial, [outcomes[name] for name in self._spec.objectives])


def _excesses(trial: optuna.trial.FrozenTrial) -> list[float]:
    """Above 0 where an outcome breaks its constraint."""
    return trial.user_attrs["excesses"]
