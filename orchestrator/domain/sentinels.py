"""Sentinel trials: a fixed point measured again and again tells whether the instrument drifts.

The reference is the mean of the first sentinels; a later one is judged by its distance from it. All
of it follows from the log, so that who reads it finds the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from orchestrator.domain.state import CampaignState, CampaignStatus
from orchestrator.domain.trial import Outcome, Trial, TrialState

if TYPE_CHECKING:
    from orchestrator.domain.spec import CampaignSpec, SentinelSpec

SENTINEL = "sentinel"
"""Source of a sentinel trial, and who calls for a person on drift."""

ENOUGH = 3
"""Sentinels whose scatter stands for a standard error that the reducer does not give."""


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

    That is the first trial, one after so many others, and one after a hold: a beam that comes back
    may have moved.
    """
    if spec.sentinel is None:
        return False
    last = next((one for one in _backwards(state) if one.source == SENTINEL), None)
    if last is None or state.next_trial - last.trial_id > spec.sentinel.every:
        return True
    return state.resumed_at is not None and state.resumed_at > (last.proposed_at or 0.0)


def _backwards(state: CampaignState) -> Sequence[Trial]:
    return [state.trials[number] for number in range(len(state.trials), 0, -1)]


def judged(state: CampaignState, spec: CampaignSpec) -> list[Judged]:
    """The measured sentinels that can be judged, in the order of their measurement."""
    if spec.sentinel is None:
        return []
    name = spec.sentinel.outcome or next(iter(spec.objectives))
    known = [one for one in state.measured if one.source == SENTINEL and name in one.outcomes]
    found = (
        _judged(spec.sentinel, trial, name, known[:place]) for place, trial in enumerate(known)
    )
    return [one for one in found if one is not None]


def _judged(
    sentinel: SentinelSpec, trial: Trial, name: str, before: Sequence[Trial]
) -> Judged | None:
    """The sentinel beside those before it; None when they do not tell yet how it scatters."""
    first = [one.outcomes[name] for one in before[: sentinel.first]]
    now = trial.outcomes[name]
    if not first or (sigma := _sigma(now, first)) is None:
        return None
    reference = fmean(one.mean for one in first)
    is_good = abs(now.mean - reference) <= sentinel.sigmas * sigma
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


def doubtful(state: CampaignState, spec: CampaignSpec) -> dict[int, str]:
    """Suspect data: trials between the last good sentinel and one off its band, with the reason."""
    found: dict[int, str] = {}
    good = 0
    for one in judged(state, spec):
        number = one.trial.trial_id
        if one.is_good:
            good = number
            continue
        reason = f"suspect data: {drift_words(one)}"
        for between in range(good + 1, number):
            if state.trials[between].source != SENTINEL:
                found.setdefault(between, reason)
    return found


def drift(state: CampaignState, spec: CampaignSpec) -> str | None:
    """Why the campaign should wait for a person; None when the newest sentinel is good.

    What a person has looked at is not told again: the next sentinel is.
    """
    verdicts = judged(state, spec)
    if not verdicts or verdicts[-1].is_good or state.status is not CampaignStatus.RUNNING:
        return None
    newest = verdicts[-1]
    if state.resumed_at is not None and state.resumed_at >= (newest.trial.measured_at or 0.0):
        return None
    good = next((one.trial.trial_id for one in reversed(verdicts) if one.is_good), None)
    since = "ever" if good is None else f"since the last good one, trial {good}"
    doubted = [one for one in doubtful(state, spec) if one > (good or 0)]
    measured = [one for one in doubted if state.trials[one].state is TrialState.MEASURED]
    return (
        f"{drift_words(newest)}; {len(measured)} trial{'' if len(measured) == 1 else 's'} measured "
        f"{since} {'is' if len(measured) == 1 else 'are'} suspect data"
    )


def drift_words(one: Judged) -> str:
    """How far a sentinel is off."""
    off = abs(one.value - one.reference) / one.sigma if one.sigma else math.inf
    return (
        f"sentinel trial {one.trial.trial_id} gave {one.value:.6g}, "
        f"{off:.1f} sigma from its reference {one.reference:.6g}"
    )
