"""Proposals and outcomes computed again: what was known, and how well the same was found.

Who computes is ``orchestrator.verification``; here is what to ask, and how to compare.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from orchestrator.domain import events as ev
from orchestrator.domain.proposal import Knowledge, knowledge
from orchestrator.domain.realignment import REALIGNMENT
from orchestrator.domain.sentinels import SENTINEL
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.trial import Outcome, ParameterValue

TOLERANCE = 1e-6
"""Relative difference of numbers that other software or another processor may explain."""
SAME_SOFTWARE = "same software: the record does not follow from its basis"
SAME_REDUCER = "same reducer, same software: the record does not follow from its documents"
LOST_BASIS = "its basis is not in the log before it"

_VERSION = re.compile(r"v?\d+(\.\d+)+\S*")


class Grade(StrEnum):
    """How well something was found again."""

    BITWISE = "bitwise"
    CLOSE = "within 1e-6"
    OTHER = "not reproduced"
    GIVEN = "not computed"
    """A person or an agent asked for it: there is nothing to compute."""
    EXTERNAL = "not recomputed: external reducer"


@dataclass(frozen=True, slots=True)
class Question:
    """A recorded proposal, and what the optimizer knew when it was asked for it."""

    event: ev.Proposal
    known: Knowledge
    has_basis: bool
    """False when the basis is not in the log before the proposal; then ``known`` knows no trial."""

    @property
    def is_spread(self) -> bool:
        """True for a space-filling point, which depends on no result."""
        spread = self.event.source in ("initial", "fallback")
        return spread and self.event.details.get("method", "sobol") == "sobol"

    @property
    def is_of_the_model(self) -> bool:
        """True when an optimizer computed it from results."""
        return not self.is_spread and not self.is_given

    @property
    def revision(self) -> int:
        """How often the trial's parameters had been replaced; 0 for the first proposal."""
        return self.event.revision if isinstance(self.event, ev.Superseded) else 0

    @property
    def is_given(self) -> bool:
        """True when nothing computed it."""
        return self.event.source in ("person", "agent", SENTINEL, REALIGNMENT)


@dataclass(frozen=True, slots=True)
class Checked:
    """A proposal that was computed again."""

    question: Question
    grade: Grade
    reason: str = ""
    """Why it was not reproduced."""

    def to_data(self) -> dict[str, Any]:
        """Plain data for scripts."""
        event = self.question.event
        return {
            "event_id": event.id,
            "trial_id": event.trial_id,
            "revision": self.question.revision,
            "source": event.source,
            "basis": event.basis,
            "grade": str(self.grade),
            "reason": self.reason,
        }


def questions(events: Sequence[ev.Event], spec: CampaignSpec) -> Iterator[Question]:
    """Every proposal with what was known to it, in the order of the bases."""
    places = {event.id: place for place, event in enumerate(events)}
    asked = [event for event in events if isinstance(event, ev.Proposal)]
    asked.sort(key=lambda event: places.get(event.basis, -1))
    state, folded = CampaignState(), 0
    for event in asked:
        end = places.get(event.basis, -1) + 1
        has_basis = event.basis == "0" or 0 < end <= places[event.id]
        if has_basis:
            state, folded = fold(events[folded:end], state), end
        number = event.trial_id if event.asked_for is None else event.asked_for
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
    if same(recorded, found):
        return so_far
    numbers = (float, int)
    is_number = type(recorded) in numbers and type(found) in numbers
    if is_number and isinstance(recorded, numbers) and isinstance(found, numbers):
        scale = max(abs(recorded), abs(found), width)
        if abs(recorded - found) <= TOLERANCE * scale and float in (type(recorded), type(found)):
            return Grade.CLOSE
    return Grade.OTHER


def same(one: object, other: object) -> bool:
    """True when they are the same to the last bit, the sign of a zero included."""
    return type(one) is type(other) and repr(one) == repr(other)


def software_changes(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Versions, optimizer's code and processor that differ, in words; empty when none does."""
    changes: list[str] = []
    if (now := found.get("code")) is not None and (then := recorded.get("code")) != now:
        changes.append(f"the optimizer's code {then or 'unknown'} then, {now} now")
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


def in_digits(value: object) -> str:
    """A value with every digit; nothing for None."""
    return "nothing" if value is None else repr(value)


def parameter_text(parameters: Mapping[str, ParameterValue], name: str) -> str:
    """A parameter with every digit."""
    return in_digits(parameters.get(name))
