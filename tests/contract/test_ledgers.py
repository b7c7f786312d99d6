"""One suite over both ledgers: what it proves of the one in memory holds for the real one."""

import contextlib
import math
import platform
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.adapters.ledgers.embedded_server import LiveServer
from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.domain import events as ev
from orchestrator.domain.envelope import Envelope, Limit
from orchestrator.domain.errors import LeaseLost, LedgerError, LogWentBack
from orchestrator.domain.rules import MOST_GRANTS, TAKES_TRIALS
from orchestrator.domain.state import CampaignStatus, fold
from orchestrator.domain.trial import Outcome, Trial, TrialState
from orchestrator.ports import InstrumentState, Lease, Ledger

CAMPAIGN, INSTRUMENT, WORKER = "scan-1", "stage", "host-1-a"
ENVELOPE = Envelope(INSTRUMENT, {"x": Limit(0.0, 1.0, "mm")}, ("x <= 0.5",))
OUTCOMES = {"y": Outcome(1 / 3, 0.1, "V")}


@pytest.fixture
def opened(ledger: Ledger) -> Ledger:
    assert ledger.open_campaign(_opened())
    ledger.register(INSTRUMENT, WORKER, ENVELOPE)
    return ledger


def _opened(campaign_id: str = CAMPAIGN, opener: str = "me") -> ev.Opened:
    spec = {"budget": {"trials": 3}}
    return ev.Opened(
        campaign_id=campaign_id,
        instrument=INSTRUMENT,
        mode="twin",
        spec=spec,
        instrument_spec={"name": INSTRUMENT},
        opener=opener,
    )


def _proposed(trial_id: int, x: float = 0.25) -> ev.Proposed:
    return ev.Proposed(
        trial_id=trial_id, parameters={"x": x}, source="initial", basis="0", seed=trial_id
    )


def _acquire(ledger: Ledger, worker: str = WORKER, **changes: Any) -> Lease | None:
    terms = {"floor": 0, "ttl_s": 30.0, **changes}
    return ledger.acquire(CAMPAIGN, INSTRUMENT, worker, **terms)


def _leased(ledger: Ledger, trial_id: int = 1) -> Lease:
    assert ledger.propose(CAMPAIGN, _proposed(trial_id))
    lease = _acquire(ledger)
    assert lease is not None
    return lease


def _running(ledger: Ledger, trial_id: int = 1) -> Lease:
    lease = _leased(ledger, trial_id)
    ledger.start(lease)
    return lease


def _evidence(lease: Lease, attempt: int = 1) -> ev.Acquired:
    return ev.Acquired(
        trial_id=lease.trial_id, attempt=attempt, run_uid="u", documents="d", sha256="s"
    )


def _failed(
    lease: Lease, then: TrialState = TrialState.QUEUED, *, crash: bool = False
) -> ev.Failed:
    return ev.Failed(trial_id=lease.trial_id, reason="hang", message="", crash=crash, then=then)


def _trial(ledger: Ledger, trial_id: int = 1) -> Trial:
    return fold(ledger.events(CAMPAIGN)).trials[trial_id]


def test_a_campaign_is_opened_once(opened: Ledger) -> None:
    assert not opened.open_campaign(_opened(opener="somebody else"))
    assert opened.open_campaign(_opened()), "the same order sent again changes nothing"
    assert opened.campaigns() == [CAMPAIGN]
    assert opened.open_campaigns(INSTRUMENT) == [CAMPAIGN]
    assert fold(opened.events(CAMPAIGN)).spec == {"budget": {"trials": 3}}


def test_an_unknown_campaign_is_named(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="no campaign 'nowhere'"):
        ledger.events("nowhere")
    with pytest.raises(LedgerError, match="no campaign 'nowhere'"):
        ledger.status("nowhere")
    with pytest.raises(LedgerError, match="no campaign 'nowhere'"):
        ledger.propose("nowhere", _proposed(1))
    with pytest.raises(LedgerError, match="no campaign 'nowhere'"):
        ledger.acquire("nowhere", INSTRUMENT, WORKER, floor=0, ttl_s=30.0)


def test_one_trial_from_proposal_to_outcome(opened: Ledger) -> None:
    lease = _running(opened)
    assert lease == Lease(CAMPAIGN, INSTRUMENT, WORKER, 1, 1, 0, 0, _proposed(1, 0.25))
    opened.acquired(lease, _evidence(lease))
    assert opened.instrument(INSTRUMENT).state is InstrumentState.READY
    assert opened.settle(CAMPAIGN, ev.Measured(trial_id=1, outcomes=OUTCOMES))
    trial = _trial(opened)
    assert (trial.state, trial.outcomes) == (TrialState.MEASURED, OUTCOMES)
    assert trial.attempts == 1
    assert None not in (trial.proposed_at, trial.started_at, trial.measured_at)


@pytest.mark.parametrize("value", [0.1 + 0.2, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3])
def test_floats_survive_exactly(opened: Ledger, value: float) -> None:
    assert opened.propose(CAMPAIGN, _proposed(1, value))
    lease = _acquire(opened)
    assert lease is not None
    kept = [lease.parameters["x"], _trial(opened).parameters["x"]]
    assert [repr(one) for one in kept] == [repr(value)] * 2


