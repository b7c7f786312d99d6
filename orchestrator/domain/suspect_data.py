"""Suspect data: trials measured while a sentinel was off, and by how much they are probably off.

Between two sentinels the drift of the watched outcome is taken as linear in the trial number:

    drift(k) = drift(a) + (drift(b) - drift(a)) * (k - a) / (b - a)        a < k < b

where the drift at a sentinel that is off is its distance from the reference, and at a good one 0.
What was measured between a sentinel that is off and the realignment that follows it is as far off
as that sentinel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.domain.realignment import REALIGNMENT, has_run
from orchestrator.domain.sentinels import SENTINEL, Judged, drift_words, measured, watched
from orchestrator.domain.trial import Observation, TrialState

if TYPE_CHECKING:
    from orchestrator.domain.spec import CampaignSpec
    from orchestrator.domain.state import CampaignState


@dataclass(frozen=True, slots=True)
class Drift:
    """How far the watched outcome was off when a trial was measured."""

    amount: float
    """Measured less what would have been measured without drift, in the outcome's unit."""
    sigma: float
    """Standard deviation of ``amount`` from the scatter of the sentinels alone, not from the
    assumption that drift is linear."""
    reason: str
    """Which sentinel was off, and by how much."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """What one sentinel tells."""

    number: int
    amount: float
    sigma: float
    off: Judged | None
    """None for a good one."""

    @classmethod
    def of(cls, number: int, verdict: Judged | None) -> _Mark:
        if verdict is None or verdict.is_good:
            return cls(number, 0.0, 0.0, None)
        return cls(number, verdict.value - verdict.reference, verdict.sigma, verdict)


def drifts(state: CampaignState, spec: CampaignSpec) -> dict[int, Drift]:
    """The drift of every measured trial that is suspect, by number; sentinels that are off, too."""
    marks = [_Mark.of(trial.trial_id, verdict) for trial, verdict in measured(state, spec)]
    found: dict[int, Drift] = {}
    for before, after in zip(marks, [*marks, None][1:], strict=True):
        if before.off is not None:
            found[before.number] = Drift(before.amount, before.sigma, drift_words(before.off))
        off = after.off if after is not None and after.off is not None else before.off
        if off is not None:
            found |= _between(state, before, after, drift_words(off))
    return found


def _between(
    state: CampaignState, before: _Mark, after: _Mark | None, reason: str
) -> dict[int, Drift]:
    """The drift of what was measured between two sentinels, or after the last one (None)."""
    end = after or _Mark(state.next_trial, 0.0, 0.0, None)
    inside = [state.trials[number] for number in range(before.number + 1, end.number)]
    realigned = max((one.trial_id for one in inside if has_run(one)), default=None)
    found: dict[int, Drift] = {}
    for trial in inside:
        if trial.state is not TrialState.MEASURED or trial.source in (SENTINEL, REALIGNMENT):
            continue
        if realigned is not None:
            part = float(trial.trial_id > realigned)
        elif after is None:
            part = 0.0
        else:
            part = (trial.trial_id - before.number) / (after.number - before.number)
        amount = (1 - part) * before.amount + part * end.amount
        sigma = math.hypot((1 - part) * before.sigma, part * end.sigma)
        found[trial.trial_id] = Drift(amount, sigma, reason)
    return found


def suspect_data(state: CampaignState, spec: CampaignSpec) -> dict[int, str]:
    """Suspect data by trial number, each with the reason; sentinels are the measure, and none."""
    return {
        number: f"suspect data: {one.reason}"
        for number, one in drifts(state, spec).items()
        if state.trials[number].source != SENTINEL
    }


def as_told(
    observations: Iterable[Observation], state: CampaignState, spec: CampaignSpec
) -> Iterator[Observation]:
    """The observations as an optimizer is told of them: without drift, where the campaign says so.

    What was measured stays in the log as it was. A standard error grows by that of the drift.
    """
    if spec.sentinel is None or not spec.sentinel.corrects:
        yield from observations
        return
    name, known = watched(spec.sentinel, spec), drifts(state, spec)
    for one in observations:
        if one.outcomes is None or name not in one.outcomes or one.trial_id not in known:
            yield one
            continue
        drift, outcome = known[one.trial_id], one.outcomes[name]
        sem = None if outcome.sem is None else math.hypot(outcome.sem, drift.sigma)
        freed = replace(outcome, mean=outcome.mean - drift.amount, sem=sem)
        yield replace(one, outcomes={**one.outcomes, name: freed})
