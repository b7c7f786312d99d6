"""What a campaign came to: the object that scripts read, and the rows of the results table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from orchestrator.domain import events as ev
from orchestrator.domain.accounting import PARTS, times
from orchestrator.domain.events import iso
from orchestrator.domain.honesty import honesty
from orchestrator.domain.overlap import overlap, sequential
from orchestrator.domain.result_columns import FIRST, after_outcomes
from orchestrator.domain.sentinels import SENTINEL
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.stopping import best_trials
from orchestrator.domain.suspect_data import drifts, suspect_data
from orchestrator.domain.trial import Trial


def summary(log: Sequence[ev.Event]) -> dict[str, Any]:
    """The campaign as one plain object, from its whole log.

    ``best`` is the best measured feasible trial, a list of the undominated ones with several
    objectives, None when there is none. Times are seconds; those of ``accounting.PARTS`` add up to
    ``span_s``. What a sequential loop would have cost is an estimate, None without a model-based
    trial; ``honesty`` is None until a model has recorded one. ``suspect_data`` are the numbers of
    trials measured while a sentinel was off.
    """
    state = fold(log)
    spec = CampaignSpec.from_data(state.spec)
    spent = times(log, spec)
    went = overlap(log, state, spec, spent)
    said = honesty(state, spec)
    estimate = (None, None)
    if went.sequential_idle_s is not None:
        estimate = sequential(spent, went.sequential_idle_s)
    return {
        "campaign_id": state.campaign_id,
        "name": spec.name,
        "instrument": state.instrument,
        "mode": state.mode,
        "status": str(state.status),
        "stop_reason": state.stop_reason,
        "waiting_for": state.waiting_for,
        "budget_trials": spec.budget.trials,
        "trials": state.counts(),
        "best": _best(state, spec),
        "suspect_data": sorted(suspect_data(state, spec)),
        "idle_fraction": spent.idle_fraction,
        "idle_fraction_sequential": estimate[0],
        "instrument_busy_s": spent.instrument_busy_s,
        "wall_s": spent.wall_s,
        "sequential_wall_s": estimate[1],
        "span_s": spent.span_s,
        **{part: getattr(spent, part) for part in PARTS},
        "held_s": spent.held_s,
        "superseded": went.superseded,
        "fallbacks": went.fallbacks,
        "last_fallback": went.last_fallback,
        "mean_lag": went.mean_lag,
        "honesty": asdict(said) if said else None,
        "opened_at": iso(state.opened_at),
        "ended_at": iso(state.ended_at),
    }


def _best(state: CampaignState, spec: CampaignSpec) -> Any:
    best = [_point(trial) for trial in best_trials(state, spec)]
    if len(spec.objectives) == 1:
        return best[0] if best else None
    return best or None


def _point(trial: Trial) -> dict[str, Any]:
    outcomes = {
        name: {"mean": outcome.mean, "sem": outcome.sem, "unit": outcome.unit}
        for name, outcome in trial.outcomes.items()
    }
    return {
        "trial_id": trial.trial_id,
        "parameters": dict(trial.parameters),
        "outcomes": outcomes,
    }


def columns(state: CampaignState, spec: CampaignSpec) -> list[str]:
    """Columns of the results table, in order."""
    outcomes = [column for name in _outcomes(state, spec) for column in (name, f"{name}_sem")]
    last = after_outcomes(has_sentinel=spec.sentinel is not None)
    return [*FIRST, *spec.parameters, *outcomes, *last]


def _outcomes(state: CampaignState, spec: CampaignSpec) -> list[str]:
    """Outcomes of the table: those the campaign needs, then what else was measured.

    What else a reducer gave is left out when its name is taken by another column.
    """
    measured = [name for trial in state.trials.values() for name in trial.outcomes]
    last = after_outcomes(has_sentinel=spec.sentinel is not None)
    taken = {*FIRST, *spec.parameters, *last}
    names: list[str] = []
    for name in dict.fromkeys([*spec.outcome_names, *measured]):
        if taken.isdisjoint(own := {name, f"{name}_sem"}):
            names.append(name)
            taken |= own
    return names


def rows(state: CampaignState, spec: CampaignSpec) -> list[Mapping[str, Any]]:
    """One row for each trial, by trial id; None where there is nothing.

    ``drift`` is how far the watched outcome of a trial was probably off; the outcome itself is as
    it was measured.
    """
    names, outcomes = columns(state, spec), _outcomes(state, spec)
    drifted = drifts(state, spec)
    table: list[Mapping[str, Any]] = []
    for trial in state.trials.values():
        row: dict[str, Any] = dict.fromkeys(names)
        row |= {
            "trial_id": trial.trial_id,
            "state": str(trial.state),
            "attempts": trial.attempts,
            "source": trial.source,
            "run_uid": trial.run_uid,
            "proposed_at": iso(trial.proposed_at),
            "started_at": iso(trial.started_at),
            "measured_at": iso(trial.measured_at),
        }
        row |= trial.parameters
        for name in trial.outcomes.keys() & outcomes:
            outcome = trial.outcomes[name]
            row |= {name: outcome.mean, f"{name}_sem": outcome.sem}
        if trial.trial_id in drifted:
            row["drift"] = drifted[trial.trial_id].amount
            is_data = trial.source != SENTINEL
            row["suspect_data"] = drifted[trial.trial_id].reason if is_data else None
        table.append(row)
    return table
