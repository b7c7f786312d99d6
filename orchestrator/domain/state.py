"""The state of a campaign is a fold over its events: the same events give the same state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from orchestrator.domain import events as ev
from orchestrator.domain.errors import IllegalTransition
from orchestrator.domain.trial import TERMINAL, Question, Trial, TrialState, check_transition


class CampaignStatus(StrEnum):
    """Where a campaign stands. Starred ones are the end.

    ::

        running ◄─► paused (person) | suspended (condition) | needs_person
           └─► finishing ─► done* | stopped* (person) | failed* | aborted* (person)
    """

    RUNNING = "running"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    NEEDS_PERSON = "needs_person"
    FINISHING = "finishing"
    DONE = "done"
    STOPPED = "stopped"
    ABORTED = "aborted"
    FAILED = "failed"


OVER = frozenset(
    {CampaignStatus.DONE, CampaignStatus.STOPPED, CampaignStatus.ABORTED, CampaignStatus.FAILED}
)

HELD = frozenset({CampaignStatus.PAUSED, CampaignStatus.SUSPENDED, CampaignStatus.NEEDS_PERSON})


@dataclass(frozen=True, slots=True)
class CampaignState:
    """All that is known about a campaign after the event ``last_id``."""

    campaign_id: str = ""
    instrument: str = ""
    mode: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict[str, Any])
    instrument_spec: Mapping[str, Any] = field(default_factory=dict[str, Any])
    status: CampaignStatus = CampaignStatus.RUNNING
    stop_reason: str | None = None
    ending: CampaignStatus | None = None
    """While finishing: the status it will end with."""
    waiting_for: str | None = None
    """While paused, suspended or waiting for a person: why."""
    held_by: str | None = None
    """While paused, suspended or waiting for a person: who ordered it."""
    trials: Mapping[int, Trial] = field(default_factory=dict[int, Trial])
    """By trial id, in the order of their first proposal."""
    live: Mapping[int, Trial] = field(default_factory=dict[int, Trial])
    """Those of them that are not terminal: few, however long the campaign is."""
    tally: Mapping[TrialState, int] = field(default_factory=dict[TrialState, int])
    """How many trials are in each state; a state that is missing has none."""
    measured: tuple[Trial, ...] = ()
    """The measured ones, in the order in which their outcomes arrived."""
    resumed_at: float | None = None
    """Time of the last going on after a hold, those for approvals left out; None before."""
    sample: str = ""
    """Parameter that names a trial's sample; empty without a list of samples."""
    samples: Mapping[str, int] = field(default_factory=dict[str, int])
    """Uses that each sample had at the opening; ``domain.samples`` says what is left."""
    step: int = 0
    """Trials up to this number start only when a person has approved them."""
    last_id: str = "0"
    corrected_id: str = "0"
    """The last event that corrected outcomes; 0 before."""
    opened_at: float | None = None
    ended_at: float | None = None
    changed_at: float | None = None
    """Time of the last event."""
    first_start: float | None = None
    """Time of the first start of any trial."""
    held_since: float | None = None
    """While paused, suspended or waiting for a person, a plan's question included: since when."""
    held_s: float = 0.0
    """Seconds so held since the first start, the present hold left out."""

    @property
    def is_over(self) -> bool:
        """True when nothing more will happen."""
        return self.status in OVER

    @property
    def next_trial(self) -> int:
        """Number of the next trial, from 1."""
        return len(self.trials) + 1

    def newest_first(self, since: int = 0) -> Iterator[Trial]:
        """The trials after the one of this number, from the newest on; 0 for all."""
        return (self.trials[number] for number in range(len(self.trials), since, -1))

    @property
    def asking(self) -> Trial | None:
        """The trial whose plan waits for a person's answer; None when none does."""
        return asking(self.live)

    @property
    def question(self) -> str | None:
        """Id of the question that a plan waits with; None when none does."""
        trial = self.asking
        return trial.question.question if trial and trial.question else None

    @property
    def awaits_approval(self) -> bool:
        """True when a person was called for no other reason than an approval."""
        return self.status is CampaignStatus.NEEDS_PERSON and self.held_by == STEP

    @property
    def to_approve(self) -> Trial | None:
        """The trial that a person must approve before anything starts; None when none must be.

        Only while the instrument has nothing else to do.
        """
        if self.is_over or self.count(*_UNDER_WAY):
            return None
        queued = self.in_state(TrialState.QUEUED)[:1]
        return queued[0] if queued and self.is_unapproved(queued[0].trial_id) else None

    def is_unapproved(self, trial_id: int) -> bool:
        """True for a trial that must not start before a person has approved it."""
        return trial_id <= self.step and self.trials[trial_id].approved_by is None

    def count(self, *states: TrialState) -> int:
        """How many trials are in one of these states."""
        return sum(self.tally.get(state, 0) for state in states)

    def counts(self) -> dict[str, int]:
        """How many trials are in each state, zeros included."""
        return {str(state): self.count(state) for state in TrialState}

    def in_state(self, *states: TrialState) -> list[Trial]:
        """The trials in one of these states, oldest first."""
        among = self.live if TERMINAL.isdisjoint(states) else self.trials
        return [trial for trial in among.values() if trial.state in states]


