"""What the flow needs from the world. Each docstring here is a contract that adapters keep.

An adapter is one technology; ``tests/contract`` runs one suite over all adapters of a port.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.domain.events import (
    Acquired,
    Answered,
    Approved,
    Asked,
    CampaignEvent,
    Corrected,
    Ended,
    Event,
    Failed,
    Invalidated,
    Measured,
    Opened,
    Proposed,
    Remark,
    Stepped,
    Unreduced,
)
from orchestrator.domain.trial import Outcome, ParameterValue

if TYPE_CHECKING:
    from orchestrator.domain.chain import StoredCampaign
    from orchestrator.domain.envelope import Envelope
    from orchestrator.domain.notices import Notice
    from orchestrator.domain.proposal import Knowledge, Suggestion
    from orchestrator.domain.spec import CampaignSpec, InstrumentSpec


class InstrumentState(StrEnum):
    """Where an instrument stands.

    ::

        ready ─► leased ─► ready
                    └─► unknown ─► recovering ─► ready | fault (only staff clear it)
    """

    READY = "ready"
    LEASED = "leased"
    UNKNOWN = "unknown"
    RECOVERING = "recovering"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to drive one instrument for one trial."""

    campaign_id: str
    instrument: str
    worker: str
    trial_id: int
    fence: int
    """Grows with every lease of the instrument and never repeats."""
    attempts: int
    """How often the trial was started before."""
    crashes: int
    proposal: Proposed

    @property
    def parameters(self) -> Mapping[str, ParameterValue]:
        """The settings of the trial."""
        return self.proposal.parameters


@dataclass(frozen=True, slots=True)
class Result:
    """What an attempt delivered, with all that a log which has lost it must be told again."""

    proposal: Proposed
    acquired: Acquired
    fence: int
    """Under which it was measured: unique among all attempts on the instrument, for ever."""


@dataclass(frozen=True, slots=True)
class InstrumentRecord:
    """What the ledger knows of an instrument."""

    state: InstrumentState
    holder: str | None = None
    """Worker that holds or recovers it."""
    fence: int = 0
    campaign_id: str | None = None
    trial_id: int | None = None
    until: float | None = None
    """Unix time at which the lease or recovery ends unless it is renewed; None when not held."""
    seen: float | None = None
    """Unix time of the holder's last sign of life; None when not held."""
    deadline: float | None = None
    """Unix time by which the holder means to be done; None when it has not said."""
    envelope: Envelope | None = None
    """The envelope as the worker published it; None before any worker has started."""
    reason: str = ""


