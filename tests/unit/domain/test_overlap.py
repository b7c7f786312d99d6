from dataclasses import replace

import pytest

from orchestrator.domain import events as ev
from orchestrator.domain.accounting import times
from orchestrator.domain.overlap import Overlap, overlap, sequential
from orchestrator.domain.state import fold
from tests.unit.domain.builders import (
    acquired,
    campaign,
    leased,
    log,
    measured,
    opened,
    proposed,
    started,
)


def model(trial_id: int, told: int, suggestion_s: float = 0.0) -> ev.Proposed:
    """A model's proposal that knew so many outcomes."""
    return replace(proposed(trial_id), source="model", told=told, suggestion_s=suggestion_s)


def of(*entries: tuple[float, ev.Event], **changes: object) -> tuple[Overlap, float, float]:
    """How it went, and idle fraction and wall seconds of a sequential loop."""
    spec = campaign(**{"budget": {"trials": 3}, **changes})
    events = log((0, opened(spec)), *entries)
    spent = times(events, spec)
    found = overlap(events, fold(events), spec, spent)
    return found, *sequential(spent, found.sequential_idle_s or 0.0)


PROPOSAL = ("trial_id", "parameters", "source", "basis", "seed", "told", "suggestion_s")

AHEAD = (
    (1, proposed(1)),
    (2, leased(1)),
    (3, started(1)),  # the span begins
    (3, model(2, told=0, suggestion_s=5)),
    (13, acquired(1)),
    (14, leased(2)),
    (15, started(2)),  # 2 s hand-over
    (17, measured(1, y=1.0)),  # reduced in 4 s
    (18, model(3, told=1, suggestion_s=7)),  # it knows the first outcome
    (25, acquired(2)),
    (26, measured(2, y=2.0)),  # reduced in 1 s
    (27, leased(3)),
    (29, started(3)),  # 4 s hand-over
    (39, acquired(3)),
    (40, measured(3, y=3.0)),
)


def test_a_sequential_loop_waits_for_reduction_model_and_hand_over():
    """Three starts within the span share its hand-over: none before the first, 2 s and 4 s."""
    found, fraction, wall_s = of(*AHEAD)
    assert found.sequential_idle_s == (5 + 4 + 2) + (7 + 1 + 2)
    assert wall_s == 40 + 21
    assert fraction == 21 / (37 + 21)


def test_within_a_batch_a_quick_suggestion_costs_nothing():
    found, _, _ = of(*AHEAD, optimizer={"batch": 2})
    assert found.sequential_idle_s == 7 + 1 + 2


def test_within_a_batch_a_loop_waits_for_what_lasts_longer_than_measuring():
    """Trial 1 was measured in 10 s, and the suggestion for trial 2 took 25 s."""
    slow = [
        (at, replace(e, suggestion_s=25.0))
        if isinstance(e, ev.Proposal) and e.trial_id == 2
        else (at, e)
        for at, e in AHEAD
    ]
    found, _, _ = of(*slow, optimizer={"batch": 2})
    assert found.sequential_idle_s == (25 - 10) + (7 + 1 + 2)


def test_without_a_model_nothing_is_estimated():
    spaced = [
        (at, replace(e, source="initial")) if isinstance(e, ev.Proposal) else (at, e)
        for at, e in AHEAD
    ]
    found, _, _ = of(*spaced)
    assert (found.sequential_idle_s, found.mean_lag) == (None, None)


def test_the_lag_counts_outcomes_that_came_too_late_for_a_proposal():
    """Trial 2 knew none, of which none had come; trial 3 knew one of two."""
    found, _, _ = of(*AHEAD)
    assert found.mean_lag == (0 + 1) / 2


def test_a_revision_knows_more():
    better = ev.Superseded(
        **{name: getattr(model(2, told=1), name) for name in PROPOSAL}, revision=1
    )
    found, _, _ = of(
        (1, proposed(1)),
        (1, model(2, told=0)),
        (2, leased(1)),
        (3, started(1)),
        (13, acquired(1)),
        (14, measured(1, y=1.0)),
        (15, better),
        (16, leased(2)),
        (17, started(2)),
        (27, acquired(2)),
        (28, measured(2, y=1.0)),
    )
    assert (found.superseded, found.mean_lag) == (1, 0)


def test_fallbacks_are_counted():
    late = [
        (at, replace(e, source="fallback")) if isinstance(e, ev.Proposal) else (at, e)
        for at, e in AHEAD
    ]
    found, _, _ = of(*late)
    assert (found.fallbacks, found.superseded) == (3, 0)


def test_a_reducer_that_failed_and_was_mended_hours_later_delayed_nobody():
    found, _, _ = of(
        (1, proposed(1)),
        (2, leased(1)),
        (3, started(1)),
        (13, acquired(1)),
        (15, ev.Unreduced(trial_id=1, reason="the reducer raised KeyError")),
        (16, model(2, told=0, suggestion_s=3)),
        (16, leased(2)),
        (16, started(2)),
        (26, acquired(2)),
        (27, measured(2, y=1.0)),
        (9000, measured(1, y=1.0)),
    )
    assert found.sequential_idle_s == pytest.approx(3 + 2 + 0)
