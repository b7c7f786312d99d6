"""The flow of a campaign, in two functions that meet only in the ledger.

``decide`` runs in the campaign process: read the ledger, fold, suggest, admit, wait.
``execute`` runs in the worker: lease, envelope, started, claim, run, outbox, acquired, reduce,
where reducing goes on beside the next trial: the instrument does not wait for arithmetic.

There is no call that gives a result to the optimizer: the result is an event, and the next
suggestion is made from the fold of all events.
"""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace

from orchestrator.domain import events as ev
from orchestrator.domain.drift_response import needs_person
from orchestrator.domain.envelope import device_settings, envelope_of
from orchestrator.domain.errors import (
    EnvelopeError,
    ExecutionError,
    LeaseLost,
    LedgerUnavailable,
    LogWentBack,
    PlanAborted,
    PlanFailed,
    PlanStopped,
    ReductionError,
)
from orchestrator.domain.outage import SELF_FENCE
from orchestrator.domain.ranking import Ranking, rank
from orchestrator.domain.realignment import REALIGNMENT, REALIGNMENT_KEY, spec_for
from orchestrator.domain.rules import TAKES_TRIALS, after_failure
from orchestrator.domain.sentinels import SENTINEL
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState, CampaignStatus, fold
from orchestrator.domain.stopping import Verdict, verdict
from orchestrator.domain.trial import UNDER_WAY, TrialState
from orchestrator.external import give_up_waiting
from orchestrator.follow import delivered, propose_again
from orchestrator.ports import InstrumentState, Lab, Lease, Ledger, PlanRequest, Reducer, Result
from orchestrator.proposer import POLL_S, Proposer
from orchestrator.questions import UNANSWERED, Questions, call_person, want_approval

log = logging.getLogger(__name__)


def decide(lab: Lab, campaign_id: str) -> CampaignState:
    """Propose trials until the campaign is over; gives its final state."""
    state = fold(lab.ledger.events(campaign_id))
    spec = CampaignSpec.from_data(state.spec)
    proposer, ranking = Proposer(lab, spec), Ranking()
    while not state.is_over:
        try:
            state = _now(lab, campaign_id, state, proposer)
            ranking = rank(state, spec, ranking)
            _take_step(lab, state, verdict(state, spec, lab.clock.now(), ranking), proposer)
        except LedgerUnavailable as error:  # what this process knows must outlast the outage
            log.warning("the ledger is out of reach, nothing is proposed: %s", error)
    return state


def _take_step(lab: Lab, state: CampaignState, ending: Verdict | None, proposer: Proposer) -> None:
    """Do what is due, or wait for something to happen."""
    give_up_waiting(lab.ledger, state, lab.clock.now())
    if state.status is CampaignStatus.FINISHING:
        _wind_down(lab, state)
    elif why := needs_person(state, proposer.spec):
        order = ev.NeedsPerson(by=SENTINEL, reason=why)
        lab.ledger.order(state.campaign_id, order, [CampaignStatus.RUNNING])
    elif ending is not None:
        order = ev.FinishRequested(by="policy", reason=ending.reason, ending=ending.ending)
        lab.ledger.order(state.campaign_id, order, TAKES_TRIALS)
    elif not state.is_over and not want_approval(lab.ledger, state):
        if wait_s := _propose(lab, state, proposer):
            lab.ledger.wait({state.campaign_id: state.last_id}, wait_s)


def _propose(lab: Lab, state: CampaignState, proposer: Proposer) -> float:
    """Keep the queue filled; gives the seconds to wait for an event before the next look."""
    try:
        return proposer.step(state)
    except EnvelopeError as error:
        reason = f"a proposal was refused: {error}"
        order = ev.FinishRequested(by="envelope", reason=reason, ending=CampaignStatus.FAILED)
        lab.ledger.order(state.campaign_id, order, TAKES_TRIALS)
        return 0.0


def _now(lab: Lab, campaign_id: str, before: CampaignState, proposer: Proposer) -> CampaignState:
    """The state now; a log that went back is told again what this process had proposed."""
    try:
        return fold(lab.ledger.events(campaign_id, before.last_id), before)
    except LogWentBack:
        proposer.forget()
        propose_again(lab.ledger, before, fold(lab.ledger.events(campaign_id)))
        return fold(lab.ledger.events(campaign_id))


def _wind_down(lab: Lab, state: CampaignState) -> None:
    """Cancel what has not started; end when nothing is live any more."""
    reason = state.stop_reason or ""
    withdrawn = [TrialState.QUEUED]
    if state.ending is CampaignStatus.ABORTED:
        withdrawn.append(TrialState.SUSPECT)  # otherwise its worker's successor looks for evidence
    for trial in state.in_state(*withdrawn):
        lab.ledger.cancel(state.campaign_id, trial.trial_id, by="campaign", reason=reason)
    if state.count(*UNDER_WAY) == 0:
        status = state.ending or CampaignStatus.DONE
        ended = ev.Ended(by="campaign", reason=reason, status=status)
        lab.ledger.end(state.campaign_id, ended, state.last_id)
    else:
        lab.ledger.wait({state.campaign_id: state.last_id}, POLL_S)


