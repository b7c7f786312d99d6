"""Sentinel trials: a fixed point measured again and again tells whether the instrument drifts.

The reference is the mean of the first good sentinels; a later one is judged by its distance from
it. All of it follows from the log, so that who reads it finds the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from orchestrator.domain.realignment import REALIGNMENT
from orchestrator.domain.state import CampaignState
from orchestrator.domain.trial import Outcome, Trial, TrialState

if TYPE_CHECKING:
    from orchestrator.domain.spec import CampaignSpec, SentinelSpec

SENTINEL = "sentinel"
"""Source of a sentinel trial, and who calls for a person on drift."""

ENOUGH = 3
"""Sentinels whose scatter stands for a standard error that the reducer does not give."""

ROUNDING = 1e-12
"""Relative distance that is none, whatever sigma is: equal numbers scatter by 0, and their mean may
differ from them by a rounding."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A measured sentinel beside its reference."""

    trial: Trial
    value: float
    reference: float
    sigma: float
    """Standard deviation that the difference would have without drift."""
    is_good: bool


def is_due(state: CampaignState, spec: CampaignSpec) -> bool:
    """True when the next trial should be a sentinel.

    That is the first trial, one after so many others, the first after a hold (a beam that comes
    back may have moved), and the first after a realignment.
    """
    if spec.sentinel is None:
        return False
    watches = (one for one in state.newest_first() if one.source in (SENTINEL, REALIGNMENT))
    last = next(watches, None)
    if last is None or last.source == REALIGNMENT:
        return True
    if state.next_trial - last.trial_id > spec.sentinel.every:
        return True
    if last.state is TrialState.QUEUED:
        return False  # whatever has happened, it is measured after it
    since = last.started_at or last.proposed_at or 0.0
    return state.resumed_at is not None and state.resumed_at > since


def watched(sentinel: SentinelSpec, spec: CampaignSpec) -> str:
    """The outcome by which sentinels are judged."""
    return sentinel.outcome or next(iter(spec.objectives))


def measured(state: CampaignState, spec: CampaignSpec) -> list[tuple[Trial, Judged | None]]:
    """Every measured sentinel by its number, whenever its outcome came, with the verdict on it.

    None for one that makes the reference and cannot be judged by it yet: the first, and without
    standard errors the first ``ENOUGH``. One that is off makes no reference.
    """
    if spec.sentinel is None:
        return []
    sentinel, name = spec.sentinel, watched(spec.sentinel, spec)
    reference: list[Outcome] = []
    found: list[tuple[Trial, Judged | None]] = []
    known = [one for one in state.measured if one.source == SENTINEL and name in one.outcomes]
    for trial in sorted(known, key=lambda one: one.trial_id):
        verdict = _judged(sentinel, trial, name, reference)
        found.append((trial, verdict))
        if len(reference) < sentinel.first and (verdict is None or verdict.is_good):
            reference.append(trial.outcomes[name])
    return found


def judged(state: CampaignState, spec: CampaignSpec) -> list[Judged]:
    """The measured sentinels that can be judged, by their numbers."""
    return [verdict for _, verdict in measured(state, spec) if verdict is not None]


def _judged(
    sentinel: SentinelSpec, trial: Trial, name: str, first: Sequence[Outcome]
) -> Judged | None:
    """The sentinel beside its reference; None when that does not tell yet how it scatters."""
    now = trial.outcomes[name]
    if not first or (sigma := _sigma(now, first)) is None:
        return None
    reference = fmean(one.mean for one in first)
    is_same = math.isclose(now.mean, reference, rel_tol=ROUNDING)
    is_good = is_same or abs(now.mean - reference) <= sentinel.sigmas * sigma
    return Judged(trial, now.mean, reference, sigma, is_good)


def _sigma(now: Outcome, first: Sequence[Outcome]) -> float | None:
    """Standard deviation of a sentinel's distance from the mean of the first ones.

    From the standard errors, when all have one above 0; else from the scatter of the first, which
    then are at least ``ENOUGH``: s * sqrt(1 + 1/n).
    """
    sems = [one.sem for one in (now, *first)]
    if all(sems):
        own, *others = (float(sem or 0.0) ** 2 for sem in sems)
        return math.sqrt(own + fmean(others) / len(others))
    if len(first) < ENOUGH:
        return None
    return stdev(one.mean for one in first) * math.sqrt(1 + 1 / len(first))


def drift_words(one: Judged) -> str:
    """How far a sentinel is off."""
    off = abs(one.value - one.reference) / one.sigma if one.sigma else math.inf
    return (
        f"sentinel trial {one.trial.trial_id} gave {one.value:.6g}, "
        f"{off:.1f} sigma from its reference {one.reference:.6g}"
    )
