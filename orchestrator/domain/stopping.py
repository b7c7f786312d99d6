"""When a campaign ends, and which of its trials is the best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.domain.accounting import beam_seconds
from orchestrator.domain.expressions import bound_on
from orchestrator.domain.state import CampaignState, CampaignStatus
from orchestrator.domain.trial import Trial, TrialState

if TYPE_CHECKING:
    from orchestrator.domain.spec import CampaignSpec

_RESTING = (
    TrialState.MEASURED,
    TrialState.INVALID,
    TrialState.ABANDONED,
    TrialState.CANCELLED,
    TrialState.UNREDUCED,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The campaign should end, and why."""

    ending: CampaignStatus
    reason: str


def verdict(state: CampaignState, spec: CampaignSpec, now: float) -> Verdict | None:
    """The first reason to end the campaign that holds at Unix time ``now``; None when none does.

    A campaign that ends without a single measured trial has failed, whatever ends it.
    """
    found = next(_reasons(state, spec, now), None)
    if found and found.ending is CampaignStatus.DONE and not state.count(TrialState.MEASURED):
        return Verdict(CampaignStatus.FAILED, f"{found.reason}, but nothing was measured")
    return found


def _reasons(state: CampaignState, spec: CampaignSpec, now: float) -> Iterator[Verdict]:
    done, failed = CampaignStatus.DONE, CampaignStatus.FAILED
    if state.count(*_RESTING) >= spec.budget.trials:
        yield Verdict(done, "budget of trials spent")
    limit = spec.policy.stop_after
    if 0 < limit.failed_in_a_row <= _in_a_row(state, TrialState.ABANDONED, TrialState.UNREDUCED):
        yield Verdict(failed, f"{limit.failed_in_a_row} trials failed in a row")
    if 0 < limit.invalid_in_a_row <= _in_a_row(state, TrialState.INVALID):
        yield Verdict(failed, f"{limit.invalid_in_a_row} trials in a row were invalid")
    if reached := _target_reached(state, spec):
        yield Verdict(done, f"target reached by trial {reached.trial_id}")
    if spec.stop.stalled_for and _stalled(state, spec) >= spec.stop.stalled_for:
        yield Verdict(done, f"no improvement in {spec.stop.stalled_for} trials")
    if spec.budget.beam_hours and beam_seconds(state, now) >= spec.budget.beam_hours * 3600:
        yield Verdict(done, "budget of beam hours spent")
    deadline = spec.budget.deadline_s()
    if deadline is not None and now >= deadline:
        yield Verdict(done, "deadline reached")


def _in_a_row(state: CampaignState, *states: TrialState) -> int:
    """How many trials, counted back from the last one that came to rest, are in these states."""
    resting = [trial for trial in state.trials.values() if trial.state in _RESTING]
    count = 0
    for trial in reversed(resting):
        if trial.state is TrialState.CANCELLED:
            continue
        if trial.state not in states:
            break
        count += 1
    return count


def is_feasible(trial: Trial, spec: CampaignSpec) -> bool:
    """True when the trial was measured and keeps every outcome constraint."""
    means = {name: outcome.mean for name, outcome in trial.outcomes.items()}
    return trial.state is TrialState.MEASURED and all(
        rule.holds(means) for rule in spec.outcome_constraints
    )


def _target_reached(state: CampaignState, spec: CampaignSpec) -> Trial | None:
    if not spec.stop.target:
        return None
    targets = [bound_on(name, text) for name, text in spec.stop.target.items()]
    for trial in state.trials.values():
        means = {name: outcome.mean for name, outcome in trial.outcomes.items()}
        if is_feasible(trial, spec) and all(target.holds(means) for target in targets):
            return trial
    return None


def scores(trial: Trial, spec: CampaignSpec) -> tuple[float, ...]:
    """The objectives of a measured trial, each turned so that larger is better."""
    return tuple(
        trial.outcomes[name].mean * (1 if objective.goal == "maximize" else -1)
        for name, objective in spec.objectives.items()
    )


def best_trials(state: CampaignState, spec: CampaignSpec) -> list[Trial]:
    """The best measured feasible trial, or with several objectives all that none beats.

    Empty when there is no measured feasible trial. Of equal ones the oldest is the best.
    """
    feasible = [trial for trial in state.trials.values() if is_feasible(trial, spec)]
    scored = [(trial, scores(trial, spec)) for trial in feasible]
    if len(spec.objectives) == 1:
        return [max(scored, key=lambda one: one[1])[0]] if scored else []
    oldest: dict[tuple[float, ...], Trial] = {}
    for trial, own in scored:
        oldest.setdefault(own, trial)
    return [trial for own, trial in oldest.items() if not any(_beats(one, own) for one in oldest)]


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def best_so_far(state: CampaignState, spec: CampaignSpec) -> list[tuple[int, float]]:
    """Trial id and the first objective's best feasible value up to it, for measured trials."""
    name, objective = next(iter(spec.objectives.items()))
    pick = max if objective.goal == "maximize" else min
    trace: list[tuple[int, float]] = []
    for trial in state.trials.values():
        if is_feasible(trial, spec):
            value = trial.outcomes[name].mean
            trace.append((trial.trial_id, pick(value, trace[-1][1]) if trace else value))
    return trace


def _stalled(state: CampaignState, spec: CampaignSpec) -> int:
    """Measured trials since the last one that improved the best; 0 before the first feasible."""
    best = best_trials(state, spec)
    if not best:
        return 0
    newest = max(trial.trial_id for trial in best)
    return sum(trial.trial_id > newest for trial in state.in_state(TrialState.MEASURED))