class Ledger(Protocol):
    """The durable truth: an append-only log of events for each campaign.

    Every operation is one atomic step: it checks, changes state and appends its event, or does
    nothing. Every operation may be sent again after a lost reply: the second time changes
    nothing. Operations on an unknown campaign raise LedgerError;
    all raise LedgerUnavailable when the server does not answer for the adapter's patience.
    """

    def open_campaign(self, opened: Opened) -> bool:
        """Open a campaign; False, and no change, when its id exists already."""
        ...

    def campaigns(self) -> list[str]:
        """Ids of all campaigns, oldest first."""
        ...

    def open_campaigns(self, instrument: str) -> list[str]:
        """Ids of the instrument's campaigns that are not over, oldest first."""
        ...

    def events(self, campaign_id: str, after: str = "0") -> list[Event]:
        """The events after this id, oldest first; empty when there are none.

        Raises:
            LogWentBack: the event of this id is gone, so the log has lost its newest events.
        """
        ...

    def stored(self, campaign_id: str) -> StoredCampaign:
        """The campaign as it is kept, entries unread and state unfolded: what a check needs.

        Each entry is chained to the one before it, as ``domain.chain`` says.
        """
        ...

    def wait(self, cursors: Mapping[str, str], timeout_s: float) -> None:
        """Return as soon as one of the campaigns has an event after its id, or at the timeout."""
        ...

    def propose(self, campaign_id: str, proposed: Proposed) -> bool:
        """Make the proposal the trial ``proposed.trial_id`` and put it last in the queue.

        False, and no change, when that is not the next number, or the campaign takes no more
        trials (it is finishing or over).
        """
        ...

    def supersede(self, campaign_id: str, proposed: Proposed, revision: int) -> bool:
        """Replace the parameters of a trial that waits in the queue; it keeps its place there.

        ``revision`` counts the replacements of this trial from 1. False, and no change, when the
        trial is leased or was ever started, when that is not the next revision, or when the
        campaign is finishing or over.
        """
        ...

    def acquire(
        self, campaign_id: str, instrument: str, worker: str, *, floor: int, ttl_s: float
    ) -> Lease | None:
        """Lease the instrument for the first queued trial; None when there is nothing to do.

        The fence is above all earlier ones and above ``floor``. A worker that already holds a
        lease gets the same one again. None unless the instrument is ready, the campaign is
        running and a trial is queued, which is approved if it has to be. A trial whose sample has
        no use left is abandoned, and the next one taken: each start spends one.
        """
        ...

    def start(self, lease: Lease) -> int:
        """Record that motion is about to begin; gives the attempt's number, from 1.

        Raises:
            LeaseLost: the lease is no longer this worker's.
        """
        ...

    def ask(self, lease: Lease, asked: Asked) -> str | None:
        """Record that the plan waits for a person, once for each ``asked.question``.

        Gives the answer; None while there is none: ask again. A further question of the attempt
        takes the place of the one before it.

        Raises:
            LeaseLost: the lease is no longer this worker's, or its trial is not running.
        """
        ...

    def answer(self, campaign_id: str, answered: Answered) -> bool:
        """Record a person's answer to the question that a running plan waits with.

        False, and no change, when that question does not wait; the last answer, sent again, is
        True and changes nothing.
        """
        ...

    def renew(
        self,
        instrument: str,
        worker: str,
        fence: int,
        ttl_s: float,
        deadline: float | None = None,
    ) -> bool:
        """Prolong a lease or a recovery to ``ttl_s`` from now; False when it is not this worker's.

        ``deadline`` (Unix time) is by when the worker means to be done; None leaves it as it is.
        """
        ...

    def acquired(self, lease: Lease, acquired: Acquired) -> None:
        """Record that the documents are safe, and end the lease.

        Raises:
            LeaseLost: the lease is no longer this worker's.
        """
        ...

    def remark(self, campaign_id: str, remark: Remark) -> None:
        """Write something down for people, once for each ``remark.key``; nothing else changes.

        A late result of a trial that does not exist is left out.
        """
        ...

    def fail(self, lease: Lease, failed: Failed, instrument: InstrumentState) -> None:
        """Record a failed attempt; the trial goes to ``failed.then``, the instrument as given.

        A retried trial goes to the front of the queue.

        Raises:
            LeaseLost: the lease is no longer this worker's.
        """
        ...

    def settle(self, campaign_id: str, event: Measured | Invalidated | Unreduced) -> bool:
        """Record Measured, Invalidated or Unreduced for an acquired or unreduced trial.

        False, and no change, when the trial is already terminal.
        """
        ...

    def correct(self, campaign_id: str, event: Corrected) -> bool:
        """Record other outcomes of a measured trial, which count from now on; its state stays.

        False, and no change, when the trial is not measured.
        """
        ...

    def cancel(self, campaign_id: str, trial_id: int, *, by: str, reason: str) -> bool:
        """Withdraw a queued or suspect trial; False when it is in another state."""
        ...

    def order(self, campaign_id: str, event: CampaignEvent, expected: Sequence[str]) -> bool:
        """Record an order or a change of status; False unless the status is one of ``expected``.

        The last order, sent again, is True whatever the status, and changes nothing.
        """
        ...

    def step(self, campaign_id: str, stepped: Stepped) -> None:
        """Lease trials up to number ``stepped.upto`` only when a person has approved them.

        A campaign begins with what ``Opened.step`` says. The same number again changes nothing.
        """
        ...

    def approve(self, campaign_id: str, approved: Approved) -> bool:
        """Let a queued trial start once, with the parameters of this revision.

        False, and no change, when it is not queued with that revision, or needs no approval. True,
        and no change, when it is approved already. A start, and other parameters, use it up.
        """
        ...

    def status(self, campaign_id: str) -> str:
        """The campaign's status, read fresh and without patience.

        ``finishing`` reads ``aborting`` after an order to abort, ``halting`` after one to halt.
        """
        ...

    def end(self, campaign_id: str, event: Ended, last_id: str) -> bool:
        """Record Ended; False when the log has grown beyond ``last_id``."""
        ...

    def register(self, instrument: str, worker: str, envelope: Envelope) -> InstrumentRecord:
        """Publish who works on the instrument and its envelope; a new instrument is ready."""
        ...

    def instrument(self, instrument: str) -> InstrumentRecord:
        """What is known of the instrument; state ready when it was never registered."""
        ...

    def expire(self, instrument: str, dead: str | None = None) -> bool:
        """End a lease whose holder is proven dead (``dead``) or whose time is over (None).

        A trial that had not started is queued again, first in line. One that had becomes
        suspect and the instrument unknown. False when there was nothing to end.
        """
        ...

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
        """Take an unknown instrument into recovery (RECOVERING), or end that (READY or FAULT).

        Taking it draws a new fence above ``floor`` and holds it for ``ttl_s``, as a lease does. A
        recovery by another worker can be taken over when its time is over, or when that worker is
        ``dead``; only the worker that recovers can end it. A ``floor`` above the ledger's fence
        says that the log went back: then a ready instrument may be taken into recovery, too.

        Raises:
            LeaseLost: the instrument is in no state from which this can happen.
        """
        ...

    def clear_fault(self, instrument: str, reason: str) -> bool:
        """Staff have looked: an instrument in fault is unknown now; False when it is in none.

        The last clearing, sent again, is True and changes nothing.
        """
        ...

    def resolve(self, campaign_id: str, event: Acquired | Failed) -> bool:
        """Decide a suspect trial: documents were found, or it goes to ``failed.then``.

        False when it is not suspect; its last decision, sent again, is True and changes nothing.
        """
        ...

    def check(self) -> None:
        """Pass when the ledger answers at once and would save what it is told.

        Raises:
            LedgerFull: it answers, and has no room.
            LedgerUnavailable: it does not answer.
        """
        ...

    def set_process(self, pid: int, about: Mapping[str, Any] | None) -> None:
        """Publish a process of this host (role, instrument, started), or remove it (None)."""
        ...

    def processes(self) -> dict[int, dict[str, Any]]:
        """The published processes of this host by pid; some may have died since.

        Other hosts of the lab keep their own: a pid says nothing of another host's process.
        """
        ...

    def claim_notice(self, key: str, by: str, ttl_s: float) -> bool:
        """Become for ``ttl_s`` the only one who sends a notice; False when it may not be sent now.

        That is when it was sent already, or another has claimed it and the time is not over. Who
        has claimed it and claims it again prolongs the claim.
        """
        ...

    def confirm_notice(self, key: str) -> None:
        """Record that a notice was sent; nobody can claim it any more."""
        ...

    def is_confirmed(self, key: str) -> bool:
        """True when ``confirm_notice`` was called with this key."""
        ...


