"""What was known to a proposal, and how well something was found again."""

import math
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.domain import events as ev
from orchestrator.domain.proposal import knowledge, seed_for
from orchestrator.domain.recomputation import (
    Grade,
    compare_outcomes,
    compare_parameters,
    questions,
    software_changes,
    with_newest_outcomes,
)
from orchestrator.domain.state import fold
from orchestrator.domain.trial import Outcome
from tests.unit.domain.builders import campaign, log, measured, opened, proposed, run

SPEC = campaign()


def history(*happened: ev.Event) -> list[ev.Event]:
    return log(*((float(second), event) for second, event in enumerate(happened)))


def model(trial_id: int, basis: str, **changes: Any) -> ev.Proposed:
    return replace(proposed(trial_id), source="model", basis=basis, **changes)


def test_a_question_holds_what_was_known_at_its_basis_and_no_more() -> None:
    events = history(opened(), *run(1, measured(1, y=1.0)), *run(2, measured(2, y=2.0)))
    before, after = events[5].id, events[-1].id
    events = [
        *events,
        replace(model(3, before), id="0098-0"),  # asked for before trial 2 was measured
        replace(model(4, after), id="0099-0"),
    ]
    asked = {one.event.trial_id: one for one in questions(events, SPEC)}
    assert [len(asked[3].known.told), len(asked[4].known.told)] == [1, 2]
    assert asked[4].known == knowledge(fold(events[:-2]), SPEC, 4)
    assert asked[3].known.seed == seed_for(SPEC.optimizer.seed, 3)
    assert all(one.has_basis and one.is_of_the_model for one in (asked[3], asked[4]))


def test_a_revision_is_asked_as_if_it_and_what_waits_behind_it_were_not_there() -> None:
    events = history(opened(), *run(1, measured(1, y=1.0)), model(2, "0006-0"), model(3, "0007-0"))
    late = model(4, "0008-0", asked_for=3)
    revised = ev.Superseded(
        trial_id=2,
        parameters={"x": 5.0},
        source="model",
        basis="0008-0",
        seed=seed_for(SPEC.optimizer.seed, 2),
        revision=1,
    )
    events += [replace(revised, id="0009-0"), replace(late, id="0010-0")]
    asked = list(questions(events, SPEC))
    told = {
        (one.event.trial_id, one.revision): [seen.trial_id for seen in one.known.observations]
        for one in asked
    }
    assert told == {(1, 0): [], (2, 0): [1], (3, 0): [1, 2], (2, 1): [1], (4, 0): [1, 2]}
    assert [one.known.trial_id for one in asked] == [1, 2, 3, 2, 3]


@pytest.mark.parametrize("basis", ["0042-0", "0099-0"])
def test_a_basis_must_be_in_the_log_before_its_proposal(basis: str) -> None:
    events = history(opened(), *run(1, measured(1, y=1.0)))
    events.append(replace(model(2, basis), id="0099-0"))
    *_, asked = sorted(questions(events, SPEC), key=lambda one: one.event.trial_id)
    assert not asked.has_basis
    assert asked.known.observations == ()


def test_who_computed_a_proposal() -> None:
    kinds = [
        ("initial", {"method": "sobol"}, "spread"),
        ("fallback", {"method": "sobol", "reason": "late"}, "spread"),
        ("initial", {"method": "mine"}, "model"),
        ("model", {"method": "ax"}, "model"),
        ("person", {}, "given"),
        ("agent", {}, "given"),
    ]
    for source, details, kind in kinds:
        event = replace(proposed(1), source=source, details=details)
        (asked,) = questions(history(opened(), event), SPEC)
        found = {"spread": asked.is_spread, "model": asked.is_of_the_model, "given": asked.is_given}
        assert [name for name, is_so in found.items() if is_so] == [kind]


def test_corrections_are_told_as_if_they_had_been_measured() -> None:
    correction = ev.Corrected(
        trial_id=1, outcomes={"y": Outcome(7.0)}, reducer="a.b", reducer_sha256="", by="me"
    )
    events = history(opened(), *run(1, measured(1, y=1.0)), correction)
    told = with_newest_outcomes(events)
    assert [one.outcomes["y"].mean for one in told if isinstance(one, ev.Measured)] == [7.0]
    assert fold(told) == fold(events)


@pytest.mark.parametrize(
    ("recorded", "found", "grade"),
    [
        (0.1 + 0.2, 0.1 + 0.2, Grade.BITWISE),
        (1.0, math.nextafter(1.0, 2.0), Grade.CLOSE),
        (0.0, -0.0, Grade.CLOSE),
        (1.0, 1.0 + 2e-5, Grade.OTHER),
        (1e-9, 2e-9, Grade.CLOSE),  # of a range that is 10 wide
        (1, 1.0, Grade.CLOSE),
        (1, 2, Grade.OTHER),
        ("a", "b", Grade.OTHER),
        (True, 1.0, Grade.OTHER),
    ],
)
def test_how_well_a_parameter_was_found(recorded: Any, found: Any, grade: Grade) -> None:
    assert compare_parameters(SPEC, {"x": recorded}, {"x": found})[0] is grade


def test_the_first_parameter_that_differs_is_named() -> None:
    assert compare_parameters(SPEC, {"x": 1.0}, {"x": 2.0}) == (Grade.OTHER, "x")
    assert compare_parameters(SPEC, {"x": 1.0, "z": 1.0}, {"x": 1.0}) == (Grade.OTHER, "z")
    assert compare_parameters(SPEC, {"x": 1.0}, {"x": 1.0}) == (Grade.BITWISE, None)


@pytest.mark.parametrize(
    ("found", "grade"),
    [
        (Outcome(2.0, 0.5, "V"), Grade.BITWISE),
        (Outcome(2.0 + 1e-9, 0.5, "V"), Grade.CLOSE),
        (Outcome(2.0, 0.5 + 1e-9, "V"), Grade.CLOSE),
        (Outcome(2.1, 0.5, "V"), Grade.OTHER),
        (Outcome(2.0, None, "V"), Grade.OTHER),
        (Outcome(2.0, 0.5, "mV"), Grade.OTHER),
    ],
)
def test_how_well_an_outcome_was_found(found: Outcome, grade: Grade) -> None:
    recorded = {"y": Outcome(2.0, 0.5, "V")}
    assert compare_outcomes(recorded, {"y": found})[0] is grade
    assert compare_outcomes(recorded, {})[1] == "y"
    assert compare_outcomes(recorded, {**recorded, "z": found})[1] == "z"


def test_what_has_changed_since_is_said() -> None:
    then = {"method": "ax", "torch": "2.9.0+cpu", "cpu_capability": "AVX2", "left_out": 0}
    now = {**then, "torch": "2.8.0", "cpu_capability": "AVX512", "left_out": 3}
    assert software_changes(then, then) == ""
    assert software_changes(then, now) == (
        "torch 2.9.0+cpu then, 2.8.0 now; processor capability AVX2 then, AVX512 now"
    )
    by = {**then, "code": "9c"}
    assert software_changes(by, by) == ""
    assert software_changes({**then, "code": "3f"}, by) == "the optimizer's code 3f then, 9c now"
    assert software_changes(then, by) == "the optimizer's code unknown then, 9c now"