STEP = "step"
"""Who calls for a person when one of the first trials is to be approved."""
_UNDER_WAY = (TrialState.LEASED, TrialState.RUNNING, TrialState.SUSPECT)
_ALL = 2**31
"""More trials than there can be."""


def asking(live: Mapping[int, Trial]) -> Trial | None:
    """The one of these trials whose plan waits for a person's answer; None when none does."""
    return next((trial for trial in live.values() if trial.question is not None), None)


def fold(log: Iterable[ev.Event], state: CampaignState | None = None) -> CampaignState:
    """The state after these events, which follow those that gave ``state``.

    Raises:
        IllegalTransition: the log is not one that the ledger can have written.
    """
    before = state or CampaignState()
    trials: Trials | None = None
    changes: dict[str, Any] = {}
    for event in log:
        changes["last_id"] = event.id
        changes["changed_at"] = event.at
        if isinstance(event, ev.Remark):
            continue
        if isinstance(event, ev.TrialEvent):
            trials = trials or Trials.of(before)
            trials.take(event)
            if isinstance(event, ev.Started):
                first_start = changes.get("first_start", before.first_start)
                changes["first_start"] = event.at if first_start is None else first_start
            elif isinstance(event, ev.Corrected):
                changes["corrected_id"] = event.id
        else:
            now = {**_held_of(before), **changes}
            _check_order(event, now)
            if isinstance(event, ev.Resumed) and now["held_by"] != STEP:
                changes["resumed_at"] = event.at
            changes |= _campaign_changes(event)
        waits = asking(before.live if trials is None else trials.live) is not None
        changes |= _holding(event.at, {**_held_of(before), **changes}, waits)
    if trials is not None:
        changes |= {"trials": trials.by_id, "live": trials.live}
        changes |= {"tally": trials.tally, "measured": trials.measured}
    return replace(before, **changes) if changes else before


@dataclass(slots=True)
class Trials:
    """The trials of a campaign while events change them, one by one.

    What a long campaign is asked again and again is kept up with each event, so that nobody needs
    to look at all trials for it.
    """

    by_id: dict[int, Trial] = field(default_factory=dict[int, Trial])
    live: dict[int, Trial] = field(default_factory=dict[int, Trial])
    tally: dict[TrialState, int] = field(default_factory=dict[TrialState, int])
    measured: tuple[Trial, ...] = ()

    @classmethod
    def of(cls, state: CampaignState) -> Trials:
        """Those of a state, which stays as it is."""
        copies = (dict(state.trials), dict(state.live), dict(state.tally))
        return cls(*copies, state.measured)

    def take(self, event: ev.TrialEvent) -> Trial:
        """Let the event happen to its trial; gives the trial after it. Not for a late result.

        Raises:
            IllegalTransition: the ledger cannot have written this.
        """
        old = self.by_id.get(event.trial_id)
        trial = self.by_id[event.trial_id] = trial_after(event, self.by_id)
        if old is not None:
            self._leave(old)
        self.tally[trial.state] = self.tally.get(trial.state, 0) + 1
        if trial.state is TrialState.MEASURED:
            self.measured += (trial,)
        if trial.is_terminal:
            self.live.pop(trial.trial_id, None)
        else:
            self.live[trial.trial_id] = trial
        return trial

    def _leave(self, old: Trial) -> None:
        self.tally[old.state] -= 1
        if old.state is TrialState.MEASURED:
            self.measured = tuple(one for one in self.measured if one is not old)

    def count(self, *states: TrialState) -> int:
        """How many trials are in one of these states."""
        return sum(self.tally.get(state, 0) for state in states)


