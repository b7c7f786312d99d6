"""When a campaign ends, and which of its trials is the best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from typing import TYPE_CHECKING

from orchestrator.domain.accounting import beam_seconds
from orchestrator.domain.ranking import Ranking, is_feasible, rank
from orchestrator.domain.realignment import REALIGNMENT
from orchestrator.domain.samples import left
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


class StopRule(StrEnum):
    """What may end a campaign by itself, named as in the campaign file."""

    TRIALS = "trials"
    SAMPLES = "samples"
    FAILED = "failed_in_a_row"
    INVALID = "invalid_in_a_row"
    TARGET = "target"
    STALLED = "stalled_for"
    BEAM_HOURS = "beam_hours"
    DEADLINE = "deadline"
    CONDITION = "fail_after_s"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The campaign should end, and why."""

    ending: CampaignStatus
    reason: str
    rule: StopRule


def verdict(
    state: CampaignState, spec: CampaignSpec, now: float, ranking: Ranking | None = None
) -> Verdict | None:
    """The first reason to end the campaign that holds at Unix time ``now``; None when none does.

    A campaign that ends without a single measured trial has failed, whatever ends it. Without the
    state's ``ranking`` all its results are ranked.
    """
    found = next(_reasons(state, spec, now, ranking or rank(state, spec)), None)
    if found and found.ending is CampaignStatus.DONE and not state.count(TrialState.MEASURED):
        return Verdict(
            CampaignStatus.FAILED, f"{found.reason}, but nothing was measured", found.rule
        )
    return found


def _reasons(
    state: CampaignState, spec: CampaignSpec, now: float, ranking: Ranking
) -> Iterator[Verdict]:
    done, failed, rules = CampaignStatus.DONE, CampaignStatus.FAILED, StopRule
    if state.count(*_RESTING) >= spec.budget.trials:
        yield Verdict(done, "budget of trials spent", rules.TRIALS)
    if spec.samples and not state.live and max(left(state).values(), default=0) < 1:
        yield Verdict(done, "all samples are used up", rules.SAMPLES)
    limit = spec.policy.stop_after
    if 0 < limit.failed_in_a_row <= _in_a_row(state, TrialState.ABANDONED, TrialState.UNREDUCED):
        yield Verdict(failed, f"{limit.failed_in_a_row} trials failed in a row", rules.FAILED)
    if 0 < limit.invalid_in_a_row <= _in_a_row(state, TrialState.INVALID):
        yield Verdict(
            failed, f"{limit.invalid_in_a_row} trials in a row were invalid", rules.INVALID
        )
    if ranking.reached:
        yield Verdict(done, f"target reached by trial {ranking.reached.trial_id}", rules.TARGET)
    if spec.stop.stalled_for and _stalled(state, ranking) >= spec.stop.stalled_for:
        yield Verdict(done, f"no improvement in {spec.stop.stalled_for} trials", rules.STALLED)
    if spec.budget.beam_hours and beam_seconds(state, now) >= spec.budget.beam_hours * 3600:
        yield Verdict(done, "budget of beam hours spent", rules.BEAM_HOURS)
    deadline = spec.budget.deadline_s()
    if deadline is not None and now >= deadline:
        yield Verdict(done, "deadline reached", rules.DEADLINE)
    if (patience := _patience_s(state)) is not None and now - (state.held_since or now) >= patience:
        reason = f"suspended for {patience:g} s: {state.waiting_for}"
        yield Verdict(failed, reason, rules.CONDITION)


def _patience_s(state: CampaignState) -> float | None:
    """How long the conditions that suspend the campaign now are waited for; None without end."""
    if state.status is not CampaignStatus.SUSPENDED:
        return None
    found = (
        condition.get("fail_after_s")
        for condition in state.instrument_spec.get("conditions", ())
        if condition["signal"] in (state.waiting_for or "")
    )
    return min((seconds for seconds in found if seconds is not None), default=None)


def _in_a_row(state: CampaignState, *states: TrialState) -> int:
    """How many trials, counted back from the last one that came to rest, are in these states."""
    count = 0
    for trial in state.newest_first():
        is_skipped = trial.state is TrialState.CANCELLED or trial.source == REALIGNMENT
        if trial.state not in _RESTING or is_skipped:
            continue
        if trial.state not in states:
            break
        count += 1
    return count


def best_trials(state: CampaignState, spec: CampaignSpec) -> list[Trial]:
    """The best measured feasible trial, or with several objectives all that none beats.

    Empty when there is no measured feasible trial. Of equal ones the oldest is the best.
    """
    return list(rank(state, spec).best)


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


def _stalled(state: CampaignState, ranking: Ranking) -> int:
    """Measured trials since the last one that improved the best; 0 before the first feasible."""
    if not ranking.best:
        return 0
    newest = ranking.best[-1].trial_id
    later = takewhile(lambda trial: trial.trial_id > newest, state.newest_first())
    return sum(trial.state is TrialState.MEASURED for trial in later)