def test_a_proposal_must_have_the_next_number(opened: Ledger) -> None:
    assert not opened.propose(CAMPAIGN, _proposed(2))
    assert opened.propose(CAMPAIGN, _proposed(1))
    assert opened.propose(CAMPAIGN, _proposed(1)), "the same proposal again changes nothing"
    assert not opened.propose(CAMPAIGN, _proposed(1, 0.3)), "the number is taken"
    assert len(fold(opened.events(CAMPAIGN)).trials) == 1


def test_what_waits_in_the_queue_may_get_better_parameters(opened: Ledger) -> None:
    for number in (1, 2):
        opened.propose(CAMPAIGN, _proposed(number))
    better = replace(_proposed(1, x=0.1 + 0.2), source="model", told=3)
    assert opened.supersede(CAMPAIGN, better, 1)
    assert opened.supersede(CAMPAIGN, better, 1), "sent again after a lost reply"
    assert not opened.supersede(CAMPAIGN, _proposed(1, x=0.5), 1), "somebody else was first"
    assert not opened.supersede(CAMPAIGN, _proposed(3), 1), "there is no such trial"
    trial = _trial(opened)
    assert (trial.revision, trial.source, trial.told) == (1, "model", 3)
    lease = _acquire(opened)
    assert lease is not None
    assert (lease.trial_id, lease.proposal) == (1, better), "it kept its place"
    assert [one.revision for one in opened.events(CAMPAIGN) if isinstance(one, ev.Superseded)] == [
        1
    ]


def test_a_trial_that_was_ever_started_keeps_its_parameters(opened: Ledger) -> None:
    opened.propose(CAMPAIGN, _proposed(1))
    lease = _acquire(opened)
    assert lease is not None
    assert not opened.supersede(CAMPAIGN, _proposed(1, x=0.5), 1), "it is leased"
    opened.start(lease)
    assert not opened.supersede(CAMPAIGN, _proposed(1, x=0.5), 1), "it is being measured"
    opened.fail(lease, _failed(lease), InstrumentState.READY)
    assert _trial(opened).state is TrialState.QUEUED
    assert not opened.supersede(CAMPAIGN, _proposed(1, x=0.5), 1), "it was begun at its own"
    assert _trial(opened).parameters == _proposed(1).parameters


def test_a_campaign_that_finishes_improves_nothing(opened: Ledger) -> None:
    opened.propose(CAMPAIGN, _proposed(1))
    finish = ev.FinishRequested(by="me", ending="stopped")
    assert opened.order(CAMPAIGN, finish, ["running"])
    assert not opened.supersede(CAMPAIGN, _proposed(1, x=0.5), 1)


def test_trials_are_leased_in_order_and_one_at_a_time(opened: Ledger) -> None:
    for number in (1, 2):
        assert opened.propose(CAMPAIGN, _proposed(number))
    first = _acquire(opened)
    assert first is not None
    assert _acquire(opened) == first, "the holder gets its own lease again"
    assert _acquire(opened, "host-2-b") is None, "nobody else gets one meanwhile"
    opened.start(first)
    opened.acquired(first, _evidence(first))
    second = _acquire(opened)
    assert second is not None
    assert (second.trial_id, second.fence) == (2, 2)


def test_nothing_is_leased_unless_all_is_ready(opened: Ledger) -> None:
    assert _acquire(opened) is None, "the queue is empty"
    opened.propose(CAMPAIGN, _proposed(1))
    assert opened.order(CAMPAIGN, ev.Paused(by="me"), ["running"])
    assert _acquire(opened) is None, "the campaign is paused"
    assert opened.order(CAMPAIGN, ev.Resumed(by="me"), ["paused"])
    assert _acquire(opened) is not None


def test_an_instrument_that_nobody_registered_is_not_leased(ledger: Ledger) -> None:
    ledger.open_campaign(_opened())
    ledger.propose(CAMPAIGN, _proposed(1))
    assert _acquire(ledger) is None


@pytest.mark.parametrize("ttl_s", [0.25, 30.0, 0.9])
def test_a_lease_lasts_as_long_as_was_asked_for(opened: Ledger, ttl_s: float) -> None:
    opened.propose(CAMPAIGN, _proposed(1))
    assert _acquire(opened, ttl_s=ttl_s) is not None
    until = opened.instrument(INSTRUMENT).until
    granted = opened.events(CAMPAIGN)[-1].at
    assert until == pytest.approx(granted + ttl_s, rel=0, abs=0.01)


