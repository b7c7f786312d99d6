"""Whether a campaign's record follows from itself: what a stranger compares, and in which words.

Nothing here reads a file or asks an optimizer: ``orchestrator.verification`` does, and hands over
what it found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from orchestrator.domain import events as ev
from orchestrator.domain.chain import Entry, StoredCampaign, breaks
from orchestrator.domain.errors import IllegalTransition, LedgerError
from orchestrator.domain.proposal import Knowledge, knowledge
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.trial import Outcome, ParameterValue, Trial

TOLERANCE = 1e-6
"""Relative difference of numbers that other software or another processor may explain."""
SAME_SOFTWARE = "same software: the record does not follow from its basis"
LOST_BASIS = "its basis is not in the log before it"

_VERSION = re.compile(r"v?\d+(\.\d+)+\S*")


class Grade(StrEnum):
    """How well something was found again."""

    BITWISE = "bitwise"
    CLOSE = "within 1e-6"
    OTHER = "not reproduced"
    GIVEN = "not computed"
    """A person or an agent asked for it: there is nothing to compute."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """Something that the record says and that is not so."""

    event_id: str
    """The entry of the log that says it; empty for a log without entries."""
    trial_id: int | None
    """None when it is about no trial."""
    what: str
    """Such as ``chain``, ``documents``, ``outcome sty`` or ``parameter x``."""
    recorded: str
    found: str
    reason: str = ""
    """Why that may be; empty when nothing is known."""

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        about = "" if self.trial_id is None else f", trial {self.trial_id}"
        because = f" ({self.reason})" if self.reason else ""
        text = f"{self.what} was recorded as {self.recorded}, found {self.found}"
        return f"event {self.event_id}{about}: {text}{because}"


@dataclass(frozen=True, slots=True)
class Reading:
    """A log, as far as the ledger can have written it."""

    events: Sequence[ev.Event]
    state: CampaignState
    """After ``events``."""
    problem: Divergence | None
    """What comes next and is impossible; None when all could be read."""


def read(entries: Sequence[Entry]) -> Reading:
    """Read and fold entry by entry, up to the first that cannot be."""
    events: list[ev.Event] = []
    state = CampaignState()
    for entry in entries:
        try:
            event = ev.from_fields(entry.id, entry.fields)
            if not events and not isinstance(event, ev.Opened):
                raise IllegalTransition("the log does not begin with the opening of the campaign")
            state = fold([event], state)
        except (LedgerError, IllegalTransition) as error:
            trial = entry.fields.get("trial_id")
            kind = entry.fields.get("type", "nothing")
            number = int(trial) if trial and trial.isdecimal() else None
            problem = Divergence(entry.id, number, "state", kind, "impossible", str(error))
            return Reading(events, state, problem)
        events.append(event)
    return Reading(events, state, None)


def chain_divergences(stored: StoredCampaign) -> Iterator[Divergence]:
    """Every place where the chain is broken."""
    for entry, why in breaks(stored):
        recorded = entry.chain or "nothing"
        yield Divergence(entry.id, None, "chain", recorded, "another hash", why)


def state_divergences(stored: StoredCampaign, reading: Reading) -> Iterator[Divergence]:
    """Where the fold of the log says something else than what the ledger goes by."""
    state = reading.state
    if reading.problem is not None:
        yield reading.problem
        return
    why = "the ledger goes by the first, its log gives the second"
    if stored.status != state.status:
        yield Divergence(state.last_id, None, "status", stored.status, str(state.status), why)
    for number in sorted({*stored.trials, *state.trials}):
        kept = stored.trials.get(number, "no trial")
        folded = str(state.trials[number].state) if number in state.trials else "no trial"
        if kept != folded:
            yield Divergence(last_of(reading.events, number), number, "state", kept, folded, why)


def last_of(events: Sequence[ev.Event], trial_id: int) -> str:
    """Id of the newest event about a trial; that of the newest event when there is none."""
    own = (one for one in reversed(events) if getattr(one, "trial_id", None) == trial_id)
    newest = next(own, events[-1] if events else None)
    return newest.id if newest else ""


def start_divergences(
    event: ev.Acquired, trial: Trial, campaign_id: str, start: Mapping[str, Any]
) -> Iterator[Divergence]:
    """What the start document of a run says otherwise than the log.

    Documents that were found after a crash, or told to the log a second time, keep the fence under
    which they were measured.
    """
    wanted: dict[str, Any] = {
        "campaign_id": campaign_id,
        "trial_id": event.trial_id,
        "attempt": event.attempt,
    }
    if not event.salvaged:
        wanted["fence"] = trial.fence
    for name, value in wanted.items():
        if start.get(name) != value:
            yield _differs(event, name, value, start.get(name))
    measured = start.get("parameters")
    measured = measured if isinstance(measured, dict) else {}
    for name in sorted({*trial.parameters, *measured}):
        if not _same(trial.parameters.get(name), measured.get(name)):
            what = f"parameter {name}"
            yield _differs(event, what, trial.parameters.get(name), measured.get(name))


def _differs(event: ev.Acquired, what: str, recorded: object, found: object) -> Divergence:
    why = f"the log has the first, the start document in {event.documents} the second"
    return Divergence(event.id, event.trial_id, what, _text(recorded), _text(found), why)


def spec_differences(recorded: Any, found: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Keys at which two files differ, with both values."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        one: dict[str, Any] = recorded
        other: dict[str, Any] = found
        for key in dict.fromkeys([*one, *other]):
            yield from spec_differences(one.get(key), other.get(key), f"{path}.{key}".strip("."))
    elif recorded != found:
        yield path, recorded, found


# Proposals


@dataclass(frozen=True, slots=True)
class Question:
    """A recorded proposal, and what the optimizer knew when it was asked for it."""

    event: ev.Proposed
    known: Knowledge
    has_basis: bool
    """False when the basis is not in the log before the proposal; then ``known`` knows no trial."""

    @property
    def is_spread(self) -> bool:
        """True for a space-filling point, which depends on no result."""
        spread = self.event.source in ("initial", "fallback")
        return spread and self.event.details.get("method", "sobol") == "sobol"

    @property
    def is_given(self) -> bool:
        """True when nothing computed it."""
        return self.event.source in ("person", "agent")


@dataclass(frozen=True, slots=True)
class Checked:
    """A proposal that was computed again."""

    event: ev.Proposed
    grade: Grade
    reason: str = ""
    """Why it was not reproduced."""

    def to_data(self) -> dict[str, Any]:
        """Plain data for scripts."""
        return {
            "event_id": self.event.id,
            "trial_id": self.event.trial_id,
            "revision": revision_of(self.event),
            "source": self.event.source,
            "basis": self.event.basis,
            "grade": str(self.grade),
            "reason": self.reason,
        }


def revision_of(event: ev.Proposed) -> int:
    """How often the trial's parameters had been replaced by then; 0 for the first proposal."""
    return getattr(event, "revision", 0)


