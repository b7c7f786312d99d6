"""What a ledger may do, told from its events alone: a second opinion beside its own code.

The audit follows the events of every campaign on one instrument, says where each trial and the
instrument must stand, and fails on an event that may not happen.
"""

from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from orchestrator.domain import chain
from orchestrator.domain import events as ev
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.trial import TERMINAL, TrialState
from orchestrator.ports import InstrumentRecord
from tests.contract.ledger_rigs import INSTRUMENT, StoredCampaign

INSTRUMENT_ARROWS = {
    "ready": {"unknown", "fault", "recovering"},  # but for the last, only as a lease ends
    "leased": set[str](),
    "unknown": {"recovering"},
    "recovering": {"recovering", "ready", "fault"},
    "fault": {"unknown"},
}
"""Where an instrument may go by ``instrument_changed``."""

_ON_THE_INSTRUMENT = (TrialState.LEASED, TrialState.RUNNING)


class Grant(NamedTuple):
    """The lease that an instrument is under."""

    campaign_id: str
    trial_id: int
    fence: int
    worker: str


@dataclass
class CampaignAudit:
    """One campaign, as its events tell it."""

    log: list[ev.Event] = field(default_factory=list[ev.Event])
    state: CampaignState = CampaignState()
    """Folded piece by piece, as the events came."""
    queue: list[int] = field(default_factory=list[int])
    grants: Counter[int] = field(default_factory=Counter[int])
    """Leases of a trial so far."""
    results: Counter[int] = field(default_factory=Counter[int])
    ended: dict[int, TrialState] = field(default_factory=dict[int, TrialState])
    """The terminal state that a trial reached first."""

    def fork(self) -> "CampaignAudit":
        """A copy that goes on by itself."""
        own = {name: copy(getattr(self, name)) for name in ("log", "queue", "grants", "results")}
        return replace(self, **own, ended=self.ended.copy())

    def check(self, stored: StoredCampaign, most_grants: int) -> None:
        """What is stored is the fold of the events, and each trial is where it must be."""
        state = self.state
        assert (stored.status, stored.next_trial) == (state.status, state.next_trial)
        assert stored.step == state.step
        spent = Counter(
            self.state.trials[one.trial_id].parameters.get(state.sample)
            for one in self.log
            if isinstance(one, ev.Started)
        )
        for sample, uses in state.samples.items():
            assert stored.left[sample] == uses - spent[sample] >= 0, f"{sample}: {stored.left}"
        assert list(stored.queue) == self.queue, f"queue {stored.queue}, events say {self.queue}"
        queued = [trial.trial_id for trial in state.in_state(TrialState.QUEUED)]
        assert sorted(stored.queue) == queued, f"{queued} are queued, the queue is {stored.queue}"
        assert stored.trials.keys() == state.trials.keys()
        for number, trial in state.trials.items():
            kept = stored.trials[number]
            told = (trial.state, trial.attempts, trial.crashes, trial.fence, trial.revision)
            found = (kept.state, kept.attempts, kept.crashes, kept.fence, kept.revision)
            assert found == told, f"trial {number} is stored as {found}, events say {told}"
            asked = trial.question.question if trial.question else None
            assert kept.question == asked, f"trial {number} asks {kept.question}, not {asked}"
            is_approved = trial.approved_by is not None
            assert kept.is_approved == is_approved, f"trial {number}: {kept.is_approved}"
            assert kept.grants == self.grants[number], f"trial {number}: {kept.grants} leases"
            idle = kept.grants - kept.attempts
            assert 0 <= idle <= most_grants, f"trial {number}: {idle} leases without a start"
            assert self.results[number] <= 1, f"trial {number} has two results"
            assert self.ended.get(number, trial.state) == trial.state, (
                f"trial {number} left its end"
            )

    def check_fold(self, log: Sequence[ev.Event]) -> None:
        """The whole log gives the same state at once, in two pieces cut anywhere, and in steps."""
        assert list(log) == self.log, "the log changed behind its end"
        assert fold(log) == self.state
        for cut in range(len(log)):
            assert fold(log[cut:], fold(log[:cut])) == self.state, f"cut before event {cut}"

    def check_chain(self, stored: chain.StoredCampaign) -> None:
        """The entries are those events, each chained to the one before it, up to the head."""
        assert [ev.from_fields(one.id, one.fields) for one in stored.entries] == self.log
        assert not list(chain.breaks(stored))
        assert (stored.head.id, stored.status) == (self.state.last_id, self.state.status)
        trials = {number: trial.state for number, trial in self.state.trials.items()}
        assert stored.trials == trials