def test_a_campaign_in_steps_leases_only_what_is_approved(ledger: Ledger) -> None:
    ledger.open_campaign(replace(_opened(), step=2))
    ledger.register(INSTRUMENT, WORKER, ENVELOPE)
    ledger.propose(CAMPAIGN, _proposed(1))
    ledger.propose(CAMPAIGN, _proposed(2))
    assert _acquire(ledger) is None
    approval = ev.Approved(trial_id=1, revision=0, by="ada")
    assert ledger.approve(CAMPAIGN, approval)
    assert ledger.approve(CAMPAIGN, replace(approval, by="bob")), "it is approved already"
    assert _trial(ledger).approved_by == "ada"
    lease = _acquire(ledger)
    assert lease is not None
    assert _acquire(ledger) == lease, "the lease that is held needs no second approval"
    ledger.start(lease)
    ledger.acquired(lease, _evidence(lease))
    assert _acquire(ledger) is None
    ledger.step(CAMPAIGN, ev.Stepped(upto=0, by="ada"))
    assert _acquire(ledger) is not None


def test_trials_after_the_first_ones_need_no_approval(ledger: Ledger) -> None:
    ledger.open_campaign(replace(_opened(), step=1))
    ledger.register(INSTRUMENT, WORKER, ENVELOPE)
    for number in (1, 2):
        ledger.propose(CAMPAIGN, _proposed(number))
    assert not ledger.approve(CAMPAIGN, ev.Approved(trial_id=2, revision=0, by="ada"))
    ledger.cancel(CAMPAIGN, 1, by="ada", reason="not this one")
    assert _acquire(ledger) is not None


@pytest.mark.parametrize("changed", ["failed", "superseded"])
def test_an_approval_is_for_one_attempt_with_these_parameters(ledger: Ledger, changed: str) -> None:
    ledger.open_campaign(replace(_opened(), step=1))
    ledger.register(INSTRUMENT, WORKER, ENVELOPE)
    ledger.propose(CAMPAIGN, _proposed(1))
    ledger.approve(CAMPAIGN, ev.Approved(trial_id=1, revision=0, by="ada"))
    if changed == "failed":
        lease = _acquire(ledger)
        assert lease is not None
        ledger.start(lease)
        ledger.fail(lease, _failed(lease), InstrumentState.READY)
    else:
        ledger.supersede(CAMPAIGN, replace(_proposed(1), seed=9), 1)
        assert not ledger.approve(CAMPAIGN, ev.Approved(trial_id=1, revision=0, by="ada"))
    assert _trial(ledger).approved_by is None
    assert _acquire(ledger) is None


def test_a_lease_that_moved_nothing_keeps_its_approval(ledger: Ledger) -> None:
    ledger.open_campaign(replace(_opened(), step=1))
    ledger.register(INSTRUMENT, WORKER, ENVELOPE)
    ledger.propose(CAMPAIGN, _proposed(1))
    ledger.approve(CAMPAIGN, ev.Approved(trial_id=1, revision=0, by="ada"))
    assert _acquire(ledger) is not None
    ledger.expire(INSTRUMENT, dead=WORKER)
    assert _acquire(ledger) is not None


def test_the_fence_stays_above_what_the_device_has_seen(opened: Ledger) -> None:
    opened.propose(CAMPAIGN, _proposed(1))
    lease = _acquire(opened, floor=41)
    assert lease is not None
    assert lease.fence == 42


def test_start_is_idempotent_and_counts_one_attempt(opened: Ledger) -> None:
    lease = _leased(opened)
    assert [opened.start(lease), opened.start(lease)] == [1, 1]
    assert _trial(opened).attempts == 1


def test_a_lease_that_is_over_moves_nothing(opened: Ledger) -> None:
    lease = _leased(opened)
    earlier = replace(lease, fence=lease.fence - 1)
    foreign = replace(lease, worker="drew the same fence before writes were lost")
    for stale in (earlier, foreign):
        with pytest.raises(LeaseLost):
            opened.start(stale)
        with pytest.raises(LeaseLost):
            opened.acquired(stale, _evidence(stale))
        with pytest.raises(LeaseLost):
            opened.fail(stale, _failed(stale), InstrumentState.READY)
    assert _trial(opened).state is TrialState.LEASED
    assert not opened.renew(INSTRUMENT, "somebody", lease.fence, 30)
    assert opened.renew(INSTRUMENT, WORKER, lease.fence, 30)


def test_a_trial_cannot_be_acquired_before_it_started(opened: Ledger) -> None:
    lease = _leased(opened)
    with pytest.raises(LeaseLost):
        opened.acquired(lease, _evidence(lease))


def test_a_failed_attempt_goes_to_the_front_of_the_queue(opened: Ledger) -> None:
    opened.propose(CAMPAIGN, _proposed(1))
    opened.propose(CAMPAIGN, _proposed(2))
    lease = _acquire(opened)
    assert lease is not None
    opened.start(lease)
    opened.fail(lease, _failed(lease), InstrumentState.READY)
    opened.fail(lease, _failed(lease), InstrumentState.READY)  # a lost reply, sent again
    again = _acquire(opened)
    assert again is not None
    assert (again.trial_id, again.attempts, again.crashes) == (1, 1, 0)
    assert opened.start(again) == 2
    opened.fail(again, _failed(again, TrialState.ABANDONED), InstrumentState.READY)
    assert _trial(opened).state is TrialState.ABANDONED
    following = _acquire(opened)
    assert following is not None
    assert following.trial_id == 2