def _held_of(state: CampaignState) -> dict[str, Any]:
    names = ("status", "opened_at", "first_start", "held_by", "held_since", "held_s")
    return {name: getattr(state, name) for name in names}


def _check_order(event: ev.Event, now: Mapping[str, Any]) -> None:
    """Pass when the campaign's status lets this happen: what has ended stays so."""
    if isinstance(event, ev.Opened) and now["opened_at"] is not None:
        raise IllegalTransition(f"event {event.id} opens the campaign a second time")
    winding_down = isinstance(event, (ev.FinishRequested, ev.AbortRequested, ev.Ended))
    if isinstance(event, ev.CampaignEvent) and (
        now["status"] in OVER or (now["status"] is CampaignStatus.FINISHING and not winding_down)
    ):
        raise IllegalTransition(
            f"event {event.id} ({ev.type_of(event)}) comes when the campaign is {now['status']}"
        )


def _holding(at: float, now: Mapping[str, Any], waits: bool) -> dict[str, Any]:
    """How the held time changes at ``at``: held is who is paused, suspended, or waits for a person.

    ``waits`` tells whether a running plan does.
    """
    is_held = waits or now["status"] in HELD
    if is_held == (now["held_since"] is not None):
        return {}
    if is_held:
        return {"held_since": at}
    seconds = 0.0
    if now["first_start"] is not None:
        seconds = at - max(now["held_since"], now["first_start"])
    return {"held_since": None, "held_s": now["held_s"] + max(0.0, seconds)}


_FREE: Mapping[str, Any] = {"waiting_for": None, "held_by": None}


def _held(status: CampaignStatus, event: ev.CampaignEvent) -> dict[str, Any]:
    return {"status": status, "waiting_for": event.reason, "held_by": event.by}


def _campaign_changes(event: ev.Event) -> dict[str, Any]:
    match event:
        case ev.Opened():
            return {
                "campaign_id": event.campaign_id,
                "instrument": event.instrument,
                "mode": event.mode,
                "spec": event.spec,
                "instrument_spec": event.instrument_spec,
                "opened_at": event.at,
                "sample": event.sample,
                "samples": event.samples,
                "step": _ALL if event.step is True else event.step,
            }
        case ev.Stepped():
            return {"step": event.upto}
        case ev.Paused():
            return _held(CampaignStatus.PAUSED, event)
        case ev.Suspended():
            return _held(CampaignStatus.SUSPENDED, event)
        case ev.NeedsPerson():
            return _held(CampaignStatus.NEEDS_PERSON, event)
        case ev.Resumed():
            return {"status": CampaignStatus.RUNNING, **_FREE}
        case ev.FinishRequested():
            return {
                "status": CampaignStatus.FINISHING,
                "ending": CampaignStatus(event.ending),
                "stop_reason": event.reason,
                **_FREE,
            }
        case ev.AbortRequested():
            return {
                "status": CampaignStatus.FINISHING,
                "ending": CampaignStatus.ABORTED,
                "stop_reason": event.reason,
                **_FREE,
            }
        case ev.Ended():
            return {
                "status": CampaignStatus(event.status),
                "stop_reason": event.reason,
                "ended_at": event.at,
                **_FREE,
            }
        case _:
            return {}


def trial_after(event: ev.TrialEvent, trials: Mapping[int, Trial]) -> Trial:
    """The event's trial after it, from all trials before it. A late result is no such event.

    Raises:
        IllegalTransition: the ledger cannot have written this.
    """
    if isinstance(event, ev.Proposed):
        if event.trial_id != len(trials) + 1:
            raise IllegalTransition(
                f"event {event.id} proposes trial {event.trial_id} when {len(trials) + 1} is next"
            )
        return Trial(
            trial_id=event.trial_id,
            state=TrialState.QUEUED,
            proposed_at=event.at,
            **_proposal(event),
        )
    if event.trial_id not in trials:
        raise IllegalTransition(f"event {event.id}: trial {event.trial_id} was never proposed")
    old = trials[event.trial_id]
    if isinstance(event, ev.Corrected):
        return _corrected(event, old)
    if isinstance(event, (ev.Asked, ev.Answered)):
        return _questioned(event, old)
    if isinstance(event, ev.Superseded):
        if not old.is_revisable or event.revision != old.revision + 1:
            raise IllegalTransition(
                f"event {event.id} is revision {event.revision} of trial {old.trial_id}, "
                f"which is {old.state} at revision {old.revision} after {old.attempts} attempts"
            )
        return replace(old, revision=event.revision, approved_by=None, **_proposal(event))
    if isinstance(event, ev.Approved):
        return _approved(event, old)
    new = _CHANGES[type(event)](event, old)
    check_transition(old.trial_id, old.state, new.state)
    return new if new.question is None else replace(new, question=None)  # nobody waits any more


