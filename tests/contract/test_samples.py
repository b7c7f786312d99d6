"""Samples in the ledger: reserved by a lease, spent by a start, refused when used up."""

from dataclasses import replace

import pytest

from orchestrator.domain import events as ev
from orchestrator.domain.samples import free, left
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.trial import TrialState
from orchestrator.ports import InstrumentState, Lease, Ledger
from tests.contract.test_ledgers import (
    CAMPAIGN,
    ENVELOPE,
    INSTRUMENT,
    WORKER,
    _acquire,
    _failed,
    _opened,
)


@pytest.fixture
def stocked(ledger: Ledger) -> Ledger:
    stock = {"A1": 1, 'B "2"': 2}
    assert ledger.open_campaign(replace(_opened(), sample="well", samples=stock))
    ledger.register(INSTRUMENT, WORKER, ENVELOPE)
    return ledger


def propose(ledger: Ledger, number: int, well: str) -> None:
    point = ev.Proposed(
        trial_id=number, parameters={"well": well}, source="initial", basis="0", seed=1
    )
    assert ledger.propose(CAMPAIGN, point)


def state(ledger: Ledger) -> CampaignState:
    return fold(ledger.events(CAMPAIGN))


def lease_of(ledger: Ledger) -> Lease:
    lease = _acquire(ledger)
    assert lease is not None
    return lease


def test_a_sample_is_reserved_by_a_lease_and_spent_by_a_start(stocked: Ledger) -> None:
    propose(stocked, 1, "A1")
    lease = lease_of(stocked)
    assert (left(state(stocked))["A1"], free(state(stocked))["A1"]) == (1, 0)
    stocked.expire(INSTRUMENT, dead=WORKER)
    assert left(state(stocked))["A1"] == 1, "nothing had moved"
    lease = lease_of(stocked)
    stocked.start(lease)
    stocked.start(lease)
    assert left(state(stocked)) == {"A1": 0, 'B "2"': 2}


@pytest.mark.parametrize("well", ["A1", 'B "2"'])
def test_a_trial_whose_sample_is_used_up_is_refused(stocked: Ledger, well: str) -> None:
    uses = left(state(stocked))[well]
    for number in range(1, uses + 2):
        propose(stocked, number, well)
    for _ in range(uses):
        lease = lease_of(stocked)
        stocked.start(lease)
        stocked.fail(lease, _failed(lease, TrialState.ABANDONED), InstrumentState.READY)
    assert _acquire(stocked) is None
    refused = state(stocked).trials[uses + 1]
    assert (refused.state, refused.attempts) == (TrialState.ABANDONED, 0)
    assert refused.reason == f"sample {well} is used up"


def test_a_second_attempt_needs_a_second_use(stocked: Ledger) -> None:
    propose(stocked, 1, "A1")
    propose(stocked, 2, 'B "2"')
    lease = lease_of(stocked)
    stocked.start(lease)
    stocked.fail(lease, _failed(lease), InstrumentState.READY)
    assert lease_of(stocked).trial_id == 2, "trial 1 has nothing left to be tried with"
    assert state(stocked).trials[1].reason == "sample A1 is used up"


def test_what_is_on_no_list_is_not_counted(stocked: Ledger) -> None:
    propose(stocked, 1, "C7")
    assert lease_of(stocked).trial_id == 1