def test_a_crash_is_counted_apart(opened: Ledger) -> None:
    lease = _running(opened)
    opened.fail(lease, _failed(lease, crash=True), InstrumentState.UNKNOWN)
    assert opened.instrument(INSTRUMENT).state is InstrumentState.UNKNOWN
    assert _acquire(opened) is None, "an unknown instrument takes nothing"
    opened.recover(INSTRUMENT, WORKER, InstrumentState.RECOVERING, floor=0, ttl_s=30, reason="")
    opened.recover(INSTRUMENT, WORKER, InstrumentState.READY, floor=0, ttl_s=30, reason="all still")
    again = _acquire(opened)
    assert again is not None
    assert (again.attempts, again.crashes) == (1, 1)
    assert again.fence > lease.fence + 1, "recovery has a fence of its own"


def test_terminal_states_absorb(opened: Ledger) -> None:
    lease = _running(opened)
    opened.acquired(lease, _evidence(lease))
    opened.acquired(lease, _evidence(lease))  # a lost reply, sent again
    assert opened.settle(CAMPAIGN, ev.Unreduced(trial_id=1, reason="reducer raised"))
    assert opened.settle(CAMPAIGN, ev.Measured(trial_id=1, outcomes=OUTCOMES))
    late = {"y": Outcome(9.0)}
    assert not opened.settle(CAMPAIGN, ev.Measured(trial_id=1, outcomes=late))
    assert not opened.settle(CAMPAIGN, ev.Invalidated(trial_id=1, outcomes=late, reason="late"))
    assert not opened.cancel(CAMPAIGN, 1, by="me", reason="late")
    with pytest.raises(LeaseLost):
        opened.fail(lease, _failed(lease), InstrumentState.READY)
    measured = [one for one in opened.events(CAMPAIGN) if isinstance(one, ev.Measured)]
    assert [one.outcomes for one in measured] == [OUTCOMES]


def test_the_newest_correction_of_a_measured_trial_counts(opened: Ledger) -> None:
    def corrected(mean: float, trial_id: int = 1) -> ev.Corrected:
        return ev.Corrected(
            trial_id=trial_id,
            outcomes={"y": Outcome(mean)},
            reducer="lab.reduce",
            reducer_sha256="abc",
            by="me",
            reason="the lamp",
        )

    lease = _running(opened)
    opened.acquired(lease, _evidence(lease))
    assert not opened.correct(CAMPAIGN, corrected(1.0)), "it is not measured yet"
    opened.settle(CAMPAIGN, ev.Measured(trial_id=1, outcomes=OUTCOMES))
    before = _trial(opened)
    for mean in (1 / 3, 1 / 3, 2.0, 1 / 3):
        assert opened.correct(CAMPAIGN, corrected(mean))
        assert _trial(opened) == replace(before, outcomes={"y": Outcome(mean)})
    assert not opened.correct(CAMPAIGN, corrected(1.0, trial_id=2))
    found = [one for one in opened.events(CAMPAIGN) if isinstance(one, ev.Corrected)]
    assert [one.outcomes["y"].mean for one in found] == [1 / 3, 2.0, 1 / 3], "sent twice, once"
    assert replace(found[-1], id="", at=0.0) == corrected(1 / 3)


def test_an_invalid_trial_is_not_corrected(opened: Ledger) -> None:
    lease = _running(opened)
    opened.acquired(lease, _evidence(lease))
    opened.settle(CAMPAIGN, ev.Invalidated(trial_id=1, outcomes=OUTCOMES, reason="dim"))
    event = ev.Corrected(
        trial_id=1, outcomes=OUTCOMES, reducer="lab.reduce", reducer_sha256="", by="me"
    )
    assert not opened.correct(CAMPAIGN, event)
    assert _trial(opened).state is TrialState.INVALID


def test_a_lease_ends_with_its_holder(opened: Ledger) -> None:
    _leased(opened)
    assert not opened.expire(INSTRUMENT, dead="somebody else")
    assert not opened.expire(INSTRUMENT), "its time is not over"
    assert opened.expire(INSTRUMENT, dead=WORKER)
    trial = _trial(opened)
    assert (trial.state, trial.attempts) == (TrialState.QUEUED, 0), "nothing moved: a free retry"
    assert opened.instrument(INSTRUMENT).state is InstrumentState.READY


def test_a_trial_that_had_started_becomes_suspect(opened: Ledger) -> None:
    lease = _running(opened)
    assert opened.expire(INSTRUMENT, dead=WORKER)
    assert not opened.expire(INSTRUMENT, dead=WORKER)
    assert _trial(opened).state is TrialState.SUSPECT
    assert opened.instrument(INSTRUMENT).state is InstrumentState.UNKNOWN
    with pytest.raises(LeaseLost):
        opened.acquired(lease, _evidence(lease))


def test_only_leases_without_a_start_wear_a_trial_out(opened: Ledger) -> None:
    """Its attempts are counted by the policy; this is for workers that die before they start."""
    opened.propose(CAMPAIGN, _proposed(1))
    for _ in range(MOST_GRANTS + 2):
        lease = _acquire(opened)
        assert lease is not None
        opened.start(lease)
        opened.fail(lease, _failed(lease), InstrumentState.READY)
    for _ in range(MOST_GRANTS):
        assert _acquire(opened) is not None
        opened.expire(INSTRUMENT, dead=WORKER)
    assert _acquire(opened) is None
    assert _trial(opened).state is TrialState.ABANDONED