def _proposal(event: ev.Proposal) -> dict[str, Any]:
    """The fields that a trial takes over from its newest proposal."""
    names = (
        "parameters",
        "source",
        "basis",
        "seed",
        "details",
        "told",
        "suggestion_s",
        "asked_for",
    )
    return {name: getattr(event, name) for name in names}


def _leased(event: Any, old: Trial) -> Trial:
    return replace(old, state=TrialState.LEASED, worker=event.worker, fence=event.fence)


def _started(event: Any, old: Trial) -> Trial:
    return replace(
        old,
        state=TrialState.RUNNING,
        attempts=event.attempt,
        started_at=event.at,
        approved_by=None,
    )


def _approved(event: ev.Approved, old: Trial) -> Trial:
    if old.state is not TrialState.QUEUED or event.revision != old.revision:
        raise IllegalTransition(
            f"event {event.id} approves revision {event.revision} of trial {old.trial_id}, "
            f"which is {old.state} at revision {old.revision}"
        )
    return replace(old, approved_by=event.by)


def _lease_expired(event: Any, old: Trial) -> Trial:
    return replace(old, state=TrialState.SUSPECT if event.moved else TrialState.QUEUED)


def _failed(event: Any, old: Trial) -> Trial:
    crashes = old.crashes + int(event.crash)
    return replace(old, state=TrialState(event.then), reason=event.reason, crashes=crashes)


def _acquired(event: Any, old: Trial) -> Trial:
    return replace(
        old,
        state=TrialState.ACQUIRED,
        run_uid=event.run_uid,
        documents=event.documents,
        acquired_at=event.at,
    )


def _measured(event: Any, old: Trial) -> Trial:
    return replace(
        old, state=TrialState.MEASURED, outcomes=event.outcomes, measured_at=event.at, reason=None
    )


def _invalidated(event: Any, old: Trial) -> Trial:
    return replace(
        old,
        state=TrialState.INVALID,
        outcomes=event.outcomes,
        measured_at=event.at,
        reason=event.reason,
    )


def _corrected(event: ev.Corrected, old: Trial) -> Trial:
    if old.state is not TrialState.MEASURED:
        raise IllegalTransition(f"trial {old.trial_id} is {old.state}: nothing to correct")
    return replace(old, outcomes=event.outcomes)


def _questioned(event: ev.Asked | ev.Answered, old: Trial) -> Trial:
    if old.state is not TrialState.RUNNING:
        raise IllegalTransition(f"trial {old.trial_id} is {old.state}: no plan of it can ask")
    if isinstance(event, ev.Asked):
        return replace(old, question=Question(event.question, event.text, event.at))
    if old.question is None or old.question.question != event.question:
        raise IllegalTransition(f"event {event.id} answers {event.question!r}: not what is asked")
    return replace(old, question=None)


def _ended_as(state: TrialState) -> Callable[[Any, Trial], Trial]:
    return lambda event, old: replace(old, state=state, reason=event.reason)


_CHANGES: Mapping[type[ev.TrialEvent], Callable[[Any, Trial], Trial]] = {
    ev.Leased: _leased,
    ev.Started: _started,
    ev.LeaseExpired: _lease_expired,
    ev.Failed: _failed,
    ev.Acquired: _acquired,
    ev.Measured: _measured,
    ev.Invalidated: _invalidated,
    ev.Unreduced: _ended_as(TrialState.UNREDUCED),
    ev.Abandoned: _ended_as(TrialState.ABANDONED),
    ev.Cancelled: _ended_as(TrialState.CANCELLED),
}