class Optimizer(Protocol):
    """Proposes; holds no state that a proposal depends on."""

    def suggest(self, known: Knowledge) -> Suggestion:
        """Parameters for trial ``known.trial_id``: the same for the same ``known``.

        They satisfy the spec's ranges and parameter constraints.

        Raises:
            OptimizerError: there is none, and the message says why.
        """
        ...


class PatientOptimizer(Protocol):
    """An optimizer that can be asked with a deadline."""

    def suggest(self, known: Knowledge, timeout_s: float | None = None) -> Suggestion:
        """As Optimizer.suggest; None waits as long as it takes.

        Raises:
            SuggestionLate: not ready within ``timeout_s``; the work goes on for the next call.
            OptimizerError: there is none.
        """
        ...

    def fallback(self, known: Knowledge, reason: str) -> Suggestion:
        """A space-filling point, at once; ``reason`` is kept in its details.

        Raises:
            OptimizerError: the constraints leave no room for one.
        """
        ...

    def warm_up(self, spec: CampaignSpec) -> None:
        """Load what the first suggestion will need, without waiting for it."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """One attempt, as the executor is told of it."""

    campaign: CampaignSpec
    settings: Mapping[str, ParameterValue]
    """By dotted device name."""
    arguments: Mapping[str, ParameterValue]
    """Parameters bound to arguments of the plan."""
    metadata: Mapping[str, Any]
    """For the RunStart document: campaign_id, trial_id, attempt, fence, mode, versions."""
    documents: str
    """File that receives the documents, relative to the data folder."""
    deadline_s: float
    """Longest time the plan may take before it is aborted."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Documents that are safe on disk."""

    run_uid: str
    documents: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Traces:
    """What the last attempt on an instrument wrote down before each of its commands."""

    campaign_id: str
    trial_id: int
    attempt: int
    fence: int
    documents: str
    """Its document file, relative to the data folder."""
    commands: tuple[str, ...]
    """Such as ``set stage.x``, oldest first; empty when nothing was commanded."""
    setpoints: Mapping[str, ParameterValue]
    """Where each device was last sent, by dotted name."""
    staged: Mapping[str, Any]
    """What signals held before staging changed them, by dotted name, in the order to put back."""