@pytest.mark.parametrize("found", [True, False])
def test_evidence_decides_a_suspect_trial(opened: Ledger, found: bool) -> None:
    lease = _running(opened)
    opened.expire(INSTRUMENT, dead=WORKER)
    event = replace(_evidence(lease), salvaged=True) if found else _failed(lease, crash=True)
    assert opened.resolve(CAMPAIGN, event)
    assert opened.resolve(CAMPAIGN, event), "sent again after a lost reply"
    other = _failed(lease, TrialState.ABANDONED, crash=True)
    assert not opened.resolve(CAMPAIGN, other), "it is decided"
    trial = _trial(opened)
    assert trial.state is (TrialState.ACQUIRED if found else TrialState.QUEUED)
    assert trial.crashes == int(not found)


def test_a_trial_that_is_suspect_anew_is_decided_anew(opened: Ledger) -> None:
    lease = _running(opened)
    for crashes in (1, 2):
        opened.expire(INSTRUMENT, dead=WORKER)
        _recover(opened, WORKER)
        opened.recover(INSTRUMENT, WORKER, InstrumentState.READY, floor=0, ttl_s=30, reason="")
        assert opened.resolve(CAMPAIGN, _failed(lease, crash=True)), "the same words both times"
        trial = _trial(opened)
        assert (trial.state, trial.crashes) == (TrialState.QUEUED, crashes)
        again = _acquire(opened)
        assert again is not None
        opened.start(again)
        assert opened.resolve(CAMPAIGN, _failed(lease, crash=True)), "a late resend"
        assert _trial(opened).state is TrialState.RUNNING, "and it changed nothing"


def test_an_instrument_recovers_only_from_where_it_can(opened: Ledger) -> None:
    with pytest.raises(LeaseLost):
        opened.recover(INSTRUMENT, WORKER, InstrumentState.RECOVERING, floor=0, ttl_s=30, reason="")
    _running(opened)
    opened.expire(INSTRUMENT, dead=WORKER)
    with pytest.raises(LeaseLost):
        opened.recover(INSTRUMENT, WORKER, InstrumentState.READY, floor=0, ttl_s=30, reason="")
    record = opened.recover(
        INSTRUMENT, "b", InstrumentState.RECOVERING, floor=7, ttl_s=30, reason=""
    )
    assert (record.state, record.fence, record.holder) == (InstrumentState.RECOVERING, 8, "b")


def _unknown(ledger: Ledger) -> Lease:
    lease = _running(ledger)
    ledger.expire(INSTRUMENT, dead=WORKER)
    return lease


def _recover(
    ledger: Ledger, worker: str, state: InstrumentState = InstrumentState.RECOVERING, **terms: Any
) -> Any:
    terms = {"floor": 0, "ttl_s": 30, "reason": "", **terms}
    return ledger.recover(INSTRUMENT, worker, state, **terms)


def test_only_one_worker_recovers_an_instrument(opened: Ledger) -> None:
    _unknown(opened)
    record = _recover(opened, "b")
    assert _recover(opened, "b").fence == record.fence, "sent again after a lost reply"
    with pytest.raises(LeaseLost, match="b recovers it"):
        _recover(opened, "c")
    with pytest.raises(LeaseLost, match="b recovers it"):
        _recover(opened, "c", InstrumentState.READY)
    assert opened.renew(INSTRUMENT, "b", record.fence, 30)
    assert _recover(opened, "b", InstrumentState.READY).state is InstrumentState.READY


@pytest.mark.parametrize("terms", [{"dead": "b"}, {"ttl_s": -10}])
def test_a_recovery_passes_to_another_worker_when_its_own_is_gone(
    opened: Ledger, terms: dict[str, Any]
) -> None:
    """Either that worker is known to have died, or its time is over."""
    _unknown(opened)
    first = _recover(opened, "b", **({"ttl_s": -10} if "ttl_s" in terms else {}))
    second = _recover(opened, "c", **({"dead": "b"} if "dead" in terms else {}))
    assert (second.holder, second.fence) == ("c", first.fence + 1)
    assert not opened.renew(INSTRUMENT, "b", first.fence, 30)
    with pytest.raises(LeaseLost):
        _recover(opened, "b", InstrumentState.READY)


def test_a_worn_out_trial_gives_way_to_the_next_one(opened: Ledger) -> None:
    """In one step: sent again after a lost reply, it must not lease what it did not before."""
    opened.propose(CAMPAIGN, _proposed(1))
    opened.propose(CAMPAIGN, _proposed(2))
    for _ in range(MOST_GRANTS):
        assert _acquire(opened) is not None
        assert opened.expire(INSTRUMENT, dead=WORKER)
    lease = _acquire(opened)
    assert lease is not None
    assert lease.trial_id == 2
    assert _acquire(opened) == lease
    assert _trial(opened).state is TrialState.ABANDONED


