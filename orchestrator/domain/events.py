"""What can happen in a campaign: one frozen class for each event, in the past tense.

The ledger is a stream of these; everything else is a fold over them. ``to_fields`` and
``from_fields`` give the form in which they are stored: a type, a schema version, a time and the
other fields as JSON. Floats survive exactly.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from orchestrator.domain.errors import LedgerError, LogWentBack
from orchestrator.domain.trial import Outcome, ParameterValue

SCHEMA_VERSION = 1

LARGEST = 256 * 1024
"""Characters of one event. Arrays belong into the documents, which the ledger only refers to."""

LONGEST_TEXT = 2000
"""Characters of what somebody else's code may say in an event; its log has the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened. ``id`` and ``at`` are given by the ledger."""

    id: str = ""
    """Position in the log; later events have greater ids."""
    at: float = 0.0
    """Unix time in seconds by the ledger's clock."""


def is_before(event_id: str, other_id: str) -> bool:
    """True when the first stands before the second in the log."""
    first, second = (tuple(map(int, one.split("-"))) for one in (event_id, other_id))
    return first < second


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Event):
    """A campaign was opened."""

    campaign_id: str
    instrument: str
    mode: str
    spec: Mapping[str, Any]
    """The campaign file as it was read, defaults filled in."""
    instrument_spec: Mapping[str, Any]
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    step: int = 0
    """Trials up to this number start only when a person has approved them; ``true``, as older
    versions wrote, means all."""
    sample: str = ""
    """Parameter that names the sample of a trial; empty without a list of samples."""
    samples: Mapping[str, int] = field(default_factory=dict[str, int])
    """Uses that each sample has, by position; each start of a trial spends one."""
    opener: str = ""
    """Unique to one order to open: the same order sent again is told from another's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEvent(Event):
    """Something that happened to one trial."""

    trial_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal(TrialEvent):
    """Parameters for a trial, and all that a stranger needs to compute them again."""

    parameters: Mapping[str, ParameterValue]
    source: str
    """initial, model, fallback, sentinel, realignment, person or agent."""
    basis: str
    """Id of the last event that was known."""
    seed: int
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    told: int = 0
    """How many measured trials were known."""
    suggestion_s: float = 0.0
    """Seconds that the optimizer took; 0 for a point that was there at once."""
    asked_for: int | None = None
    """Trial that the optimizer was asked for, when its answer came too late for that one and
    serves this one; None: it was asked for this one."""


class Proposed(Proposal):
    """A proposal was admitted and became a trial."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded(Proposal):
    """A trial that still waited in the queue got better-informed parameters."""

    revision: int
    """How often this trial's parameters were replaced, this time included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped(Event):
    """From now on trials up to the number ``upto`` start only when a person has approved them."""

    upto: int
    """0 for none."""
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved(TrialEvent):
    """A person lets a queued trial start, once and with the parameters of this revision."""

    revision: int
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased(TrialEvent):
    """A worker took the instrument for this trial; nothing has moved."""

    worker: str
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(TrialEvent):
    """The worker is about to move the instrument: written before the first command."""

    attempt: int
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(TrialEvent):
    """The running plan waits for a person's answer."""

    question: str
    """Unique in the campaign: ``<trial>-<fence>-<number>``, the number from 1 in each attempt."""
    text: str

    @property
    def reason(self) -> str:
        """What a person is called for."""
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(TrialEvent):
    """A person answered; the plan goes on with the text."""

    question: str
    text: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseExpired(TrialEvent):
    """The worker of this trial died or fell silent; ``moved`` tells whether it had started."""

    worker: str
    moved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(TrialEvent):
    """An attempt delivered no data."""

    reason: str
    """A short fixed word, such as ``device_timeout``."""
    message: str
    crash: bool
    """True when something else ended the attempt: a process, server or IOC that died, a condition
    that tripped. False when it failed by itself."""
    then: str
    """State of the trial afterwards: queued, abandoned or cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquired(TrialEvent):
    """The documents of an attempt are safe on disk; the lease ended."""

    attempt: int
    run_uid: str
    documents: str
    """Document file, relative to the data folder."""
    sha256: str
    salvaged: bool = False
    """True when the evidence was found after the worker had died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LateResult(TrialEvent):
    """Documents came after the attempt had lost its lease: kept for people, never counted."""

    attempt: int
    run_uid: str
    documents: str
    """Document file, relative to the data folder."""

    @property
    def key(self) -> str:
        """The same for the same documents: they are noted once."""
        return self.run_uid


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(TrialEvent):
    """The reducer turned the documents into outcomes."""

    outcomes: Mapping[str, Outcome]
    by: str = ""
    """Who delivered them from elsewhere; empty when the campaign's own reducer gave them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalidated(TrialEvent):
    """Measured, but a validity rule says no: kept, shown, not told to the optimizer."""

    outcomes: Mapping[str, Outcome]
    reason: str
    by: str = ""
    """As of Measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected(TrialEvent):
    """Another reducer gave a measured trial other outcomes, from the same documents.

    The trial stays measured, and the newest outcomes count.
    """

    outcomes: Mapping[str, Outcome]
    reducer: str
    """Dotted name of what gave them."""
    reducer_sha256: str
    """Of the file that defines it; empty when it has none."""
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreduced(TrialEvent):
    """The data are safe, but the reducer failed."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned(TrialEvent):
    """The trial was given up before it moved anything."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(TrialEvent):
    """A queued or suspect trial was withdrawn."""

    reason: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignEvent(Event):
    """An order to the campaign, or a change of its status: who and why."""

    by: str
    reason: str = ""