Ask = Callable[[int, str], str | None]
"""Puts a plan's question (its number from 1, its text) to people; None while nobody answered."""


class Executor(Protocol):
    """Owns the devices of one instrument and runs plans on them."""

    def load(self) -> None:
        """Import what ``connect`` needs: a worker that waits for its turn does so beforehand."""
        ...

    def connect(self) -> None:
        """Connect every required device.

        Raises:
            DeviceUnavailable: listing all that failed.
        """
        ...

    def deadline_s(self, request: PlanRequest) -> float:
        """Seconds after which this plan counts as hung.

        At most ``request.deadline_s``, and beside that the time for which steps or a condition may
        hold it.

        Raises:
            PlanFailed: the plan's own estimate raised.
        """
        ...

    def run(
        self, request: PlanRequest, order: Callable[[], str | None], ask: Ask | None = None
    ) -> Evidence:
        """Run one fresh plan to its end and give its documents, already safe on disk.

        ``order`` is asked several times a second; ``aborting`` or ``halting`` stop the plan.
        ``ask`` likewise, while the plan waits for a person; PlanFailed that it raises ends the
        plan. Without it a plan that wants an answer fails.

        Raises:
            EnvelopeError: a setting is outside the envelope; nothing moved.
            PlanAborted: stopped by an order.
            PlanFailed: the plan ended with an error, a hang or a bad reading.
        """
        ...

    def tripped(self) -> str | None:
        """Why a condition or a budget forbids starting now, in one sentence; None if none does."""
        ...

    def quiet(self) -> None:
        """Do what the instrument file lists under ``quiet``; everything else holds its position."""
        ...

    def park(self) -> None:
        """Do what the instrument file lists under ``park``, in order."""
        ...

    def observe(self) -> str | None:
        """Look without moving: None when every device answers and stands still, else why not."""
        ...

    def traces(self) -> Traces | None:
        """What the last attempt here has commanded; None when that cannot be told."""
        ...

    def is_whole(self, traces: Traces) -> bool:
        """True when the attempt's documents are complete: it ran to its end."""
        ...

    def restore(self, traces: Traces) -> list[str]:
        """Put back what staging had changed; gives the names of the signals that were put back.

        Raises:
            PlanFailed: one could not be put back.
        """
        ...

    def accept(self) -> None:
        """What is as it is now stays so: nothing of the last attempt is put back any more."""
        ...

    def differences(self, traces: Traces) -> list[str]:
        """One phrase for each device that does not stand where it was sent."""
        ...

    @property
    def is_connected(self) -> bool:
        """False when a required device, or a condition's signal, has lost its connection."""
        ...

    @property
    def is_reusable(self) -> bool:
        """False after an odd end: then this process must be replaced."""
        ...