def test_an_expiry_meant_for_one_campaign_leaves_another_alone(
    server: LiveServer, lab_name: str
) -> None:
    """Whoever ends a lease looks first which campaign it is for; it may be another one since."""
    with contextlib.closing(RedisLedger(server.url, lab=lab_name)) as ledger:
        ledger.register(INSTRUMENT, WORKER, ENVELOPE)
        for name in (CAMPAIGN, "scan-2"):
            ledger.open_campaign(_opened(name))
            ledger.propose(name, _proposed(1))
        lease = _running(ledger, 2)  # trial 1 is first in the queue
        seen = ledger.instrument(INSTRUMENT)
        ledger.fail(lease, _failed(lease), InstrumentState.READY)
        assert ledger.acquire("scan-2", INSTRUMENT, WORKER, floor=0, ttl_s=-1.0) is not None
        known = [ledger.events(name) for name in (CAMPAIGN, "scan-2")]
        ledger.instrument = lambda _: seen  # type: ignore[method-assign]
        assert not ledger.expire(INSTRUMENT)
        assert [ledger.events(name) for name in (CAMPAIGN, "scan-2")] == known


def test_a_sign_of_life_tells_until_when(opened: Ledger) -> None:
    lease = _running(opened)
    before = opened.instrument(INSTRUMENT)
    assert opened.renew(INSTRUMENT, WORKER, lease.fence, 60, 1_900_000_000.5)
    after = opened.instrument(INSTRUMENT)
    assert after.until > before.until
    assert after.deadline == 1_900_000_000.5
    assert not opened.renew(INSTRUMENT, WORKER, lease.fence + 1, 60)
    assert not opened.renew(INSTRUMENT, "other", lease.fence, 60)
    opened.acquired(lease, _evidence(lease))
    free = opened.instrument(INSTRUMENT)
    assert (free.until, free.seen, free.deadline) == (None, None, None)
    assert not opened.renew(INSTRUMENT, WORKER, lease.fence, 60)


def test_a_remark_is_written_down_once_and_changes_nothing(opened: Ledger) -> None:
    _unknown(opened)
    late = ev.LateResult(trial_id=1, attempt=1, run_uid="u", documents="runs/1.jsonl")
    unknown = replace(late, trial_id=7, run_uid="v")
    noted = ev.Noted(by="me", text="the pump sounded odd", key="w")
    for remark in (late, late, unknown, noted, noted):  # a lost reply, sent again
        opened.remark(CAMPAIGN, remark)
    found = [one for one in opened.events(CAMPAIGN) if isinstance(one, ev.Remark)]
    assert [one.key for one in found] == ["u", "w"]
    assert _trial(opened).state is TrialState.SUSPECT
    with pytest.raises(LedgerError):
        opened.remark("nobody", noted)


def test_what_is_sent_twice_is_written_once(opened: Ledger) -> None:
    """Also where the state that an operation leads to is one that it may begin in."""
    lease = _running(opened)
    opened.acquired(lease, _evidence(lease))
    order = ev.NeedsPerson(by="worker", reason="look")
    unreduced = ev.Unreduced(trial_id=1, reason="raised")
    for _ in range(2):
        assert opened.order(CAMPAIGN, order, TAKES_TRIALS)
        assert opened.settle(CAMPAIGN, unreduced)
    assert opened.settle(CAMPAIGN, replace(unreduced, reason="raised otherwise"))
    assert opened.order(CAMPAIGN, ev.Resumed(by="me"), ["needs_person"])
    assert opened.order(CAMPAIGN, order, TAKES_TRIALS), "asked anew"
    counts = Counter(map(ev.type_of, opened.events(CAMPAIGN)))
    assert (counts["unreduced"], counts["needs_person"]) == (2, 2)


def test_orders_compare_the_status_first(opened: Ledger) -> None:
    running = [CampaignStatus.RUNNING]
    assert opened.order(CAMPAIGN, ev.Paused(by="me", reason="lunch"), running)
    assert not opened.order(CAMPAIGN, ev.Paused(by="you"), running), "it is paused already"
    assert opened.status(CAMPAIGN) == "paused"
    state = fold(opened.events(CAMPAIGN))
    assert (state.status, state.waiting_for) == (CampaignStatus.PAUSED, "lunch")


ORDERS = [
    (ev.Paused(by="me"), "paused"),
    (ev.Suspended(by="condition", reason="9 bar"), "suspended"),
    (ev.NeedsPerson(by="worker", reason="look"), "needs_person"),
    (ev.FinishRequested(by="me", ending="stopped"), "finishing"),
    (ev.AbortRequested(by="me", halt=False), "aborting"),
]


@pytest.mark.parametrize(("order", "status"), ORDERS)
def test_an_order_sent_again_after_a_lost_reply_is_answered_like_the_first(
    opened: Ledger, order: ev.CampaignEvent, status: str
) -> None:
    assert opened.order(CAMPAIGN, order, ["running"])
    log = opened.events(CAMPAIGN)
    assert opened.order(CAMPAIGN, order, ["running"]), "it finds the status that it made"
    assert (opened.status(CAMPAIGN), opened.events(CAMPAIGN)) == (status, log)