@dataclass
class Audit:
    """All campaigns of one instrument, as their events tell them."""

    campaigns: dict[str, CampaignAudit] = field(default_factory=dict[str, CampaignAudit])
    instrument: str = "ready"
    grant: Grant | None = None
    fence: int = 0
    """The highest fence that was drawn."""
    _just_ended: bool = False
    """A lease ended in the events being taken."""

    def fork(self) -> "Audit":
        """A copy that goes on by itself."""
        return replace(self, campaigns={name: one.fork() for name, one in self.campaigns.items()})

    def take(self, campaign_id: str, news: Sequence[ev.Event]) -> None:
        """Follow the events that one operation appended.

        Raises:
            AssertionError: one of them may not happen here.
            IllegalTransition: the trial has no such arrow.
        """
        campaign = self.campaigns.setdefault(campaign_id, CampaignAudit())
        self._just_ended = False
        for event in news:
            if isinstance(event, ev.TrialEvent):
                self._follow_trial(campaign_id, campaign, event)
            elif isinstance(event, ev.InstrumentChanged):
                self._change(event.state)
            campaign.state = fold([event], campaign.state)
            campaign.log.append(event)
            if isinstance(event, ev.TrialEvent):
                _note_end(campaign, event)

    def draw(self, fence: int) -> None:
        """A fence was given out."""
        assert fence > self.fence, f"fence {fence} came after {self.fence}"
        self.fence = fence

    def check(self, record: InstrumentRecord) -> None:
        """The instrument stands where the events say; no trial is under way anywhere else."""
        assert record.state == self.instrument, f"{record.state}, events say {self.instrument}"
        assert record.fence == self.fence, f"fence {record.fence}, {self.fence} was drawn last"
        is_held = record.state in ("leased", "recovering")
        assert is_held == (record.until is not None), f"{record.state} until {record.until}"
        under_way = {
            (name, trial.trial_id)
            for name, campaign in self.campaigns.items()
            for trial in campaign.state.in_state(*_ON_THE_INSTRUMENT)
        }
        if self.grant is None:
            assert not under_way, f"{under_way} are under way on an instrument that is not leased"
            return
        assert under_way == {self.grant[:2]}, f"{under_way} are under way under {self.grant}"
        found = (record.campaign_id, record.trial_id, record.fence, record.holder)
        assert found == self.grant, f"leased to {found}, events say {self.grant}"

    def _follow_trial(self, name: str, campaign: CampaignAudit, event: ev.TrialEvent) -> None:
        number, old = event.trial_id, campaign.state.trials.get(event.trial_id)
        match event:
            case ev.Leased():
                assert self.instrument == "ready", f"leased while it is {self.instrument}"
                self.draw(event.fence)
                self.instrument = "leased"
                self.grant = Grant(name, number, event.fence, event.worker)
            case ev.Started():
                self._is_under(name, number, event.fence)
                assert old is not None
                assert event.attempt == old.attempts + 1, "an attempt's number was not the next"
            case ev.LeaseExpired():
                assert old is not None
                assert event.moved == (old.state is TrialState.RUNNING), f"moved: {event.moved}"
                self._end_lease(name, number)
            case ev.Failed() | ev.Acquired() if old and old.state in _ON_THE_INSTRUMENT:
                self._end_lease(name, number)
            case ev.Asked() | ev.Answered():
                self._is_under(name, number)
            case _:
                pass
        _follow_queue(campaign, event)

    def _is_under(self, name: str, number: int, fence: int | None = None) -> None:
        assert self.instrument == "leased", f"trial {number}, instrument {self.instrument}"
        assert self.grant is not None
        assert self.grant[:2] == (name, number), f"trial {number} of {name} under {self.grant}"
        assert fence in (None, self.grant.fence), f"fence {fence} under {self.grant}"

    def _end_lease(self, name: str, number: int) -> None:
        self._is_under(name, number)
        self.instrument, self.grant, self._just_ended = "ready", None, True

    def _change(self, state: str) -> None:
        assert state in INSTRUMENT_ARROWS[self.instrument], (
            f"{INSTRUMENT} {self.instrument} {state}"
        )
        is_due = self._just_ended or state == "recovering"
        assert self.instrument != "ready" or is_due, f"{state} out of the blue"
        self.instrument = state


def _follow_queue(campaign: CampaignAudit, event: ev.TrialEvent) -> None:
    number, queue = event.trial_id, campaign.queue
    match event:
        case ev.Proposed():
            queue.append(number)
        case ev.Leased():
            assert queue[:1] == [number], f"trial {number} is not first of {queue}"
            queue.pop(0)
            campaign.grants[number] += 1
        case ev.LeaseExpired(moved=False) | ev.Failed(then=TrialState.QUEUED):
            queue.insert(0, number)
        case ev.Cancelled() | ev.Abandoned() if number in queue:
            queue.remove(number)
        case _:
            pass


def _note_end(campaign: CampaignAudit, event: ev.TrialEvent) -> None:
    campaign.results[event.trial_id] += isinstance(event, (ev.Measured, ev.Invalidated))
    state = campaign.state.trials[event.trial_id].state
    if state in TERMINAL:
        campaign.ended.setdefault(event.trial_id, state)
