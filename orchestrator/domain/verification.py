"""Whether a campaign's record follows from itself: what a stranger compares, and in which words.

Nothing here reads a file or asks an optimizer: ``orchestrator.verification`` does, and hands over
what it found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from orchestrator.domain import events as ev
from orchestrator.domain.chain import Entry, StoredCampaign, breaks
from orchestrator.domain.errors import IllegalTransition, LedgerError
from orchestrator.domain.recomputation import Checked, Grade, in_digits, same
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.trial import Trial


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
    measured = _mapping(start.get("parameters")) or {}
    for name in sorted({*trial.parameters, *measured}):
        if not same(trial.parameters.get(name), measured.get(name)):
            what = f"parameter {name}"
            yield _differs(event, what, trial.parameters.get(name), measured.get(name))


def _differs(event: ev.Acquired, what: str, recorded: object, found: object) -> Divergence:
    why = f"the log has the first, the start document in {event.documents} the second"
    return Divergence(event.id, event.trial_id, what, in_digits(recorded), in_digits(found), why)


def _mapping(value: object) -> dict[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def spec_differences(recorded: Any, found: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Keys at which two files differ, with both values."""
    one, other = _mapping(recorded), _mapping(found)
    if one is not None and other is not None:
        for key in dict.fromkeys([*one, *other]):
            yield from spec_differences(one.get(key), other.get(key), f"{path}.{key}".strip("."))
    elif recorded != found:
        yield path, recorded, found


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
