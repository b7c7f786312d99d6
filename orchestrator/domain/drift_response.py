"""What follows from a sentinel that is off: a realignment, a call for a person, or neither."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from orchestrator.domain.realignment import REALIGNMENT, has_run
from orchestrator.domain.sentinels import SENTINEL, Judged, drift_words, judged, measured
from orchestrator.domain.state import CampaignState, CampaignStatus
from orchestrator.domain.trial import Trial, TrialState

if TYPE_CHECKING:
    from orchestrator.domain.spec import CampaignSpec


def needs_realignment(state: CampaignState, spec: CampaignSpec) -> str | None:
    """Why the next trial should be a realignment; None when it should not.

    There is one after a good sentinel, at most, and none once the budget of trials is spent.
    """
    if spec.sentinel is None or spec.sentinel.realignment is None:
        return None
    off = _newest_off(state, spec)
    if off is None or len(state.trials) >= spec.budget.trials:
        return None
    return None if _realigned(state, _last_good(state, spec)) else drift_words(off)


def needs_person(state: CampaignState, spec: CampaignSpec) -> str | None:
    """Why the campaign should wait for a person; None when the newest sentinel is good.

    What a person has looked at is not told again: the next sentinel is. While a realignment may
    still help nobody is called, and where outcomes are corrected instead nobody ever is.
    """
    if spec.sentinel is None or spec.sentinel.then == "correct":
        return None
    off = _newest_off(state, spec)
    if off is None:
        return None
    good, said = _last_good(state, spec), drift_words(off)
    if spec.sentinel.realignment is not None:
        became = _became(state, _realigned(state, good), off.trial)
        if became is None:
            return None
        said += f"; {became}"
    later = [one for one in state.measured if one.trial_id > good and one.source != SENTINEL]
    some, are = ("trial", "is") if len(later) == 1 else ("trials", "are")
    since = f"measured since the last good one, trial {good}"
    count = f"{len(later)} {some} {since}, {are} suspect data"
    return f"{said}; {count}; 'labwright resume' lets the campaign go on"


def _newest_off(state: CampaignState, spec: CampaignSpec) -> Judged | None:
    """The newest sentinel when it is off, the campaign runs and nobody has looked since."""
    verdicts = judged(state, spec)
    if not verdicts or verdicts[-1].is_good or state.status is not CampaignStatus.RUNNING:
        return None
    looked_at = -math.inf if state.resumed_at is None else state.resumed_at
    return None if looked_at >= (verdicts[-1].trial.measured_at or 0.0) else verdicts[-1]


def _last_good(state: CampaignState, spec: CampaignSpec) -> int:
    """Number of the newest sentinel that is good or makes the reference; 0 for none."""
    known = reversed(measured(state, spec))
    return next((t.trial_id for t, verdict in known if verdict is None or verdict.is_good), 0)


def _realigned(state: CampaignState, since: int) -> Trial | None:
    """The newest realignment after the trial of this number."""
    return next((one for one in state.newest_first(since) if one.source == REALIGNMENT), None)


def _became(state: CampaignState, tried: Trial | None, off: Trial) -> str | None:
    """What became of a realignment, in words; None while it may still help."""
    if tried is None or not _is_at_rest(tried):
        return None
    if not has_run(tried):
        return f"its realignment, trial {tried.trial_id}, was {tried.state} ({tried.reason})"
    if off.trial_id > tried.trial_id:
        return f"its realignment, trial {tried.trial_id}, has not brought it back"
    later = state.newest_first(tried.trial_id)
    check = next((one for one in later if one.source == SENTINEL), None)
    if check is None or not _is_at_rest(check):
        return None
    return f"the sentinel after its realignment, trial {check.trial_id}, is {check.state}"


def _is_at_rest(trial: Trial) -> bool:
    """True when nothing more happens to a trial by itself."""
    return trial.is_terminal or trial.state is TrialState.UNREDUCED