def questions(events: Sequence[ev.Event], spec: CampaignSpec) -> Iterator[Question]:
    """Every proposal with what was known to it, in the order of the bases."""
    places = {event.id: place for place, event in enumerate(events)}
    asked = [event for event in events if isinstance(event, ev.Proposed)]
    asked.sort(key=lambda event: places.get(event.basis, -1))
    state, folded = CampaignState(), 0
    for event in asked:
        end = places.get(event.basis, -1) + 1
        has_basis = event.basis == "0" or 0 < end <= places[event.id]
        if has_basis:
            state, folded = fold(events[folded:end], state), end
        number = getattr(event, "asked_for", None) or event.trial_id
        known = knowledge(state if has_basis else CampaignState(), spec, number)
        yield Question(event, known, has_basis)


def with_newest_outcomes(events: Sequence[ev.Event]) -> list[ev.Event]:
    """The log as it would be had every outcome been at once what its last correction says."""
    newest = {one.trial_id: one.outcomes for one in events if isinstance(one, ev.Corrected)}
    return [
        replace(one, outcomes=newest[one.trial_id])
        if isinstance(one, ev.Measured) and one.trial_id in newest
        else one
        for one in events
    ]


def compare_parameters(
    spec: CampaignSpec,
    recorded: Mapping[str, ParameterValue],
    found: Mapping[str, ParameterValue],
) -> tuple[Grade, str | None]:
    """How well a point was found again, and the first parameter that was not."""
    grade = Grade.BITWISE
    for name in sorted({*recorded, *found}):
        parameter = spec.parameters.get(name)
        width = parameter.range[1] - parameter.range[0] if parameter and parameter.range else 0.0
        grade, name_of_other = _worse(grade, recorded.get(name), found.get(name), width), name
        if grade is Grade.OTHER:
            return grade, name_of_other
    return grade, None


