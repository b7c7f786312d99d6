"""The best trials of a campaign, kept up result by result: a long campaign is not ranked anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.domain.expressions import bound_on
from orchestrator.domain.trial import Trial, TrialState

if TYPE_CHECKING:
    from orchestrator.domain.spec import CampaignSpec
    from orchestrator.domain.state import CampaignState


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the results so far came to."""

    results: tuple[Trial, ...] = ()
    """Measured trials that are ranked, in the order of their arrival."""
    best: tuple[Trial, ...] = ()
    """The feasible ones that no other beats, oldest first: with one objective, one at most. Of
    equal ones the oldest is the best."""
    reached: Trial | None = None
    """The first feasible one that reaches every target; None while there is none."""
    trace: tuple[float, ...] = ()
    """The first objective's best feasible value after each feasible result."""


def rank(state: CampaignState, spec: CampaignSpec, before: Ranking | None = None) -> Ranking:
    """The ranking of the state's results.

    Args:
        state: the campaign.
        spec: what it is about.
        before: the ranking of an earlier state of the campaign. What is new is then taken in one
            by one; when the earlier results have changed, all is ranked anew.
    """
    known = before or Ranking()
    if state.measured is known.results:
        return known
    if state.measured[: len(known.results)] != known.results:
        known = Ranking()
    best, trace, reached = list(known.best), list[float](), known.reached
    targets = [bound_on(name, text) for name, text in spec.stop.target.items()]
    name, objective = next(iter(spec.objectives.items()))
    pick = max if objective.goal == "maximize" else min
    for trial in state.measured[len(known.results) :]:
        if not is_feasible(trial, spec):
            continue
        _place(trial, best, spec)
        means = {name: outcome.mean for name, outcome in trial.outcomes.items()}
        last = trace or known.trace
        trace.append(pick(means[name], last[-1]) if last else means[name])
        if reached is None and targets and all(target.holds(means) for target in targets):
            reached = trial
    best.sort(key=lambda one: one.trial_id)
    return Ranking(state.measured, tuple(best), reached, (*known.trace, *trace))


def is_feasible(trial: Trial, spec: CampaignSpec) -> bool:
    """True when the trial was measured and keeps every outcome constraint."""
    means = {name: outcome.mean for name, outcome in trial.outcomes.items()}
    return trial.state is TrialState.MEASURED and all(
        rule.holds(means) for rule in spec.outcome_constraints
    )


def scores(trial: Trial, spec: CampaignSpec) -> tuple[float, ...]:
    """The objectives of a measured trial, each turned so that larger is better."""
    return tuple(
        trial.outcomes[name].mean * (1 if objective.goal == "maximize" else -1)
        for name, objective in spec.objectives.items()
    )


def _place(trial: Trial, best: list[Trial], spec: CampaignSpec) -> None:
    """Take the trial in among the best, unless one of them is better or its older equal."""
    own = scores(trial, spec)
    others = [(one, scores(one, spec)) for one in best]
    if any(_outdoes(one, score, trial, own) for one, score in others):
        return
    best[:] = [one for one, score in others if not _outdoes(trial, own, one, score)]
    best.append(trial)


def _outdoes(one: Trial, score: Sequence[float], other: Trial, its: Sequence[float]) -> bool:
    if score == its:
        return one.trial_id < other.trial_id
    return all(a >= b for a, b in zip(score, its, strict=True))
