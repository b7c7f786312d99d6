import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain import events as ev
from orchestrator.domain.accounting import PARTS, Times, beam_seconds, times
from orchestrator.domain.state import CampaignStatus, fold
from orchestrator.domain.trial import TrialState
from tests.unit.domain.builders import (
    acquired,
    campaign,
    failed,
    invalidated,
    leased,
    log,
    measured,
    opened,
    proposed,
    started,
    unreduced,
)
from tests.unit.domain.test_state import Random

SPEC = campaign(budget={"trials": 4})
PAUSED, RESUMED = ev.Paused(by="ann"), ev.Resumed(by="ann")
SUSPENDED = ev.Suspended(by="condition")
FINISH = ev.FinishRequested(by="policy", reason="budget of trials spent", ending="done")
ENDED = ev.Ended(by="campaign", reason="budget of trials spent", status="done")
BEFORE_THE_DATA = (TrialState.QUEUED, TrialState.LEASED, TrialState.RUNNING)
DIED = ev.LeaseExpired(trial_id=2, worker="host-1", moved=True)


def instrument(state: str) -> ev.InstrumentChanged:
    return ev.InstrumentChanged(state=state)


def test_a_small_log_by_hand():
    """Lookahead 0: the queue is empty after every result."""
    found = times(
        log(
            (0, opened()),
            (5, proposed(1)),
            (6, leased(1)),
            (10, started(1)),  # the span begins
            (20, acquired(1)),
            (22, measured(1, y=1.0)),  # 12 s busy; idle from 20 until the next proposal
            (25, proposed(2)),  # 5 s idle: its reduction keeps the next one waiting
            (26, leased(2)),
            (27, started(2)),  # 2 s hand-over
            (40, DIED),  # 13 s measuring, as far as anybody knew
            (40, instrument("unknown")),
            (48, instrument("recovering")),
            (55, instrument("ready")),
            (55.5, failed(2, crash=True)),  # 15.5 s of recovery; 28.5 s busy
            (56, leased(2)),
            (57, started(2, attempt=2)),  # 1.5 s hand-over
            (67, acquired(2)),
            (68, measured(2, y=1.0)),  # 11 s busy
            (70, PAUSED),  # 3 s idle
            (100, RESUMED),  # 30 s paused
            (101, proposed(3)),  # 1 s idle
            (102, leased(3)),
            (103, started(3)),  # 2 s hand-over
            (113, failed(3, "abandoned")),  # 10 s busy
            (120, SUSPENDED),  # 7 s idle
            (140, RESUMED),  # 20 s suspended
            (141, proposed(4)),  # 1 s idle
            (142, leased(4)),
            (143, started(4)),  # 2 s hand-over
            (150, acquired(4)),
            (151, invalidated(4, y=-1.0)),  # 8 s busy; 1 s closing; the span ends
            (160, FINISH),
            (161, ENDED),
        ),
        SPEC,
    )
    assert found == Times(
        wall_s=161,
        instrument_busy_s=12 + 28.5 + 11 + 10 + 8,
        span_s=141,
        paused_s=30,
        suspended_s=20,
        recovery_s=15.5,
        measuring_s=10 + 13 + 10 + 10 + 7,
        ledger_gap_s=2 + 1.5 + 2 + 2,
        idle_s=5 + 3 + 1 + 7 + 1,
        closing_s=1,
    )
    assert found.held_s == 50
    assert found.idle_fraction == 17 / (141 - 50)


def test_with_a_trial_always_queued_nothing_is_idle():
    found = times(
        log(
            (0, opened()),
            (1, proposed(1)),
            (2, leased(1)),
            (3, started(1)),
            (4, proposed(2)),
            (9, acquired(1)),
            (10, measured(1, y=1.0)),
            (15, leased(2)),  # slow to lease, but that is not for want of a proposal
            (16, started(2)),
            (26, acquired(2)),
            (27, measured(2, y=1.0)),
        ),
        campaign(budget={"trials": 2}),
    )
    assert (found.idle_s, found.idle_fraction, found.span_s) == (0, 0, 24)
    assert (found.measuring_s, found.ledger_gap_s, found.closing_s) == (6 + 10, 7, 1)
    assert found.instrument_busy_s == 7 + 11
    assert found.wall_s == 27


def test_once_the_budget_is_proposed_waiting_is_not_idle():
    entries = [
        (0, opened()),
        (1, proposed(1)),
        (2, leased(1)),
        (3, started(1)),
        (10, acquired(1)),
        (11, unreduced(1)),
        (31, measured(1, y=1.0)),
    ]
    assert times(log(*entries), campaign(budget={"trials": 1})).idle_s == 0
    assert times(log(*entries), campaign(budget={"trials": 2})).idle_s == 21


