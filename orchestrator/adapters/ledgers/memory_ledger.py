"""The ledger in memory, for tests and simulation: the rules of ``ledger.lua`` in Python.

It passes the same conformance suite as the Redis adapter. Nothing survives the process.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from orchestrator.domain import events as ev
from orchestrator.domain.chain import CHAIN, Entry, Head, StoredCampaign, link
from orchestrator.domain.envelope import Envelope
from orchestrator.domain.errors import LeaseLost, LedgerError
from orchestrator.domain.rules import (
    MOST_GRANTS,
    TAKES_TRIALS,
    urgency_of,
)
from orchestrator.domain.samples import USED_UP, left
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.trial import Trial, TrialState
from orchestrator.ports import Clock, InstrumentRecord, InstrumentState, Lease

_PROPOSAL = [one.name for one in fields(ev.Proposal) if one.name not in ("id", "at")]


@dataclass
class _Campaign:
    instrument: str
    log: list[ev.Event] = field(default_factory=list[ev.Event])
    entries: list[Entry] = field(default_factory=list[Entry])
    """The same, as a server would keep it."""
    head: Head = Head()
    state: CampaignState = CampaignState()
    queue: list[int] = field(default_factory=list[int])
    proposals: dict[int, ev.Proposed] = field(default_factory=dict[int, ev.Proposed])
    grants: dict[int, int] = field(default_factory=dict[int, int])
    failed: dict[int, int] = field(default_factory=dict[int, int])
    corrected: dict[int, ev.Corrected] = field(default_factory=dict[int, ev.Corrected])
    asked: dict[int, str] = field(default_factory=dict[int, str])
    """The newest question of a trial's running attempt."""
    answers: dict[int, ev.Answered] = field(default_factory=dict[int, ev.Answered])
    """The answer to it."""
    answered: dict[int, ev.Answered] = field(default_factory=dict[int, ev.Answered])
    """The last answer of any attempt."""
    resolved: dict[int, ev.Acquired | ev.Failed] = field(
        default_factory=dict[int, ev.Acquired | ev.Failed]
    )
    ordered: ev.CampaignEvent | None = None