def test_an_order_to_finish_sent_again_may_find_the_campaign_over(opened: Ledger) -> None:
    order = ev.FinishRequested(by="me", ending="stopped")
    assert opened.order(CAMPAIGN, order, ["running"])
    ended = ev.Ended(by="campaign", status="stopped")
    assert opened.end(CAMPAIGN, ended, opened.events(CAMPAIGN)[-1].id)
    assert opened.order(CAMPAIGN, order, ["running"])
    assert not opened.order(CAMPAIGN, replace(order, by="you"), ["running"]), "it is over"
    assert opened.status(CAMPAIGN) == "stopped"


@pytest.mark.parametrize(
    ("order", "status"),
    [
        (ev.FinishRequested(by="me", ending="stopped"), "finishing"),
        (ev.AbortRequested(by="me", halt=False), "aborting"),
        (ev.AbortRequested(by="me", halt=True), "halting"),
    ],
)
def test_a_finishing_campaign_takes_and_starts_nothing(
    opened: Ledger, order: ev.CampaignEvent, status: str
) -> None:
    opened.propose(CAMPAIGN, _proposed(1))
    assert opened.order(CAMPAIGN, order, ["running"])
    assert opened.status(CAMPAIGN) == status
    assert not opened.propose(CAMPAIGN, _proposed(2))
    assert _acquire(opened) is None
    assert opened.cancel(CAMPAIGN, 1, by="campaign", reason="finishing")
    assert not opened.cancel(CAMPAIGN, 1, by="campaign", reason="finishing")
    assert _trial(opened).state is TrialState.CANCELLED


def test_a_campaign_ends_only_on_the_newest_state(opened: Ledger) -> None:
    known = fold(opened.events(CAMPAIGN)).last_id
    opened.propose(CAMPAIGN, _proposed(1))
    ended = ev.Ended(by="campaign", reason="budget", status="done")
    assert not opened.end(CAMPAIGN, ended, known), "something happened meanwhile"
    assert opened.end(CAMPAIGN, ended, fold(opened.events(CAMPAIGN)).last_id)
    assert opened.open_campaigns(INSTRUMENT) == []
    assert opened.campaigns() == [CAMPAIGN]
    assert opened.status(CAMPAIGN) == "done"


def test_the_envelope_is_published_with_the_instrument(opened: Ledger) -> None:
    published = opened.instrument(INSTRUMENT).envelope
    assert published == ENVELOPE
    assert published is not None
    assert published.digest == ENVELOPE.digest


def test_events_come_after_the_one_that_is_known(opened: Ledger) -> None:
    first = opened.events(CAMPAIGN)
    opened.propose(CAMPAIGN, _proposed(1))
    news = opened.events(CAMPAIGN, first[-1].id)
    assert [ev.type_of(event) for event in news] == ["proposed"]
    opened.wait({CAMPAIGN: first[-1].id}, 5.0)  # returns at once: there is news


def test_processes_come_and_go(ledger: Ledger) -> None:
    ledger.set_process(12, {"role": "worker", "instrument": "stage", "started": 1.5})
    assert ledger.processes() == {12: {"role": "worker", "instrument": "stage", "started": 1.5}}
    ledger.set_process(12, None)
    assert ledger.processes() == {}


