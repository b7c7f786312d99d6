"""What a new worker does first: put right what an earlier one left behind.

It observes before it acts, and looks for evidence before it decides.
"""

import time
from dataclasses import replace

from orchestrator.adapters.child import is_proven_dead
from orchestrator.campaign import Beside, reduce_beside
from orchestrator.domain import events as ev
from orchestrator.domain.errors import DeviceUnavailable, Unusable
from orchestrator.domain.rules import TAKES_TRIALS, after_failure
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignStatus, fold
from orchestrator.domain.trial import Trial, TrialState
from orchestrator.ports import InstrumentState, Lab

PERSON_S = 60.0
"""Announced again and again while a person is waited for."""
LEASE_MARGIN_S = 5.0
"""Added to a lease before its holder is believed to be alive elsewhere."""


def recover(lab: Lab, observe_s: float, beside: Beside, *, standby: bool = False) -> None:
    """Put right what an earlier worker left behind, on the instrument and in the ledger.

    What it left acquired is reduced ``beside`` the next trial, like any other.
    With ``standby``, a worker that can be replaced while it lives is left to its work.
    """
    name = lab.instrument.name
    record = lab.ledger.instrument(name)
    if record.state is InstrumentState.LEASED and record.holder:
        if standby and lab.gate.yields and not is_proven_dead(record.holder):
            return
        _end_lease(lab, record.holder)
        record = lab.ledger.instrument(name)
    if record.state is InstrumentState.FAULT:
        raise Unusable(f"instrument {name!r} is in fault; staff must clear it: {record.reason}")
    if record.state is not InstrumentState.READY:
        _recover_instrument(lab, observe_s)
    for campaign_id in lab.ledger.open_campaigns(name):
        state = fold(lab.ledger.events(campaign_id))
        spec = CampaignSpec.from_data(state.spec)
        for trial in state.in_state(TrialState.SUSPECT):
            _decide_suspect(lab, campaign_id, spec, trial)
        for trial in fold(lab.ledger.events(campaign_id)).in_state(TrialState.ACQUIRED):
            _reduce_left_over(lab, campaign_id, spec, trial, beside)


def _end_lease(lab: Lab, holder: str) -> None:
    """End the lease of a dead worker at once, of one on another host when its time is over.

    Raises:
        Unusable: it is renewed, so another host drives the instrument.
    """
    name = lab.instrument.name
    if is_proven_dead(holder):
        lab.ledger.expire(name, dead=holder)
        return
    give_up = time.monotonic() + lab.lease_s + LEASE_MARGIN_S
    while not lab.ledger.expire(name):
        if time.monotonic() >= give_up:
            raise Unusable(f"worker {holder} drives instrument {name!r}; its lease is renewed")
        lab.clock.sleep(0.2)


def _recover_instrument(lab: Lab, observe_s: float) -> None:
    name = lab.instrument.name
    reason = "a worker died or a device was lost: observing"
    held = lab.ledger.instrument(name).holder
    # Whoever held the lock that is ours now can drive no more, dead or not.
    dead = held if held and (not lab.gate.yields or is_proven_dead(held)) else None
    terms = {"floor": lab.gate.floor, "ttl_s": lab.lease_s}
    record = lab.ledger.recover(
        name, lab.worker, InstrumentState.RECOVERING, reason=reason, dead=dead, **terms
    )
    lab.gate.claim(record.fence)
    lab.executor.quiet()
    give_up = time.monotonic() + observe_s
    while (why := lab.executor.observe()) is not None:
        if time.monotonic() >= give_up:
            raise DeviceUnavailable(f"instrument {name!r} is not at rest: {why}")
        lab.clock.sleep(0.1)
    _await_person(lab)
    reason = "every device answers and stands still"
    lab.ledger.recover(name, lab.worker, InstrumentState.READY, reason=reason, **terms)


def _await_person(lab: Lab) -> None:
    """With a device marked ``takeover: person`` somebody must look and resume."""
    wary = [n for n, device in lab.instrument.devices.items() if device.takeover == "person"]
    if not wary:
        return
    for campaign_id in lab.ledger.open_campaigns(lab.instrument.name):
        reason = f"look at {', '.join(wary)} after the crash, then 'labwright resume'"
        order = ev.NeedsPerson(by="worker", reason=reason)
        lab.ledger.order(campaign_id, order, TAKES_TRIALS)
        while lab.ledger.status(campaign_id) == CampaignStatus.NEEDS_PERSON:
            lab.announce(PERSON_S)  # waiting is not hanging
            lab.clock.sleep(0.5)


def _decide_suspect(lab: Lab, campaign_id: str, spec: CampaignSpec, trial: Trial) -> None:
    """Evidence first: a result that is safe on disk counts, whatever happened afterwards."""
    found = lab.outbox.find(campaign_id, trial.trial_id, trial.attempts)
    if found is not None:
        lab.ledger.resolve(campaign_id, replace(found, salvaged=True))
        return
    if spec.policy.consumes_sample:
        reason = f"did trial {trial.trial_id} consume its sample? 'labwright resolve' decides"
        order = ev.NeedsPerson(by="worker", reason=reason)
        lab.ledger.order(campaign_id, order, TAKES_TRIALS)
        return
    then = after_failure(spec.policy, attempts=trial.attempts, crashes=trial.crashes, crash=True)
    failed = ev.Failed(
        trial_id=trial.trial_id,
        reason="worker_died",
        message="the worker ended while the trial ran; no documents were found",
        crash=True,
        then=then,
    )
    lab.ledger.resolve(campaign_id, failed)


def _reduce_left_over(
    lab: Lab, campaign_id: str, spec: CampaignSpec, trial: Trial, beside: Beside
) -> None:
    found = lab.outbox.find(campaign_id, trial.trial_id, trial.attempts)
    if found is None:
        reason = "its documents are not on this machine, or damaged"
        lab.ledger.settle(campaign_id, ev.Unreduced(trial_id=trial.trial_id, reason=reason))
        return
    reduce_beside(lab, campaign_id, spec, found, beside)