class MemoryLedger:
    """ports.Ledger without a server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._campaigns: dict[str, _Campaign] = {}
        self._instruments: dict[str, InstrumentRecord] = {}
        self._cleared: dict[str, str] = {}
        self._processes: dict[int, dict[str, Any]] = {}
        self._claims: dict[str, tuple[str, float]] = {}
        self._confirmed: set[str] = set()
        self._changed = threading.Condition(threading.RLock())

    # Campaigns and their log

    def open_campaign(self, opened: ev.Opened) -> bool:
        """See ports.Ledger."""
        with self._changed:
            known = self._campaigns.get(opened.campaign_id)
            if known is not None:
                return replace(known.log[0], id="", at=0.0) == opened
            self._campaigns[opened.campaign_id] = _Campaign(opened.instrument)
            self._append(self._campaigns[opened.campaign_id], opened)
            return True

    def campaigns(self) -> list[str]:
        """See ports.Ledger."""
        return list(self._campaigns)

    def open_campaigns(self, instrument: str) -> list[str]:
        """See ports.Ledger."""
        return [
            name
            for name, campaign in self._campaigns.items()
            if campaign.instrument == instrument and not campaign.state.is_over
        ]

    def events(self, campaign_id: str, after: str = "0") -> list[ev.Event]:
        """See ports.Ledger."""
        log = self._get(campaign_id).log
        start = 0 if after == "0" else int(after.split("-")[0]) - 1
        return list(log) if after == "0" else ev.after_known(log[start:], campaign_id, after)

    def stored(self, campaign_id: str) -> StoredCampaign:
        """See ports.Ledger."""
        with self._changed:
            campaign = self._get(campaign_id)
            trials = {number: str(one.state) for number, one in campaign.state.trials.items()}
            status = str(campaign.state.status)
            return StoredCampaign(list(campaign.entries), campaign.head, status, trials)

    def wait(self, cursors: Mapping[str, str], timeout_s: float) -> None:
        """See ports.Ledger."""
        with self._changed:
            self._changed.wait_for(
                lambda: any(self.events(name, after) for name, after in cursors.items()), timeout_s
            )

    def _get(self, campaign_id: str) -> _Campaign:
        if campaign_id not in self._campaigns:
            raise LedgerError(f"there is no campaign {campaign_id!r}; 'labwright list' shows all")
        return self._campaigns[campaign_id]

    def _append(self, campaign: _Campaign, event: ev.Event) -> None:
        stored = replace(event, id=f"{len(campaign.log) + 1}-0", at=self._clock.now())
        fields = ev.to_fields(stored)  # refuses what a log would refuse
        campaign.state = fold([stored], campaign.state)
        campaign.log.append(stored)
        chain = link(campaign.head, fields)
        campaign.entries.append(Entry(stored.id, {**fields, CHAIN: chain}))
        campaign.head = Head(stored.id, chain)
        self._changed.notify_all()

    # Trials

    def propose(self, campaign_id: str, proposed: ev.Proposed) -> bool:
        """See ports.Ledger."""
        with self._changed:
            campaign = self._get(campaign_id)
            if campaign.state.status not in TAKES_TRIALS:
                return False
            if campaign.proposals.get(proposed.trial_id) == proposed:
                return True
            if proposed.trial_id != campaign.state.next_trial:
                return False
            campaign.proposals[proposed.trial_id] = proposed
            campaign.queue.append(proposed.trial_id)
            self._append(campaign, proposed)
            return True

    def supersede(self, campaign_id: str, proposed: ev.Proposed, revision: int) -> bool:
        """See ports.Ledger."""
        with self._changed:
            campaign, number = self._get(campaign_id), proposed.trial_id
            trial = campaign.state.trials.get(number)
            if trial is None:
                return False
            if (campaign.proposals[number], trial.revision) == (proposed, revision):
                return True
            if campaign.state.status not in TAKES_TRIALS or not trial.is_revisable:
                return False
            if revision != trial.revision + 1:
                return False
            campaign.proposals[number] = proposed
            told = {name: getattr(proposed, name) for name in _PROPOSAL}
            self._append(campaign, ev.Superseded(revision=revision, **told))
            return True

    def acquire(
        self, campaign_id: str, instrument: str, worker: str, *, floor: int, ttl_s: float
    ) -> Lease | None:
        """See ports.Ledger."""
        with self._changed:
            campaign, record = self._get(campaign_id), self.instrument(instrument)
            held = (record.state, record.holder, record.campaign_id)
            if held == (InstrumentState.LEASED, worker, campaign_id) and record.trial_id:
                trial = campaign.state.trials[record.trial_id]
                return self._lease(campaign_id, instrument, trial)
            if instrument not in self._instruments:
                return None  # nobody has registered it: it is not known to be ready
            if record.state is not InstrumentState.READY or campaign.state.status != "running":
                return None
            if not campaign.queue or campaign.state.is_unapproved(campaign.queue[0]):
                return None
            trial = campaign.state.trials[campaign.queue.pop(0)]
            if campaign.grants.get(trial.trial_id, 0) - trial.attempts >= MOST_GRANTS:
                reason = f"leased {MOST_GRANTS} times without a start"
                self._append(campaign, ev.Abandoned(trial_id=trial.trial_id, reason=reason))
                return self.acquire(campaign_id, instrument, worker, floor=floor, ttl_s=ttl_s)
            sample = str(trial.parameters.get(campaign.state.sample))
            if left(campaign.state).get(sample, 1) < 1:
                reason = USED_UP.format(sample)
                self._append(campaign, ev.Abandoned(trial_id=trial.trial_id, reason=reason))
                return self.acquire(campaign_id, instrument, worker, floor=floor, ttl_s=ttl_s)
            campaign.grants[trial.trial_id] = campaign.grants.get(trial.trial_id, 0) + 1
            fence = max(record.fence, floor) + 1
            self._instruments[instrument] = replace(
                record,
                state=InstrumentState.LEASED,
                holder=worker,
                fence=fence,
                campaign_id=campaign_id,
                trial_id=trial.trial_id,
                until=self._clock.now() + ttl_s,
                seen=self._clock.now(),
                deadline=None,
            )
            self._append(campaign, ev.Leased(trial_id=trial.trial_id, worker=worker, fence=fence))
            return self._lease(campaign_id, instrument, trial)

    def _lease(self, campaign_id: str, instrument: str, trial: Trial) -> Lease:
        record = self.instrument(instrument)
        return Lease(
            campaign_id=campaign_id,
            instrument=instrument,
            worker=record.holder or "",
            trial_id=trial.trial_id,
            fence=record.fence,
            attempts=trial.attempts,
            crashes=trial.crashes,
            proposal=self._get(campaign_id).proposals[trial.trial_id],
        )

    def _leased(self, lease: Lease) -> tuple[_Campaign, Trial]:
        campaign = self._get(lease.campaign_id)
        trial = campaign.state.trials.get(lease.trial_id)
        if trial is None:
            raise LeaseLost(f"there is no trial {lease.trial_id} in {lease.campaign_id}")
        return campaign, trial

    def _held(self, lease: Lease) -> tuple[_Campaign, Trial]:
        campaign, trial = self._leased(lease)
        record = self.instrument(lease.instrument)
        if record.state is not InstrumentState.LEASED or not (
            record.fence == trial.fence == lease.fence and record.holder == lease.worker
        ):
            raise LeaseLost(f"lease of trial {lease.trial_id} on {lease.instrument} is over")
        return campaign, trial

    def start(self, lease: Lease) -> int:
        """See ports.Ledger."""
        with self._changed:
            campaign, trial = self._held(lease)
            if trial.state is TrialState.RUNNING:
                return trial.attempts
            if trial.state is not TrialState.LEASED:
                raise LeaseLost(f"trial {lease.trial_id} is {trial.state}")
            attempt = trial.attempts + 1
            started = ev.Started(trial_id=lease.trial_id, attempt=attempt, fence=lease.fence)
            campaign.asked.pop(lease.trial_id, None)
            campaign.answers.pop(lease.trial_id, None)
            self._append(campaign, started)
            return attempt

    def ask(self, lease: Lease, asked: ev.Asked) -> str | None:
        """See ports.Ledger."""
        with self._changed:
            campaign, trial = self._held(lease)
            if trial.state is not TrialState.RUNNING:
                raise LeaseLost(f"trial {lease.trial_id} is {trial.state}")
            if campaign.asked.get(lease.trial_id) != asked.question:
                campaign.asked[lease.trial_id] = asked.question
                campaign.answers.pop(lease.trial_id, None)
                self._append(campaign, asked)
            answer = campaign.answers.get(lease.trial_id)
            return None if answer is None else answer.text

    def answer(self, campaign_id: str, answered: ev.Answered) -> bool:
        """See ports.Ledger."""
        with self._changed:
            campaign, number = self._get(campaign_id), answered.trial_id
            if campaign.answered.get(number) == answered:
                return True
            trial = campaign.state.trials.get(number)
            if trial is None or trial.question is None:
                return False
            if trial.question.question != answered.question:
                return False
            campaign.answers[number] = campaign.answered[number] = answered
            self._append(campaign, answered)
            return True

    def renew(
        self,
        instrument: str,
        worker: str,
        fence: int,
        ttl_s: float,
        deadline: float | None = None,
    ) -> bool:
        """See ports.Ledger."""
        with self._changed:
            record, now = self.instrument(instrument), self._clock.now()
            held = record.state in (InstrumentState.LEASED, InstrumentState.RECOVERING)
            if not held or (record.holder, record.fence) != (worker, fence):
                return False
            self._instruments[instrument] = replace(
                record,
                until=now + ttl_s,
                seen=now,
                deadline=record.deadline if deadline is None else deadline,
            )
            return True

    def acquired(self, lease: Lease, acquired: ev.Acquired) -> None:
        """See ports.Ledger."""
        with self._changed:
            _, trial = self._leased(lease)
            done = ("acquired", "unreduced", "measured", "invalid")
            if trial.fence == lease.fence and trial.state in done:
                return
            campaign, trial = self._held(lease)
            if trial.state is not TrialState.RUNNING:
                raise LeaseLost(f"trial {lease.trial_id} is {trial.state}")
            self._append(campaign, acquired)
            self._leave(lease.instrument, InstrumentState.READY)

    def _leave(self, instrument: str, state: InstrumentState) -> None:
        record = self.instrument(instrument)
        self._instruments[instrument] = replace(
            record, state=state, until=None, seen=None, deadline=None
        )

    def remark(self, campaign_id: str, remark: ev.Remark) -> None:
        """See ports.Ledger."""
        with self._changed:
            campaign = self._get(campaign_id)
            if isinstance(remark, ev.LateResult) and remark.trial_id not in campaign.state.trials:
                return
            if not any(isinstance(e, ev.Remark) and e.key == remark.key for e in campaign.log):
                self._append(campaign, remark)

    def fail(self, lease: Lease, failed: ev.Failed, instrument: InstrumentState) -> None:
        """See ports.Ledger."""
        with self._changed:
            if self._get(lease.campaign_id).failed.get(lease.trial_id) == lease.fence:
                return
            campaign, trial = self._held(lease)
            if trial.state not in (TrialState.LEASED, TrialState.RUNNING):
                raise LeaseLost(f"trial {lease.trial_id} is {trial.state}")
            campaign.failed[lease.trial_id] = lease.fence
            self._place(campaign, failed)
            self._append(campaign, failed)
            self._leave(lease.instrument, instrument)
            if instrument is not InstrumentState.READY:
                self._append(campaign, ev.InstrumentChanged(state=instrument))

    def _place(self, campaign: _Campaign, event: ev.Failed | ev.Acquired) -> None:
        if isinstance(event, ev.Failed) and event.then == TrialState.QUEUED:
            campaign.queue.insert(0, event.trial_id)

    def settle(self, campaign_id: str, event: ev.Measured | ev.Invalidated | ev.Unreduced) -> bool:
        """See ports.Ledger."""
        with self._changed:
            campaign = self._get(campaign_id)
            trial = campaign.state.trials.get(event.trial_id)
            if trial is None or trial.state not in (TrialState.ACQUIRED, TrialState.UNREDUCED):
                return False
            if isinstance(event, ev.Unreduced) and trial.state is TrialState.UNREDUCED:
                if trial.reason == event.reason:
                    return True
            self._append(campaign, event)
            return True

    def correct(self, campaign_id: str, event: ev.Corrected) -> bool:
        """See ports.Ledger."""
        with self._changed:
            campaign = self._get(campaign_id)
            trial = campaign.state.trials.get(event.trial_id)
            if trial is None or trial.state is not TrialState.MEASURED:
                return False
            if campaign.corrected.get(event.trial_id) != event:
                campaign.corrected[event.trial_id] = event
                self._append(campaign, event)
            return True

    def cancel(self, campaign_id: str, trial_id: int, *, by: str, reason: str) -> bool:
        """See ports.Ledger."""
        with self._changed:
            campaign = self._get(campaign_id)
            trial = campaign.state.trials.get(trial_id)
            if trial is None or trial.state not in (TrialState.QUEUED, TrialState.SUSPECT):
                return False
            campaign.queue = [waiting for waiting in campaign.queue if waiting != trial_id]
            self._append(campaign, ev.Cancelled(trial_id=trial_id, by=by, reason=reason))
            return True

    def resolve(self, campaign_id: str, event: ev.Acquired | ev.Failed) -> bool:
        """See ports.Ledger."""
        with self._changed:
            campaign = self._get(campaign_id)
            trial = campaign.state.trials.get(event.trial_id)
            if trial is None or trial.state is not TrialState.SUSPECT:
                return campaign.resolved.get(event.trial_id) == event
            campaign.resolved[event.trial_id] = event
            self._place(campaign, event)
            self._append(campaign, event)
            return True

    # Orders

    def order(self, campaign_id: str, event: ev.CampaignEvent, expected: Sequence[str]) -> bool:
        """See ports.Ledger."""
        with self._changed:
            campaign = self._get(campaign_id)
            if event == campaign.ordered:
                return True
            if campaign.state.status not in expected:
                return False
            campaign.ordered = event
            self._append(campaign, event)
            return True

    def status(self, campaign_id: str) -> str:
        """See ports.Ledger."""
        campaign = self._get(campaign_id)
        status, ordered = campaign.state.status, campaign.ordered
        return urgency_of(ordered) if ordered and status == "finishing" else str(status)

    def end(self, campaign_id: str, event: ev.Ended, last_id: str) -> bool:
        """See ports.Ledger."""
        with self._changed:
            campaign = self._get(campaign_id)
            if campaign.state.is_over or campaign.state.last_id != last_id:
                return False
            self._append(campaign, event)
            return True

    def step(self, campaign_id: str, stepped: ev.Stepped) -> None:
        """See ports.Ledger."""
        with self._changed:
            campaign = self._get(campaign_id)
            if campaign.state.step != stepped.upto:
                self._append(campaign, stepped)

    def approve(self, campaign_id: str, approved: ev.Approved) -> bool:
        """See ports.Ledger."""
        with self._changed:
            campaign, number = self._get(campaign_id), approved.trial_id
            trial = campaign.state.trials.get(number)
            if trial is None or trial.state is not TrialState.QUEUED:
                return False
            if trial.revision != approved.revision or number > campaign.state.step:
                return False
            if trial.approved_by is None:
                self._append(campaign, approved)
            return True

    # Instruments and processes

    def register(self, instrument: str, worker: str, envelope: Envelope) -> InstrumentRecord:
        """See ports.Ledger."""
        with self._changed:
            record = replace(self.instrument(instrument), envelope=envelope)
            self._instruments[instrument] = record
            return record

    def instrument(self, instrument: str) -> InstrumentRecord:
        """See ports.Ledger."""
        return self._instruments.get(instrument, InstrumentRecord(InstrumentState.READY))

    def expire(self, instrument: str, dead: str | None = None) -> bool:
        """See ports.Ledger."""
        with self._changed:
            record = self.instrument(instrument)
            if record.state is not InstrumentState.LEASED or not record.campaign_id:
                return False
            late = record.until is not None and record.until < self._clock.now()
            if not (dead == record.holder if dead else late):
                return False
            campaign = self._get(record.campaign_id)
            trial = campaign.state.trials[record.trial_id or 0]
            moved = trial.state is TrialState.RUNNING
            if not moved:
                campaign.queue.insert(0, trial.trial_id)
            holder = record.holder or ""
            expired = ev.LeaseExpired(trial_id=trial.trial_id, worker=holder, moved=moved)
            self._append(campaign, expired)
            self._leave(instrument, InstrumentState.UNKNOWN if moved else InstrumentState.READY)
            if moved:
                reason = "its worker died"
                self._append(campaign, ev.InstrumentChanged(state="unknown", reason=reason))
            return True

    def recover(
        self,
        instrument: str,
        worker: str,
        state: InstrumentState,
        *,
        floor: int,
        ttl_s: float,
        reason: str,
        dead: str | None = None,
    ) -> InstrumentRecord:
        """See ports.Ledger."""
        with self._changed:
            record, now = self.instrument(instrument), self._clock.now()
            if (record.state, record.holder) == (state, worker):
                return record
            begins = state is InstrumentState.RECOVERING
            went_back = begins and record.state is InstrumentState.READY and floor > record.fence
            if not went_back:
                self._check_recoverable(instrument, worker, begins, dead)
            changed = replace(
                record,
                state=state,
                holder=worker,
                fence=max(record.fence, floor) + 1 if begins else record.fence,
                until=now + ttl_s if begins else None,
                seen=now if begins else None,
                deadline=None,
                reason=reason,
            )
            self._instruments[instrument] = changed
            if record.campaign_id:
                event = ev.InstrumentChanged(state=state, reason=reason)
                self._append(self._get(record.campaign_id), event)
            return changed

    def _check_recoverable(
        self, instrument: str, worker: str, begins: bool, dead: str | None
    ) -> None:
        record = self.instrument(instrument)
        expected = [InstrumentState.RECOVERING, *([InstrumentState.UNKNOWN] if begins else [])]
        if record.state not in expected:
            raise LeaseLost(f"recover on {instrument}: instrument is {record.state}")
        is_over = record.until is None or record.until < self._clock.now()
        foreign = record.state is InstrumentState.RECOVERING and record.holder != worker
        if foreign and not (begins and (record.holder == dead or is_over)):
            raise LeaseLost(f"recover on {instrument}: {record.holder} recovers it")

    def clear_fault(self, instrument: str, reason: str) -> bool:
        """See ports.Ledger."""
        with self._changed:
            record = self.instrument(instrument)
            if record.state is not InstrumentState.FAULT:
                return self._cleared.get(instrument) == reason
            self._cleared[instrument] = reason
            changed = replace(record, state=InstrumentState.UNKNOWN, reason=reason)
            self._instruments[instrument] = changed
            if record.campaign_id:
                event = ev.InstrumentChanged(state=InstrumentState.UNKNOWN, reason=reason)
                self._append(self._get(record.campaign_id), event)
            return True

    def check(self) -> None:
        """See ports.Ledger."""

    def set_process(self, pid: int, about: Mapping[str, Any] | None) -> None:
        """See ports.Ledger."""
        if about is None:
            self._processes.pop(pid, None)
        else:
            self._processes[pid] = dict(about)

    def processes(self) -> dict[int, dict[str, Any]]:
        """See ports.Ledger."""
        return dict(self._processes)

    def claim_notice(self, key: str, by: str, ttl_s: float) -> bool:
        """See ports.Ledger."""
        with self._changed:
            now = self._clock.now()
            holder, until = self._claims.get(key, (by, now))
            if holder != by and until > now:
                return False
            self._claims[key] = (by, now + ttl_s)
            return key not in self._confirmed

    def confirm_notice(self, key: str) -> None:
        """See ports.Ledger."""
        with self._changed:
            self._confirmed.add(key)

    def is_confirmed(self, key: str) -> bool:
        """See ports.Ledger."""
        with self._changed:
            return key in self._confirmed