def test_an_attempt_that_was_reduced_later_is_busy_once():
    found = times(
        log(
            (0, opened()),
            (1, proposed(1)),
            (2, leased(1)),
            (3, started(1)),
            (10, acquired(1)),
            (11, unreduced(1)),
            (500, measured(1, y=1.0)),
        ),
        SPEC,
    )
    assert found.instrument_busy_s == 8


def test_a_reduction_after_the_end_takes_no_lab_time():
    entries = [
        (0, opened()),
        (1, proposed(1)),
        (2, leased(1)),
        (3, started(1)),
        (10, acquired(1)),
        (11, measured(1, y=1.0)),
        (12, proposed(2)),
        (13, leased(2)),
        (14, started(2)),
        (20, acquired(2)),
        (21, unreduced(2)),
        (22, FINISH),
        (23, ENDED),
    ]
    before = times(log(*entries), SPEC)
    after = times(log(*entries, (1e6, measured(2, y=1.0))), SPEC)
    assert before == after
    assert (before.wall_s, before.span_s, before.idle_s) == (23, 8, 1)


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [(0, opened())],
        [(0, opened()), (1, proposed(1)), (2, leased(1)), (3, started(1)), (9, acquired(1))],
        [(0, opened()), (5, PAUSED), (50, RESUMED)],
    ],
)
def test_without_a_result_there_is_no_idle_fraction(entries):
    found = times(log(*entries), SPEC)
    assert (found.idle_fraction, found.idle_s, found.held_s, found.span_s) == (0, 0, 0, 0)


def test_a_span_spent_wholly_in_a_pause():
    found = times(
        log(
            (0, opened()),
            (1, proposed(1)),
            (2, leased(1)),
            (2, PAUSED),
            (3, started(1)),
            (9, acquired(1)),
            (10, measured(1, y=1.0)),
        ),
        SPEC,
    )
    assert (found.held_s, found.span_s, found.idle_fraction) == (7, 7, 0)


def test_a_clock_that_was_set_back_gives_no_negative_time():
    found = times(
        log(
            (100, opened()),
            (101, proposed(1)),
            (102, leased(1)),
            (110, started(1)),
            (90, acquired(1)),
            (91, measured(1, y=1.0)),
        ),
        SPEC,
    )
    assert min(found.span_s, found.idle_s, found.held_s, found.instrument_busy_s) == 0
    assert found.idle_fraction == 0


@given(seed=st.integers(0, 2**32), steps=st.integers(0, 120), trials=st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_the_parts_add_up_whatever_happens(seed, steps, trials):
    events = Random(seed).grow(steps)
    found = times(events, campaign(budget={"trials": trials}))
    parts = [getattr(found, part) for part in PARTS]
    assert min(parts) >= 0
    assert sum(parts) == pytest.approx(found.span_s)
    assert 0 <= found.idle_fraction <= 1


@given(seed=st.integers(0, 2**32), steps=st.integers(0, 60), trials=st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_idle_is_what_the_words_say(seed, steps, trials):
    """The same from the state at each event, by the letter."""
    events = Random(seed).grow(steps)
    found = times(events, campaign(budget={"trials": trials}))
    starts = [one.at for one in events if isinstance(one, ev.Started)]
    results = [one.at for one in events if isinstance(one, (ev.Measured, ev.Invalidated))]
    idle, is_ready = 0.0, True
    for number, (event, following) in enumerate(zip(events, events[1:], strict=False), 1):
        state = fold(events[:number])
        if isinstance(event, ev.InstrumentChanged):
            is_ready = event.state == "ready"
        waits = not any(
            one.state in (*BEFORE_THE_DATA, TrialState.SUSPECT) for one in state.trials.values()
        )
        has_budget = len(state.trials) < trials
        if is_ready and state.status is CampaignStatus.RUNNING and waits and has_budget:
            begin, end = max(event.at, starts[0]) if starts else 0, results[-1] if results else 0
            idle += max(0.0, min(following.at, end) - begin)
    assert found.idle_s == pytest.approx(idle if starts and results else 0.0)


@pytest.mark.parametrize(
    ("entries", "now", "seconds"),
    [
        ([], 500, 0),
        ([(100, started(1))], 500, 400),
        ([(100, started(1)), (200, PAUSED)], 500, 100),
        ([(100, started(1)), (200, PAUSED), (300, RESUMED)], 500, 300),
        ([(50, PAUSED), (100, started(1))], 500, 0),
        ([(50, PAUSED), (100, started(1)), (150, RESUMED)], 500, 350),
        ([(100, started(1)), (200, SUSPENDED), (250, PAUSED), (300, RESUMED)], 500, 300),
    ],
)
def test_beam_seconds(entries, now, seconds):
    state = fold(log((0, opened()), (1, proposed(1)), (2, leased(1)), *entries))
    assert beam_seconds(state, now) == seconds