def compare_outcomes(
    recorded: Mapping[str, Outcome], found: Mapping[str, Outcome]
) -> tuple[Grade, str | None]:
    """How well outcomes were found again, and the first that was not."""
    grade = Grade.BITWISE
    for name in sorted({*recorded, *found}):
        one, other = recorded.get(name), found.get(name)
        if one is None or other is None or one.unit != other.unit:
            return Grade.OTHER, name
        grade = _worse(_worse(grade, one.mean, other.mean), one.sem, other.sem)
        if grade is Grade.OTHER:
            return grade, name
    return grade, None


def _worse(so_far: Grade, recorded: object, found: object, width: float = 0.0) -> Grade:
    if _same(recorded, found):
        return so_far
    numbers = (float, int)
    is_number = type(recorded) in numbers and type(found) in numbers
    if is_number and isinstance(recorded, numbers) and isinstance(found, numbers):
        scale = max(abs(recorded), abs(found), width)
        if abs(recorded - found) <= TOLERANCE * scale and float in (type(recorded), type(found)):
            return Grade.CLOSE
    return Grade.OTHER


def _same(one: object, other: object) -> bool:
    """True when they are the same to the last bit, the sign of a zero included."""
    return type(one) is type(other) and repr(one) == repr(other)


def software_changes(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Versions and processor that differ, in words; empty when none does."""
    changes: list[str] = []
    for name, then in recorded.items():
        now = found.get(name, "none")
        if name == "cpu_capability" and then != now:
            changes.append(f"processor capability {then} then, {now} now")
        elif isinstance(then, str) and _VERSION.fullmatch(then) and then != now:
            changes.append(f"{name} {then} then, {now} now")
    return "; ".join(changes)


def outcome_text(outcomes: Mapping[str, Outcome], name: str) -> str:
    """An outcome with every digit."""
    one = outcomes.get(name)
    if one is None:
        return "nothing"
    sem = "" if one.sem is None else f" +- {one.sem!r}"
    return f"{one.mean!r}{sem} {one.unit}".rstrip()


def _text(value: object) -> str:
    return "nothing" if value is None else repr(value)


def parameter_text(parameters: Mapping[str, ParameterValue], name: str) -> str:
    """A parameter with every digit."""
    return _text(parameters.get(name))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a check of a whole campaign."""

    campaign_id: str
    head: str
    """Of the log, as ``ID:HASH``; worth keeping where nobody can change it."""
    counts: Mapping[str, Any]
    divergences: Sequence[Divergence]
    """In the order of the log."""
    proposals: Sequence[Checked]
    """In the order of the log."""
    notes: Sequence[str] = ()
    """What a reader should know and what is no divergence."""

    @property
    def grade(self) -> Grade | None:
        """How well all was found again; None when something was not."""
        if self.divergences:
            return None
        grades = {*self.counts["outcomes"], *(one.grade for one in self.proposals)}
        return Grade.CLOSE if Grade.CLOSE in grades else Grade.BITWISE

    def to_data(self) -> dict[str, Any]:
        """Plain data for scripts; ``verified`` is null when something diverges."""
        names = ("event_id", "trial_id", "what", "recorded", "found", "reason")
        return {
            "campaign_id": self.campaign_id,
            "verified": None if self.grade is None else str(self.grade),
            "head": self.head,
            "counts": dict(self.counts),
            "divergences": [
                {name: getattr(one, name) for name in names} for one in self.divergences
            ],
            "proposals": [one.to_data() for one in self.proposals],
            "notes": list(self.notes),
        }