class Outbox(Protocol):
    """Results that are safe on this machine before the ledger hears of them."""

    def lack(self) -> str | None:
        """Why the documents or the result of a trial could not be kept; None when they could."""
        ...

    def put(self, campaign_id: str, result: Result) -> None:
        """Store it, as soon as there is room; when this returns, a power cut cannot lose it."""
        ...

    def results(self, campaign_id: str, trial_id: int) -> list[Result]:
        """What attempts at the trial have delivered, in the order of their fences; mostly empty.

        A result whose documents are missing or changed does not count.
        """
        ...


class Gate(Protocol):
    """Keeps a second driver off the instrument."""

    def enter(self) -> bool:
        """Become the only driver; False when another process is. Held until the process ends."""
        ...

    @property
    def yields(self) -> bool:
        """True when another worker may take over while this one still lives."""
        ...

    @property
    def floor(self) -> int:
        """Highest fence ever claimed here; 0 when none was."""
        ...

    def claim(self, fence: int) -> None:
        """Remember the fence before the first command under it.

        Raises:
            LeaseLost: a higher fence was claimed before.
        """
        ...

    def confirm(self, fence: int) -> None:
        """Pass when nobody else has driven the instrument since this fence was claimed.

        Raises:
            LeaseLost: a higher fence was claimed since.
            PlanFailed: the device's server does not answer, so it cannot be told.
        """
        ...


class Reducer(Protocol):
    """Turns the documents of a trial into outcomes."""

    def reduce(self, campaign: CampaignSpec, documents: str) -> Reduction:
        """Outcomes and the verdict of the validity rules: the same for the same documents.

        Raises:
            ReductionError: the reducer raised, took too long or died, or an outcome is missing, NaN
                or infinite.
        """
        ...

    def deadline_s(self, campaign: CampaignSpec) -> float:
        """Seconds within which ``reduce`` gives or raises something, whatever the reducer does."""
        ...

    def warm_up(self) -> None:
        """Load what the first reduction will need, without waiting for it."""
        ...


@dataclass(frozen=True, slots=True)
class Reduction:
    """What a reducer made of a trial's documents."""

    outcomes: Mapping[str, Outcome]
    invalid: str | None
    """The validity rule that does not hold; None when the trial is valid."""


class NoticeChannel(Protocol):
    """One way to reach the people on duty."""

    @property
    def name(self) -> str:
        """A short fixed word, such as ``email``; unique among the channels of a lab."""
        ...

    @property
    def where(self) -> str:
        """Whom it reaches and by which server, without any secret."""
        ...

    def send(self, notice: Notice) -> str:
        """Hand the notice over; when this returns, the server has taken it.

        Gives what did not go well all the same, such as an address that was refused; mostly empty.

        Raises:
            NotDelivered: the server did not answer in time, or refused; the message holds no
                secret.
        """
        ...


class Clock(Protocol):
    """Time, so that tests need not wait."""

    def now(self) -> float:
        """Unix time in seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


@dataclass(frozen=True, slots=True)
class Lab:
    """Everything the flow works with."""

    ledger: Ledger
    optimizer: PatientOptimizer
    executor: Executor
    outbox: Outbox
    gate: Gate
    reducer: Reducer
    clock: Clock
    instrument: InstrumentSpec
    worker: str
    """Name of this worker incarnation, unique for each process."""
    lease_s: float
    """Seconds that a lease lasts without renewal."""
    plan_deadline_s: float
    """Longest time one plan may take."""
    versions: Mapping[str, str]
    """Versions of the software that measures, for the documents."""
    announce: Callable[[float], None]
    """Tells the heartbeat for how many seconds from now this process may be busy."""
