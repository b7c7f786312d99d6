"""What a person orders, when the ledger's reply was lost on its way and the order is sent again."""

from typing import Any

import pytest

from orchestrator import service
from orchestrator.adapters.ledgers.memory_ledger import MemoryLedger
from orchestrator.domain import events as ev
from orchestrator.domain.envelope import Envelope
from orchestrator.domain.errors import Unusable
from orchestrator.domain.state import fold
from orchestrator.domain.trial import TrialState
from orchestrator.ports import InstrumentState

ID, INSTRUMENT, WORKER = "scan-1", "stage", "host-1-a"


class LossyLedger(MemoryLedger):
    """Each reply to a person is lost once: what was done is sent again."""

    def order(self, *told: Any) -> bool:
        super().order(*told)
        return super().order(*told)

    def resolve(self, *told: Any) -> bool:
        super().resolve(*told)
        return super().resolve(*told)

    def clear_fault(self, *told: Any) -> bool:
        super().clear_fault(*told)
        return super().clear_fault(*told)


@pytest.fixture
def ledger(clock: Any) -> LossyLedger:
    lossy = LossyLedger(clock)
    opened = ev.Opened(
        campaign_id=ID, instrument=INSTRUMENT, mode="twin", spec={}, instrument_spec={}
    )
    lossy.open_campaign(opened)
    lossy.register(INSTRUMENT, WORKER, Envelope(INSTRUMENT, {}, ()))
    return lossy


def lose_the_worker(ledger: MemoryLedger) -> None:
    """Leave trial 1 suspect, the instrument unknown, and the campaign waiting for a person."""
    proposed = ev.Proposed(trial_id=1, parameters={}, source="initial", basis="0", seed=1)
    ledger.propose(ID, proposed)
    lease = ledger.acquire(ID, INSTRUMENT, WORKER, floor=0, ttl_s=30.0)
    assert lease is not None
    ledger.start(lease)
    ledger.expire(INSTRUMENT, dead=WORKER)
    ledger.order(ID, ev.NeedsPerson(by="worker", reason="consumed?"), ["running"])


def test_an_order_is_carried_out_and_given_anew_it_means_nothing(ledger: LossyLedger) -> None:
    assert service.order(ledger, ID, "pause", by="me").startswith("pause: the running trial")
    with pytest.raises(Unusable, match="cannot pause campaign 'scan-1': it is paused"):
        service.order(ledger, ID, "pause", by="me")
    assert service.order(ledger, ID, "resume", by="me") == "resume: the campaign goes on"
    assert [ev.type_of(event) for event in ledger.events(ID)] == ["opened", "paused", "resumed"]


def test_a_decision_is_carried_out_and_given_anew_it_means_nothing(ledger: LossyLedger) -> None:
    lose_the_worker(ledger)
    told = {"by": "me", "reason": "the vial is full"}
    assert service.resolve(ledger, ID, 1, "retry", **told) == "trial 1 is queued"
    state = fold(ledger.events(ID))
    assert (state.trials[1].state, state.trials[1].crashes) == (TrialState.QUEUED, 1)
    assert state.status == "running", "it no longer waits for a person"
    with pytest.raises(Unusable, match="trial 1 of 'scan-1' is not suspect"):
        service.resolve(ledger, ID, 1, "retry", **told)


def test_a_fault_is_cleared_and_cleared_anew_there_is_none(ledger: LossyLedger) -> None:
    lose_the_worker(ledger)
    for state in (InstrumentState.RECOVERING, InstrumentState.FAULT):
        ledger.recover(INSTRUMENT, WORKER, state, floor=0, ttl_s=30.0, reason="it smokes")
    said = service.clear_fault(ledger, INSTRUMENT, by="me", reason="a fuse")
    assert said.startswith("fault of stage cleared")
    assert fold(ledger.events(ID)).status == "running"
    with pytest.raises(Unusable, match="instrument 'stage' is in no fault: it is unknown"):
        service.clear_fault(ledger, INSTRUMENT, by="me", reason="a fuse")