class Paused(CampaignEvent):
    """A person paused the campaign: the running trial finishes, no other starts."""

    __slots__ = ()


class Resumed(CampaignEvent):
    """The campaign goes on after a pause or a suspension."""

    __slots__ = ()


class Suspended(CampaignEvent):
    """A condition is out of its range; the campaign waits for it."""

    __slots__ = ()


class NeedsPerson(CampaignEvent):
    """Only a person can decide what happens next."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishRequested(CampaignEvent):
    """The running trial completes, queued ones are cancelled, then the campaign ends."""

    ending: str
    """Status that it will end with: done, stopped or failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortRequested(CampaignEvent):
    """The running plan is stopped at once, then the campaign ends as aborted."""

    halt: bool
    """True to skip the plan's own clean-up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(CampaignEvent):
    """The campaign is over; ``reason`` is its stop reason."""

    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentChanged(Event):
    """The instrument of this campaign left its ordinary cycle, or came back to it."""

    state: str
    """unknown, recovering, ready or fault."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Event):
    """Something that people should know: it changes nothing."""

    by: str
    text: str
    key: str
    """Unique to one note: the same note sent again is not written twice."""


Remark = LateResult | Noted
"""Events that are for people only; they may come at any time, the end included."""

_TYPES: dict[str, type[Event]] = {
    "opened": Opened,
    "proposed": Proposed,
    "superseded": Superseded,
    "stepped": Stepped,
    "approved": Approved,
    "leased": Leased,
    "started": Started,
    "asked": Asked,
    "answered": Answered,
    "lease_expired": LeaseExpired,
    "failed": Failed,
    "acquired": Acquired,
    "late_result": LateResult,
    "measured": Measured,
    "invalidated": Invalidated,
    "corrected": Corrected,
    "unreduced": Unreduced,
    "abandoned": Abandoned,
    "cancelled": Cancelled,
    "paused": Paused,
    "resumed": Resumed,
    "suspended": Suspended,
    "needs_person": NeedsPerson,
    "finish_requested": FinishRequested,
    "abort_requested": AbortRequested,
    "ended": Ended,
    "instrument_changed": InstrumentChanged,
    "noted": Noted,
}
_NAMES = {cls: name for name, cls in _TYPES.items()}


def after_known(found: Sequence[Event], campaign_id: str, known: str) -> list[Event]:
    """What follows the event ``known``, which must be the first of those found.

    Raises:
        LogWentBack: it is not there any more.
    """
    if not found or found[0].id != known:
        raise LogWentBack(f"event {known} of campaign {campaign_id!r} is gone from its log")
    return list(found[1:])


def iso(time: float | None) -> str | None:
    """Unix seconds as ISO 8601 UTC with microseconds; None stays None."""
    if time is None:
        return None
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def type_of(event: Event) -> str:
    """The stored name of an event's class, such as ``lease_expired``."""
    return _NAMES[type(event)]


def to_json(event: Event) -> str:
    """The event's own fields as JSON; ``id`` and ``at`` are left to the ledger.

    Raises:
        LedgerError: it is too large for the log.
    """
    data: dict[str, object] = {}
    for spec in fields(event):
        if spec.name in ("id", "at"):
            continue
        value = getattr(event, spec.name)
        if spec.name == "outcomes":
            value = {name: [o.mean, o.sem, o.unit] for name, o in value.items()}
        data[spec.name] = value
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    if len(text) > LARGEST:
        raise LedgerError(
            f"an event {type_of(event)!r} of {len(text)} characters is too large for the log, "
            f"which takes {LARGEST}: arrays belong into the documents, and long texts into a file"
        )
    return text


def to_fields(event: Event) -> dict[str, str]:
    """The log entry that holds the event: ``from_fields`` reads it back.

    Raises:
        LedgerError: it is too large for the log.
    """
    about = {"type": type_of(event), "v": str(SCHEMA_VERSION), "at": repr(event.at)}
    return {**about, "data": to_json(event)}


def from_fields(event_id: str, stored: Mapping[str, str]) -> Event:
    """The event that a log entry holds.

    The entry has ``type``, ``v``, ``at``, ``data`` (JSON), and fields that the ledger itself
    decided: ``trial_id``, ``attempt``, ``fence``, ``revision``, ``worker``, ``moved``, ``then``,
    ``chain``.

    Raises:
        LedgerError: an unknown type or a newer schema, which this version must not guess at, or
            fields that are not those of the type.
    """
    version = stored.get("v", "0")
    if version != str(SCHEMA_VERSION) or stored.get("type") not in _TYPES:
        raise LedgerError(
            f"log entry {event_id} has type {stored.get('type')!r}, schema {version}; "
            f"this Labwright reads schema {SCHEMA_VERSION}: use a version that knows it"
        )
    try:
        return _event(event_id, stored)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LedgerError(f"log entry {event_id} cannot be read: {error}") from error


def _event(event_id: str, stored: Mapping[str, str]) -> Event:
    data: dict[str, Any] = json.loads(stored.get("data") or "{}")
    for name in ("trial_id", "attempt", "fence", "revision"):
        if name in stored:
            data[name] = int(stored[name])
    for name in ("worker", "then"):
        if name in stored:
            data[name] = stored[name]
    if "moved" in stored:
        data["moved"] = stored["moved"] == "1"
    if "outcomes" in data:
        data["outcomes"] = {name: Outcome(*values) for name, values in data["outcomes"].items()}
    return _TYPES[stored["type"]](id=event_id, at=float(stored["at"]), **data)