def test_two_hosts_may_use_the_same_pid(
    server: LiveServer, lab_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = RedisLedger(server.url, lab=lab_name)
    for host in ("north", "south"):
        monkeypatch.setattr(platform, "node", lambda host=host: host)
        ledger.set_process(12, {"role": "worker", "instrument": host, "started": 1.5})
    assert ledger.processes()[12]["instrument"] == "south"
    monkeypatch.setattr(platform, "node", lambda: "north")
    assert ledger.processes()[12]["instrument"] == "north"
    ledger.close()


def test_one_at_a_time_may_send_a_notice(ledger: Ledger) -> None:
    assert ledger.claim_notice("scan-1/7-0/over/email", "one", 30.0)
    assert not ledger.claim_notice("scan-1/7-0/over/email", "two", 30.0)
    assert ledger.claim_notice("scan-1/7-0/over/email", "one", 30.0), "its owner prolongs it"
    assert ledger.claim_notice("scan-1/7-0/over/webhook", "two", 30.0), "another notice is free"
    assert not ledger.is_confirmed("scan-1/7-0/over/email"), "claimed is not sent"


def test_a_confirmed_notice_is_never_sent_again(ledger: Ledger) -> None:
    ledger.claim_notice("key", "one", 0.01)
    ledger.confirm_notice("key")
    ledger.confirm_notice("key")
    assert ledger.is_confirmed("key")
    assert not ledger.claim_notice("key", "one", 30.0)
    assert not ledger.claim_notice("key", "two", 30.0)


def test_the_claim_of_a_dead_notifier_ends_by_itself(
    ledger: Ledger, request: pytest.FixtureRequest
) -> None:
    assert ledger.claim_notice("key", "dead", 3.0)
    assert not ledger.claim_notice("key", "heir", 30.0)
    told: Any = request.getfixturevalue("clock")
    give_up = time.monotonic() + 30.0
    while not ledger.claim_notice("key", "heir", 30.0):
        assert time.monotonic() < give_up
        told.sleep(0.05)  # the ledger in memory goes by this clock, the real one by its own
        time.sleep(0.01)
    assert not ledger.claim_notice("key", "dead", 30.0)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(mean=st.floats(allow_nan=False, allow_infinity=False))
def test_outcomes_survive_exactly(lab_name: str, server: Any, mean: float) -> None:
    ledger = RedisLedger(server.url, lab=f"{lab_name}{mean.hex().strip('-')}", patience_s=5)
    try:
        ledger.open_campaign(_opened())
        ledger.register(INSTRUMENT, WORKER, ENVELOPE)
        lease = _running(ledger) if not ledger.events(CAMPAIGN)[1:] else None
        if lease is None:
            return
        ledger.acquired(lease, _evidence(lease))
        ledger.settle(CAMPAIGN, ev.Measured(trial_id=1, outcomes={"y": Outcome(mean)}))
        kept = _trial(ledger).outcomes["y"].mean
        assert math.copysign(1, kept) == math.copysign(1, mean)
        assert kept == mean
    finally:
        ledger.close()


def test_a_log_that_went_back_says_so(opened: Ledger) -> None:
    opened.propose(CAMPAIGN, _proposed(1))
    *_, last = opened.events(CAMPAIGN)
    assert opened.events(CAMPAIGN, last.id) == []
    number, _, sequence = last.id.partition("-")
    for gone in (f"{int(number) + 5}-{sequence}", f"{int(number) - 1}-{int(sequence) + 7}"):
        with pytest.raises(LogWentBack, match=f"event {gone} of campaign '{CAMPAIGN}' is gone"):
            opened.events(CAMPAIGN, gone)


def test_staff_clear_a_fault_and_the_instrument_is_observed_anew(opened: Ledger) -> None:
    assert not opened.clear_fault(INSTRUMENT, "looked"), "there is none"
    _unknown(opened)
    terms: dict[str, Any] = {"floor": 0, "ttl_s": 30.0, "reason": "it smokes"}
    for state in (InstrumentState.RECOVERING, InstrumentState.FAULT):
        opened.recover(INSTRUMENT, WORKER, state, **terms)
    assert opened.instrument(INSTRUMENT).reason == "it smokes"
    assert _acquire(opened) is None
    with pytest.raises(LeaseLost):
        opened.recover(INSTRUMENT, WORKER, InstrumentState.RECOVERING, **terms)
    for _ in range(2):
        assert opened.clear_fault(INSTRUMENT, "me: a fuse"), "sent again after a lost reply"
        assert opened.instrument(INSTRUMENT).state is InstrumentState.UNKNOWN
    assert not opened.clear_fault(INSTRUMENT, "you: a fuse"), "there is none any more"
    changes = [e for e in opened.events(CAMPAIGN) if isinstance(e, ev.InstrumentChanged)]
    assert (changes[-1].state, changes[-1].reason) == ("unknown", "me: a fuse")
    for state in (InstrumentState.RECOVERING, InstrumentState.READY):
        opened.recover(INSTRUMENT, WORKER, state, **terms)


def test_a_ready_instrument_is_recovered_only_when_the_log_went_back(opened: Ledger) -> None:
    fence = opened.instrument(INSTRUMENT).fence
    terms: dict[str, Any] = {"ttl_s": 30.0, "reason": "x"}
    with pytest.raises(LeaseLost, match="instrument is ready"):
        opened.recover(INSTRUMENT, WORKER, InstrumentState.RECOVERING, floor=fence, **terms)
    record = opened.recover(
        INSTRUMENT, WORKER, InstrumentState.RECOVERING, floor=fence + 4, **terms
    )
    assert (record.state, record.fence) == (InstrumentState.RECOVERING, fence + 5)


def test_many_who_order_the_same_at_once_order_it_once(opened: Ledger) -> None:
    together = threading.Barrier(10)

    def pause(number: int) -> bool:
        together.wait()
        return opened.order(CAMPAIGN, ev.Paused(by=f"person {number}"), [CampaignStatus.RUNNING])

    with ThreadPoolExecutor(10) as people:
        assert sum(people.map(pause, range(10))) == 1
    assert sum(isinstance(event, ev.Paused) for event in opened.events(CAMPAIGN)) == 1


def test_what_is_too_large_for_the_log_is_refused_before_it_is_written(opened: Ledger) -> None:
    lease = _running(opened)
    opened.acquired(lease, _evidence(lease))
    many = {f"outcome_{number}": Outcome(1.0) for number in range(20_000)}
    before = opened.events(CAMPAIGN)
    with pytest.raises(LedgerError, match="too large for the log, which takes 262144"):
        opened.settle(CAMPAIGN, ev.Measured(trial_id=1, outcomes=many))
    note = ev.Noted(by="me", text="x" * 300_000, key="k")
    with pytest.raises(LedgerError, match="event 'noted' of 3000.. characters"):
        opened.remark(CAMPAIGN, note)
    assert opened.events(CAMPAIGN) == before
