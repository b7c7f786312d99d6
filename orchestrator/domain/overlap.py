"""What it brought to propose while the instrument measures, and how old the proposals were.

A strictly sequential loop, ``lookahead: 0``, waits after each measurement: for the reduction, for
the model, for the hand-over. What that would have cost the same campaign is estimated from what
was measured of each trial; only a campaign that runs so can measure it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.domain import events as ev
from orchestrator.domain.accounting import Times, fraction, until_the_end
from orchestrator.domain.state import CampaignState
from orchestrator.domain.trial import Trial, without_model

if TYPE_CHECKING:
    from orchestrator.domain.spec import CampaignSpec


@dataclass(frozen=True, slots=True)
class Overlap:
    """How proposing ahead went."""

    superseded: int
    """How often a queued trial got better-informed parameters."""
    fallbacks: int
    """Trials with a space-filling point because the model was late or had none."""
    last_fallback: str | None
    """Why the newest of them has one; None when none has."""
    mean_lag: float | None
    """Outcomes that had arrived when a trial started and that its proposal did not know: the mean
    over the model-based trials that started; None when none has."""
    sequential_idle_s: float | None
    """Seconds in which a sequential loop would have left the instrument without a proposal, an
    estimate; None without a model-based trial."""


def overlap(
    log: Sequence[ev.Event], state: CampaignState, spec: CampaignSpec, spent: Times
) -> Overlap:
    """How proposing ahead went in a campaign, from its whole log, its state and its times."""
    trials = state.trials.values()
    return Overlap(
        superseded=sum(trial.revision for trial in trials),
        fallbacks=sum(trial.source == "fallback" for trial in trials),
        last_fallback=_last_fallback(trials),
        mean_lag=_mean_lag(log),
        sequential_idle_s=_sequential_idle_s(log, trials, spec.optimizer.batch, spent),
    )


def _last_fallback(trials: Iterable[Trial]) -> str | None:
    reasons = [without_model(one.details) for one in trials if one.source == "fallback"]
    return reasons[-1] if reasons else None


def sequential(spent: Times, idle_s: float) -> tuple[float, float]:
    """Idle fraction and wall seconds of the same campaign with so many idle seconds instead."""
    more = idle_s - spent.idle_s
    return fraction(idle_s, spent.span_s - spent.held_s + more), spent.wall_s + more


def _sequential_idle_s(
    log: Sequence[ev.Event], trials: Iterable[Trial], batch: int, spent: Times
) -> float | None:
    """For each model-based trial: its suggestion, the reduction before it, and one hand-over more.

    Space-filling points cost nothing here: a sequential loop can know them beforehand. Of a batch,
    the first trial waits for the whole suggestion; those after it are asked for while the one
    before them is measured, and wait for what lasts longer than that.
    """
    log = until_the_end(log)
    starts = sum(isinstance(event, ev.Started) for event in log)
    reductions = _reductions(log)
    measured = {trial.trial_id: trial.measuring_s for trial in trials}
    waits: list[float] = []
    for trial in trials:
        before = trial.trial_id - 1
        if trial.source != "model" or not trial.attempts:
            continue
        if before % batch:
            waits.append(max(0.0, trial.suggestion_s - (measured.get(before) or 0.0)))
        else:
            reduction_s = reductions.get(before, 0.0)
            waits.append(trial.suggestion_s + reduction_s + spent.ledger_gap_s / starts)
    return sum(waits) if waits else None


def _reductions(log: Iterable[ev.Event]) -> Mapping[int, float]:
    """Seconds from a trial's data being safe to its outcomes, or to the reducer's failure."""
    began: dict[int, float] = {}
    lasted: dict[int, float] = {}
    for event in log:
        match event:
            case ev.Acquired():
                began[event.trial_id] = event.at
            case ev.Measured() | ev.Invalidated() | ev.Unreduced() if event.trial_id in began:
                lasted[event.trial_id] = max(0.0, event.at - began.pop(event.trial_id))
            case _:
                pass
    return lasted


def _mean_lag(log: Iterable[ev.Event]) -> float | None:
    told: dict[int, int] = {}
    """Outcomes that a trial's newest proposal knew; only of model-based ones."""
    lags: list[int] = []
    outcomes = 0
    for event in log:
        match event:
            case ev.Measured():
                outcomes += 1
            case ev.Proposal(trial_id=trial_id, source="model"):
                told[trial_id] = event.told
            case ev.Proposal(trial_id=trial_id):
                told.pop(trial_id, None)
            case ev.Started(trial_id=trial_id, attempt=1) if trial_id in told:
                lags.append(outcomes - told[trial_id])
            case _:
                pass
    return sum(lags) / len(lags) if lags else None
