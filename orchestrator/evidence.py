"""What becomes of trials that an earlier worker did not finish: evidence decides, else a person.

The evidence, strongest first: a result in the outbox (it ran, and counts); the journal of the
instrument (nothing was commanded: it never ran); both silent or in between (it ran in part). What
ran in part is measured again, unless that would spend a second sample.
"""

from dataclasses import replace

from orchestrator.campaign import Beside, reduce_beside
from orchestrator.domain import events as ev
from orchestrator.domain.realignment import spec_for
from orchestrator.domain.rules import TAKES_TRIALS, after_failure
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import fold
from orchestrator.domain.trial import Trial, TrialState
from orchestrator.follow import counted, delivered
from orchestrator.ports import Lab, Traces


def settle_left_over(lab: Lab, beside: Beside) -> None:
    """Decide every suspect trial of the instrument, and have every acquired one reduced."""
    for campaign_id in lab.ledger.open_campaigns(lab.instrument.name):
        state = fold(lab.ledger.events(campaign_id))
        if state.mode != lab.instrument.mode:
            continue  # its evidence is about other devices
        spec = CampaignSpec.from_data(state.spec)
        for trial in state.in_state(TrialState.SUSPECT):
            _decide_suspect(lab, campaign_id, spec, trial)
        for trial in fold(lab.ledger.events(campaign_id)).in_state(TrialState.ACQUIRED):
            _reduce_left_over(lab, campaign_id, spec, trial, beside)


def _decide_suspect(lab: Lab, campaign_id: str, spec: CampaignSpec, trial: Trial) -> None:
    results = lab.outbox.results(campaign_id, trial.trial_id)
    if (found := delivered(results, trial)) is not None:
        lab.ledger.resolve(campaign_id, replace(found, salvaged=True))
        return
    traces = _traces_of(lab, campaign_id, trial)
    happened = _happened(lab, traces)
    has_begun = traces is None or bool(traces.commands)
    if spec.policy.consumes_sample and has_begun:
        reason = (
            f"was the sample of trial {trial.trial_id} consumed? {happened}. Decide: 'labwright "
            f"resolve {trial.trial_id} --as measured|retry|abandon --reason ...'"
        )
        lab.ledger.order(campaign_id, ev.NeedsPerson(by="worker", reason=reason), TAKES_TRIALS)
        return
    then = after_failure(spec.policy, attempts=trial.attempts, crashes=trial.crashes, crash=True)
    failed = ev.Failed(
        trial_id=trial.trial_id,
        reason="worker_died",
        message=f"the worker ended while the trial ran: {happened}",
        crash=True,
        then=then,
    )
    lab.ledger.resolve(campaign_id, failed)


def _traces_of(lab: Lab, campaign_id: str, trial: Trial) -> Traces | None:
    """The journal, when it is about this attempt."""
    traces = lab.executor.traces()
    attempt = (campaign_id, trial.trial_id, trial.fence)
    if traces is None or (traces.campaign_id, traces.trial_id, traces.fence) != attempt:
        return None
    return traces


def _happened(lab: Lab, traces: Traces | None) -> str:
    """How far the attempt came, in words."""
    if traces is None:
        return "there is no journal of it here, so how far it came cannot be told"
    if not traces.commands:
        return "it had commanded nothing"
    last = f"it had given {len(traces.commands)} commands, the last was '{traces.commands[-1]}'"
    whole = "complete" if lab.executor.is_whole(traces) else "not complete"
    return f"{last}; its documents are {whole}, and no result was handed in"


def _reduce_left_over(
    lab: Lab, campaign_id: str, spec: CampaignSpec, trial: Trial, beside: Beside
) -> None:
    found = counted(lab.outbox.results(campaign_id, trial.trial_id), trial)
    if found is None:
        reason = "its documents are not on this machine, or damaged"
        lab.ledger.settle(campaign_id, ev.Unreduced(trial_id=trial.trial_id, reason=reason))
        return
    reduce_beside(lab, campaign_id, spec_for(spec, trial.source), found.acquired, beside)