Beside = Callable[[float, Callable[[], None]], object]
"""Is given what may be done while the next trial runs, and the most seconds that it may take."""


def execute(lab: Lab, campaign_id: str, spec: CampaignSpec, beside: Beside) -> bool:
    """Take the campaign's next trial through one attempt; False when there is nothing to do.

    Turning its documents into outcomes is left to ``beside``.
    """
    if not _conditions_allow(lab, campaign_id):
        return False
    lease = lab.ledger.acquire(
        campaign_id, lab.instrument.name, lab.worker, floor=lab.gate.floor, ttl_s=lab.lease_s
    )
    if lease is None:
        return False
    attempt, spec = lease.attempts, spec_for(spec, lease.proposal.source)
    try:
        envelope_of(lab.instrument).check(device_settings(spec, lease.parameters))
        attempt = lab.ledger.start(lease)
        lab.gate.claim(lease.fence)
        found = delivered(lab.outbox.results(campaign_id, lease.trial_id), lease.proposal)
        acquired = found or _measure(lab, lease, spec, attempt)
    except (EnvelopeError, ExecutionError) as error:
        _fail(lab, lease, spec, error, attempt)
        return True
    if found:  # measured before the log lost it, or before the ledger could be told: not again
        lab.ledger.acquired(lease, replace(found, salvaged=True))
    else:
        hand_in(lab, lease, acquired)
    reduce_beside(lab, campaign_id, spec, acquired, beside)
    return True


def _measure(lab: Lab, lease: Lease, spec: CampaignSpec, attempt: int) -> ev.Acquired:
    """Run the plan; its documents are safe on disk afterwards."""
    request = _request(lab, lease, spec, attempt)
    deadline_s = lab.executor.deadline_s(request)
    lab.announce(deadline_s)
    request = replace(request, deadline_s=deadline_s)
    questions = Questions(lab, lease, spec.policy.answer_within_s, deadline_s)
    evidence = lab.executor.run(request, _Orders(lab, lease), questions)
    return ev.Acquired(
        trial_id=lease.trial_id,
        attempt=attempt,
        run_uid=evidence.run_uid,
        documents=evidence.documents,
        sha256=evidence.sha256,
    )


def hand_in(lab: Lab, lease: Lease, acquired: ev.Acquired) -> None:
    """Make the result safe and count it, unless somebody else has driven meanwhile.

    Raises:
        LeaseLost: somebody has, and the documents are noted as a late result, for people; or the
            ledger has ended the lease all the same, and who drives next finds the result.
    """
    try:
        lab.gate.confirm(lease.fence)
    except LeaseLost:
        late = ev.LateResult(
            trial_id=lease.trial_id,
            attempt=acquired.attempt,
            run_uid=acquired.run_uid,
            documents=acquired.documents,
        )
        with contextlib.suppress(LedgerUnavailable):
            lab.ledger.remark(lease.campaign_id, late)
        raise
    lab.outbox.put(lease.campaign_id, Result(lease.proposal, acquired, lease.fence))
    lab.ledger.acquired(lease, acquired)


def reduce_beside(
    lab: Lab, campaign_id: str, spec: CampaignSpec, acquired: ev.Acquired, beside: Beside
) -> None:
    """Have a trial reduced while the next one runs; one that is reduced elsewhere waits for it."""
    if spec.reduce.where == "external":
        return
    told = (campaign_id, spec, acquired.trial_id, acquired.documents)
    longest_s = lab.reducer.deadline_s(spec)
    beside(longest_s, lambda: reduce_trial(lab.ledger, lab.reducer, *told))


def reduce_trial(
    ledger: Ledger,
    reducer: Reducer,
    campaign_id: str,
    spec: CampaignSpec,
    trial_id: int,
    documents: str,
) -> None:
    """Turn the documents of an acquired trial into outcomes and record them."""
    try:
        reduction = reducer.reduce(spec, documents)
    except ReductionError as error:
        ledger.settle(campaign_id, ev.Unreduced(trial_id=trial_id, reason=str(error)))
        return
    if reduction.invalid is None:
        event = ev.Measured(trial_id=trial_id, outcomes=reduction.outcomes)
    else:
        event = ev.Invalidated(
            trial_id=trial_id, outcomes=reduction.outcomes, reason=reduction.invalid
        )
    ledger.settle(campaign_id, event)


