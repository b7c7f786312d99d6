"""Outcomes that are computed elsewhere: how long they are waited for, and how they come in."""

from orchestrator.domain import events as ev
from orchestrator.domain.errors import Unusable
from orchestrator.domain.realignment import REALIGNMENT
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.trial import Trial, TrialState
from orchestrator.ports import Ledger, Reduction


def give_up_waiting(ledger: Ledger, state: CampaignState, now: float) -> None:
    """Trials of an external reducer that is late are unreduced: it may still deliver."""
    if state.spec.get("reduce", {}).get("where") != "external":
        return
    timeout_s = state.spec["reduce"]["timeout_s"]
    for trial in state.in_state(TrialState.ACQUIRED):
        is_late = now - (trial.acquired_at or now) >= timeout_s
        if is_late and trial.source != REALIGNMENT:
            reason = f"no outcome was delivered within {timeout_s:g} s (reduce.timeout_s)"
            ledger.settle(state.campaign_id, ev.Unreduced(trial_id=trial.trial_id, reason=reason))


def waiting(state: CampaignState, trial_id: int) -> Trial:
    """The trial for which an outcome may be delivered.

    Raises:
        Unusable: there is none of this number, its campaign reduces here, or it waits for none, as
            a realignment never does.
    """
    if CampaignSpec.from_data(state.spec).reduce.where != "external":
        text = "its reducer runs here; 'labwright reduce' finishes what that could not"
        raise Unusable(f"campaign {state.campaign_id!r} takes no outcomes from elsewhere: {text}")
    trial = state.trials.get(trial_id)
    if trial is None:
        raise Unusable(f"campaign {state.campaign_id!r} has no trial {trial_id}")
    if trial.source == REALIGNMENT:
        raise Unusable(
            f"trial {trial_id} of {state.campaign_id!r} is a realignment, which gives no data: "
            "'labwright reduce' finishes it"
        )
    if trial.state not in (TrialState.ACQUIRED, TrialState.UNREDUCED):
        raise Unusable(
            f"trial {trial_id} of {state.campaign_id!r} is {trial.state}: no outcome is waited for"
        )
    return trial


def deliver(
    ledger: Ledger, campaign_id: str, trial_id: int, reduction: Reduction, *, by: str
) -> Trial:
    """Record what an external reducer has found; gives the trial afterwards.

    Raises:
        Unusable: somebody else has delivered something else meanwhile.
    """
    if reduction.invalid is None:
        event = ev.Measured(trial_id=trial_id, outcomes=reduction.outcomes, by=by)
    else:
        event = ev.Invalidated(
            trial_id=trial_id, outcomes=reduction.outcomes, reason=reduction.invalid, by=by
        )
    is_taken = ledger.settle(campaign_id, event)
    trial = fold(ledger.events(campaign_id)).trials[trial_id]
    if not is_taken and trial.outcomes != reduction.outcomes:  # else our own, sent again
        raise Unusable(f"trial {trial_id} of {campaign_id!r} is {trial.state} already")
    return trial
