"""How far ahead to propose, for what, and how long to wait for it: decided from the log alone.

A measurement takes ``trial_s``, a suggestion ``suggestion_s``, what lies between a measurement and
its outcome ``reduction_s``. They are medians over the newest trials, so the choice follows an
instrument that becomes slower, or a model that grows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING

from orchestrator.domain.events import is_before
from orchestrator.domain.proposal import may_improve
from orchestrator.domain.samples import free
from orchestrator.domain.state import CampaignState, CampaignStatus
from orchestrator.domain.trial import UNDER_WAY, Trial, TrialState

if TYPE_CHECKING:
    from orchestrator.domain.spec import CampaignSpec

RECENT = 5
"""Trials whose times are looked at."""
SEARCHED = 20
"""Newest trials among which they are looked for."""
NEGLIGIBLE = 0.01
"""Part of a measurement that ``auto`` lets the instrument wait, so that every proposal knows the
last result."""
LITTLE = 0.1
"""Part of the thinking that must be hidden for ``auto`` to look ahead: a measurement that is much
shorter hides next to nothing, and each proposal would know one result less."""
FIRST_S = 30.0
"""Seconds that ``auto`` waits for the first answer of all, for which a model must be loaded."""
MARGIN = 1.5
"""How much longer than usual a suggestion may take and must still come in time."""

_OCCUPIES = (TrialState.QUEUED, TrialState.LEASED, TrialState.RUNNING, TrialState.SUSPECT)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that things took lately; None while nothing is known."""

    trial_s: float | None = None
    """From the start of an attempt to its documents on disk."""
    suggestion_s: float | None = None
    """From the question to the model's answer."""
    reduction_s: float | None = None
    """From the documents to the outcome."""


def pace(state: CampaignState) -> Pace:
    """The pace of a campaign, from its newest trials."""
    last = len(state.trials)
    newest = [state.trials[number] for number in range(last, max(0, last - SEARCHED), -1)]
    return Pace(
        trial_s=_usual(one.measuring_s for one in newest),
        suggestion_s=_usual(one.suggestion_s for one in newest if one.source == "model"),
        reduction_s=_usual(_between(one.acquired_at, one.measured_at) for one in newest),
    )


def _usual(seconds: Iterable[float | None]) -> float | None:
    known = list(islice((one for one in seconds if one is not None), RECENT))
    return median(known) if known else None


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None or end < start else end - start


def depth(state: CampaignState, spec: CampaignSpec, pace: Pace) -> int:
    """Batches of trials to keep queued ahead of the worker; 0 waits for each result.

    ``auto`` looks ahead by 1 unless waiting would cost next to nothing. A space-filling point does
    not wait for a result in any case.
    """
    chosen = spec.optimizer.lookahead
    if chosen != "auto":
        return chosen
    needs_no_result = state.next_trial <= spec.initial_trials or spec.optimizer.method == "sobol"
    if needs_no_result or pace.trial_s is None or pace.suggestion_s is None:
        return 1
    waiting = pace.suggestion_s + (pace.reduction_s or 0.0)
    costs_little = waiting <= NEGLIGIBLE * pace.trial_s
    # Of thinking it hides at most the time of one measurement; reductions it hides whole.
    hides_little = pace.trial_s <= LITTLE * pace.suggestion_s
    return 0 if costs_little or hides_little else 1


def wants_trial(state: CampaignState, spec: CampaignSpec, depth: int) -> bool:
    """True when the queue is shorter than it should be, and budget and samples have room."""
    if len(state.trials) >= spec.budget.trials or state.status is not CampaignStatus.RUNNING:
        return False
    if spec.samples is not None and max(free(state).values(), default=0) < 1:
        return False
    batch = spec.optimizer.batch
    if depth == 0:
        return state.count(*UNDER_WAY) == 0 or len(state.trials) % batch > 0
    return state.count(TrialState.QUEUED) < depth * batch


def outdated(state: CampaignState, pace: Pace, now: float) -> Trial | None:
    """The first trial of the queue that newer or corrected results can improve; None when none can.

    Left out are those whose turn comes before a suggestion could be there, and those that a person
    has to approve: what somebody looks at stays as it is.
    """
    told = state.count(TrialState.MEASURED)
    for place, trial in enumerate(state.in_state(TrialState.QUEUED)):
        is_looked_at = trial.trial_id <= state.step
        is_informed = trial.told >= told and not is_before(trial.basis, state.corrected_id)
        if is_looked_at or not may_improve(trial) or is_informed:
            continue
        if _is_in_time(state, pace, now, place):
            return trial
    return None


def _is_in_time(state: CampaignState, pace: Pace, now: float, place: int) -> bool:
    """True when a suggestion comes before the trial at this place of the queue is leased."""
    if state.status is not CampaignStatus.RUNNING or pace.suggestion_s is None:
        return True
    trial_s = pace.trial_s or 0.0
    return now + pace.suggestion_s <= _turn(state, trial_s, now) + place * trial_s


def _turn(state: CampaignState, trial_s: float, now: float) -> float:
    """Unix time at which the worker will probably be free."""
    if state.count(TrialState.LEASED):
        return now + trial_s
    starts = [trial.started_at or now for trial in state.in_state(TrialState.RUNNING)]
    return max(now, starts[0] + trial_s) if starts else now


def hold_back_s(state: CampaignState, pace: Pace, now: float) -> float:
    """Seconds for which a question may wait for the outcome of a trial that is being reduced.

    The suggestion then knows one result more, and still comes before the worker is free. 0 when
    there is no such trial, or no time to spare.
    """
    if pace.trial_s is None or pace.suggestion_s is None or not state.count(TrialState.ACQUIRED):
        return 0.0
    return max(0.0, _turn(state, pace.trial_s, now) - MARGIN * pace.suggestion_s - now)


def starves(state: CampaignState) -> bool:
    """True when the worker has nothing to do and the campaign is running."""
    return state.status is CampaignStatus.RUNNING and not state.count(*_OCCUPIES)


def patience_s(spec: CampaignSpec, pace: Pace) -> float:
    """Seconds that the worker may wait for a suggestion before a space-filling point serves.

    With ``lookahead: 0`` any number, with another number none: so a person has chosen. ``auto``
    waits as long as a measurement takes, for that is the price of a point that nobody thought
    about; where thinking takes longer than measuring, twice as long as it does; and for the first
    answer at least ``FIRST_S``.
    """
    if spec.optimizer.lookahead != "auto":
        return 0.0 if spec.optimizer.lookahead else float("inf")
    trial_s = pace.trial_s or 0.0
    if pace.suggestion_s is None:
        return max(trial_s, FIRST_S)
    return trial_s if pace.suggestion_s <= trial_s else 2 * pace.suggestion_s


def waiting_fallback(state: CampaignState) -> Trial | None:
    """The first fallback point that still waits: an answer of the model may replace it."""
    waiting = state.in_state(TrialState.QUEUED)
    return next((one for one in waiting if one.source == "fallback" and may_improve(one)), None)