def _conditions_allow(lab: Lab, campaign_id: str) -> bool:
    """Suspend the campaign while a condition is tripped or a budget spent; let it go on after."""
    if not lab.instrument.may_suspend:
        return True
    tripped = lab.executor.tripped()
    if tripped is not None:
        order = ev.Suspended(by="condition", reason=tripped)
        lab.ledger.order(campaign_id, order, [CampaignStatus.RUNNING])
        return False
    if lab.ledger.status(campaign_id) == CampaignStatus.SUSPENDED:
        order = ev.Resumed(by="condition", reason="all conditions are good again")
        lab.ledger.order(campaign_id, order, [CampaignStatus.SUSPENDED])
    return True


class _Orders:
    """What a person ordered meanwhile; asked several times a second while the plan runs."""

    def __init__(self, lab: Lab, lease: Lease) -> None:
        self._lab = lab
        self._lease = lease
        self._heard = lab.clock.now()

    def __call__(self) -> str | None:
        """The campaign's status; None with the ledger out of reach: the plan simply goes on.

        Raises:
            LeaseLost: under a gate that lets others take over, the instrument is no longer ours.
        """
        lab, lease = self._lab, self._lease
        now = lab.clock.now()
        try:
            status = lab.ledger.status(lease.campaign_id)
            if lab.gate.yields and lab.ledger.instrument(lease.instrument).fence != lease.fence:
                raise LeaseLost(f"another worker has taken over {lease.instrument!r}")
        except LedgerUnavailable:
            if lab.gate.yields and now - self._heard > lab.lease_s * SELF_FENCE:
                raise LeaseLost("the lease cannot be renewed, so others may take over") from None
            return None
        self._heard = now
        return status


def _request(lab: Lab, lease: Lease, spec: CampaignSpec, attempt: int) -> PlanRequest:
    arguments = {
        parameter.arg: lease.parameters[name]
        for name, parameter in spec.parameters.items()
        if parameter.arg is not None
    }
    metadata = {
        "campaign_id": lease.campaign_id,
        "trial_id": lease.trial_id,
        "attempt": attempt,
        "fence": lease.fence,
        "mode": lab.instrument.mode,
        "instrument": lab.instrument.name,
        "parameters": dict(lease.parameters),
        "versions": dict(lab.versions),
    }
    if lease.proposal.source == REALIGNMENT:
        metadata[REALIGNMENT_KEY] = True
    return PlanRequest(
        campaign=spec,
        settings=device_settings(spec, lease.parameters),
        arguments=arguments,
        metadata=metadata,
        documents=documents_of(lease.campaign_id, lease.trial_id, attempt, lease.fence),
        deadline_s=lab.plan_deadline_s,
    )


def documents_of(campaign_id: str, trial_id: int, attempt: int, fence: int) -> str:
    """The document file of an attempt, relative to the data folder.

    The fence makes it unique: a log that went back gives the number of an attempt a second time.
    """
    return f"runs/{campaign_id}/{trial_id:05d}-{attempt}-{fence}.jsonl"


def _fail(
    lab: Lab, lease: Lease, spec: CampaignSpec, error: EnvelopeError | ExecutionError, attempt: int
) -> None:
    """After an odd end: quiet, hold, and record why.

    Raises:
        LeaseLost: somebody else drives now, so hands off; or it could not be recorded, and the
            next worker must look.
    """
    with contextlib.suppress(PlanFailed):  # a device server that is gone cannot tell
        lab.gate.confirm(lease.fence)
    lab.executor.quiet()
    reason = error.reason if isinstance(error, ExecutionError) else "outside_envelope"
    is_lost = reason == "device_disconnected"
    crash = is_lost or reason == "interrupted"  # by a condition: no fault of the trial's
    if isinstance(error, PlanAborted):
        then = TrialState.CANCELLED
    elif isinstance(error, EnvelopeError) or spec.policy.consumes_sample:
        then = TrialState.ABANDONED  # a second attempt would spend a second sample
    else:
        then = after_failure(spec.policy, attempts=attempt, crashes=lease.crashes, crash=crash)
    failed = ev.Failed(
        trial_id=lease.trial_id,
        reason=reason,
        message=str(error)[: ev.LONGEST_TEXT],
        crash=crash,
        then=then,
    )
    sound = lab.executor.is_reusable and not is_lost
    state = InstrumentState.READY if sound else InstrumentState.UNKNOWN
    try:
        lab.ledger.fail(lease, failed, state)
        # Else the next attempt would ask the same empty room, or start what somebody has stopped.
        if reason == UNANSWERED or isinstance(error, PlanStopped):
            call_person(lab.ledger, lease.campaign_id, str(error))
    except LedgerUnavailable as away:
        raise LeaseLost(f"'{failed.reason}' could not be recorded: {away}") from away
