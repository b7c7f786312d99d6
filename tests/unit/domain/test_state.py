import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from orchestrator.domain import events as ev
from orchestrator.domain.errors import IllegalTransition
from orchestrator.domain.state import OVER, CampaignState, CampaignStatus, fold
from orchestrator.domain.trial import ARROWS, TERMINAL, Outcome, TrialState
from tests.unit.domain.builders import (
    acquired,
    failed,
    invalidated,
    leased,
    log,
    measured,
    opened,
    proposed,
    run,
    started,
    state_of,
    unreduced,
)

EXPIRED_AT_REST = ev.LeaseExpired(trial_id=1, worker="host-1", moved=False)
EXPIRED_MOVING = ev.LeaseExpired(trial_id=1, worker="host-1", moved=True)
ABANDONED = ev.Abandoned(trial_id=1, reason="leased 20 times")
CANCELLED = ev.Cancelled(trial_id=1, reason="not wanted", by="ann")

EVERY = {
    "leased": leased(1),
    "started": started(1),
    "expired at rest": EXPIRED_AT_REST,
    "expired moving": EXPIRED_MOVING,
    "failed to queue": failed(1),
    "failed for good": failed(1, "abandoned"),
    "failed by order": failed(1, "cancelled"),
    "acquired": acquired(1),
    "measured": measured(1, y=1.0),
    "invalidated": invalidated(1, y=-1.0),
    "unreduced": unreduced(1),
    "abandoned": ABANDONED,
    "cancelled": CANCELLED,
}
WAY_TO: dict[TrialState, Sequence[ev.Event]] = {
    TrialState.QUEUED: [],
    TrialState.LEASED: [leased(1)],
    TrialState.RUNNING: [leased(1), started(1)],
    TrialState.SUSPECT: [leased(1), started(1), EXPIRED_MOVING],
    TrialState.ACQUIRED: [leased(1), started(1), acquired(1)],
    TrialState.UNREDUCED: [leased(1), started(1), acquired(1), unreduced(1)],
    TrialState.MEASURED: [leased(1), started(1), acquired(1), measured(1, y=1.0)],
    TrialState.INVALID: [leased(1), started(1), acquired(1), invalidated(1, y=-1.0)],
    TrialState.ABANDONED: [leased(1), started(1), failed(1, "abandoned")],
    TrialState.CANCELLED: [CANCELLED],
}
LEADS_TO = {
    "leased": TrialState.LEASED,
    "started": TrialState.RUNNING,
    "expired at rest": TrialState.QUEUED,
    "expired moving": TrialState.SUSPECT,
    "failed to queue": TrialState.QUEUED,
    "failed for good": TrialState.ABANDONED,
    "failed by order": TrialState.CANCELLED,
    "acquired": TrialState.ACQUIRED,
    "measured": TrialState.MEASURED,
    "invalidated": TrialState.INVALID,
    "unreduced": TrialState.UNREDUCED,
    "abandoned": TrialState.ABANDONED,
    "cancelled": TrialState.CANCELLED,
}


@pytest.mark.parametrize("what", EVERY)
@pytest.mark.parametrize("before", WAY_TO)
def test_a_trial_goes_along_the_arrows_only(before, what):
    state = state_of(opened(), proposed(1), *WAY_TO[before])
    assert state.trials[1].state is before
    if LEADS_TO[what] in ARROWS[before]:
        assert fold([EVERY[what]], state).trials[1].state is LEADS_TO[what]
    else:
        with pytest.raises(IllegalTransition, match=f"trial 1 cannot go from {before} to"):
            fold([EVERY[what]], state)


@pytest.mark.parametrize("end", sorted(TERMINAL))
def test_nothing_leaves_a_terminal_state(end):
    state = state_of(opened(), proposed(1), *WAY_TO[end])
    assert state.trials[1].is_terminal
    for event in [*EVERY.values(), proposed(1)]:
        with pytest.raises(IllegalTransition):
            fold([event], state)


CORRECTED = ev.Corrected(
    trial_id=1,
    outcomes={"y": Outcome(2.5)},
    reducer="lab.reduce",
    reducer_sha256="",
    by="ann",
)


def test_the_newest_outcomes_of_a_measured_trial_count():
    state = state_of(opened(), proposed(1), *WAY_TO[TrialState.MEASURED])
    after = fold([CORRECTED], state).trials[1]
    assert after == replace(state.trials[1], outcomes={"y": Outcome(2.5)})


@pytest.mark.parametrize("before", [one for one in WAY_TO if one is not TrialState.MEASURED])
def test_only_a_measured_trial_is_corrected(before):
    state = state_of(opened(), proposed(1), *WAY_TO[before])
    with pytest.raises(IllegalTransition, match=f"trial 1 is {before}: nothing to correct"):
        fold([CORRECTED], state)


def test_every_state_can_come_to_an_end():
    for start in TrialState:
        seen = {start}
        while new := {after for one in seen for after in ARROWS[one]} - seen:
            seen |= new
        assert seen & TERMINAL


@pytest.mark.parametrize("trial_id", [0, 1, 3])
def test_trials_are_numbered_without_gaps_and_once(trial_id):
    with pytest.raises(IllegalTransition, match=f"proposes trial {trial_id} when 2 is next"):
        state_of(opened(), proposed(1), proposed(trial_id))


def test_an_event_of_a_trial_that_was_never_proposed():
    with pytest.raises(IllegalTransition, match="trial 1 was never proposed"):
        state_of(opened(), leased(1))


def test_a_whole_trial_is_remembered():
    log_ = log(
        (10.0, opened()),
        (11.0, proposed(1, x=0.1 + 0.2)),
        (12.0, leased(1)),
        (13.0, started(1)),
        (14.0, failed(1, crash=True)),
        (15.0, leased(1)),
        (16.0, started(1, attempt=2)),
        (20.0, acquired(1)),
        (21.0, unreduced(1)),
        (30.0, ev.Measured(trial_id=1, outcomes={"y": Outcome(5.0, 0.5, "V")})),
    )
    state = fold(log_)
    trial = state.trials[1]
    assert (trial.attempts, trial.crashes, trial.worker, trial.fence) == (2, 1, "host-1", 1)
    assert (trial.proposed_at, trial.started_at) == (11.0, 16.0)
    assert (trial.acquired_at, trial.measured_at) == (20.0, 30.0)
    assert (trial.parameters, trial.run_uid) == ({"x": 0.1 + 0.2}, "uid-1")
    assert (trial.outcomes, trial.reason) == ({"y": Outcome(5.0, 0.5, "V")}, None)
    assert (state.first_start, state.opened_at, state.changed_at) == (13.0, 10.0, 30.0)
    assert state.last_id == log_[-1].id
    assert state.next_trial == 2
    assert state.counts() == {**dict.fromkeys(map(str, TrialState), 0), "measured": 1}


def test_changed_at_is_the_time_of_the_last_event_of_any_kind():
    state = fold(log((1.0, opened()), (5.0, ev.InstrumentChanged(state="unknown"))))
    assert state.changed_at == 5.0
    assert fold([], state) == state


PAUSED = ev.Paused(by="ann", reason="lunch")
RESUMED = ev.Resumed(by="ann")
SUSPENDED = ev.Suspended(by="condition", reason="pressure is 9 bar")
NEEDS = ev.NeedsPerson(by="worker", reason="look at the stage")
FINISH = ev.FinishRequested(by="ann", reason="enough", ending="stopped")
ABORT = ev.AbortRequested(by="ann", reason="smoke", halt=False)
ENDED = ev.Ended(by="campaign", reason="enough", status="stopped")


def test_status_and_reason_follow_the_orders():
    seen = [
        (state.status, state.waiting_for, state.stop_reason)
        for n in range(1, 8)
        if (state := state_of(*[opened(), PAUSED, RESUMED, SUSPENDED, NEEDS, FINISH, ENDED][:n]))
    ]
    assert seen == [
        ("running", None, None),
        ("paused", "lunch", None),
        ("running", None, None),
        ("suspended", "pressure is 9 bar", None),
        ("needs_person", "look at the stage", None),
        ("finishing", None, "enough"),
        ("stopped", None, "enough"),
    ]


def test_an_abort_overrides_a_finish():
    state = state_of(opened(), FINISH, ABORT)
    assert (state.status, state.ending, state.stop_reason) == ("finishing", "aborted", "smoke")


@pytest.mark.parametrize(
    "event", [PAUSED, RESUMED, SUSPENDED, NEEDS], ids=lambda e: type(e).__name__
)
def test_a_campaign_that_winds_down_does_not_turn_back(event):
    with pytest.raises(IllegalTransition, match="when the campaign is finishing"):
        state_of(opened(), FINISH, event)


@pytest.mark.parametrize(
    "event",
    [PAUSED, RESUMED, SUSPENDED, NEEDS, FINISH, ABORT, ENDED],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.parametrize("status", sorted(OVER))
def test_a_campaign_that_is_over_stays_so(status, event):
    over = state_of(opened(), FINISH, replace(ENDED, status=status))
    assert over.is_over
    with pytest.raises(IllegalTransition, match=f"when the campaign is {status}"):
        fold([event], over)


def test_a_late_reduction_changes_the_trial_and_not_the_campaign():
    state = state_of(opened(), *run(1, unreduced(1)), FINISH, ENDED, measured(1, y=1.0))
    assert state.trials[1].state is TrialState.MEASURED
    assert (state.status, state.ended_at) == (CampaignStatus.STOPPED, 7.0)


def test_a_campaign_is_opened_once():
    with pytest.raises(IllegalTransition, match="a second time"):
        state_of(opened(), opened())


# Held time


def _held(*entries: tuple[float, ev.Event]) -> tuple[float, float | None]:
    state = fold(log((0.0, opened()), (1.0, proposed(1)), (2.0, leased(1)), *entries))
    return state.held_s, state.held_since


@pytest.mark.parametrize(
    ("entries", "held"),
    [
        ([(10, started(1)), (20, PAUSED), (50, RESUMED)], (30, None)),
        ([(10, started(1)), (20, PAUSED)], (0, 20)),
        ([(10, started(1)), (20, SUSPENDED), (30, PAUSED), (50, RESUMED)], (30, None)),
        ([(10, started(1)), (20, PAUSED), (25, RESUMED), (40, NEEDS), (41, RESUMED)], (6, None)),
        ([(10, started(1)), (20, PAUSED), (30, FINISH), (40, ENDED)], (10, None)),
        ([(10, started(1)), (20, SUSPENDED), (35, ABORT)], (15, None)),
        ([(5, PAUSED), (10, started(1)), (20, RESUMED)], (10, None)),
        ([(5, PAUSED), (8, RESUMED), (10, started(1))], (0, None)),
        ([(10, started(1)), (15, RESUMED)], (0, None)),
        ([(10, started(1)), (20, PAUSED), (22, ev.InstrumentChanged(state="ready"))], (0, 20)),
        ([(10, started(1)), (20, PAUSED), (30, acquired(1)), (50, RESUMED)], (30, None)),
    ],
)
def test_held_time_counts_from_the_first_start(entries, held):
    assert _held(*entries) == held


# A generator of legal logs


class Random:
    """Writes logs such as the ledger may write them, by chance."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 1_800_000_000.0
        self.log: list[ev.Event] = []
        self.state = CampaignState()
        self._add(opened())

    def grow(self, steps: int) -> list[ev.Event]:
        for _ in range(steps):
            if self.state.is_over:
                break
            self._add(self.rng.choice(self._possible()))
        return self.log

    def _add(self, event: ev.Event) -> None:
        self.now += self.rng.choice([0.0, 1e-6, self.rng.expovariate(1)])
        event = replace(event, id=f"{len(self.log):05d}-0", at=self.now)
        self.log.append(event)
        self.state = fold([event], self.state)

    def _possible(self) -> list[ev.Event]:
        found: list[ev.Event] = [
            ev.InstrumentChanged(state=state) for state in ("recovering", "ready")
        ]
        if self.state.status is CampaignStatus.FINISHING:
            found += [ABORT, ENDED]
        else:
            found += [proposed(self.state.next_trial)] * 3
            found += [PAUSED, RESUMED, SUSPENDED, NEEDS]
            found += [FINISH, ABORT] if self.rng.random() < 0.02 else []
        for trial in self.state.trials.values():
            for name, event in EVERY.items():
                if LEADS_TO[name] in ARROWS[trial.state]:
                    found.append(replace(event, trial_id=trial.trial_id))
        return found


@pytest.mark.parametrize("seed", range(20))
def test_a_fold_may_be_interrupted_anywhere(seed):
    events = Random(seed).grow(150)
    whole = fold(events)
    for cut in range(0, len(events) + 1, 7):
        assert fold(events[cut:], fold(events[:cut])) == whole
    one_by_one = CampaignState()
    for event in events:
        one_by_one = fold([event], one_by_one)
    assert one_by_one == whole


@pytest.mark.parametrize("seed", range(20))
def test_every_trial_is_in_exactly_one_state(seed):
    grown = Random(seed)
    grown.grow(150)
    assert sum(grown.state.counts().values()) == len(grown.state.trials)
    assert list(grown.state.trials) == list(range(1, grown.state.next_trial))
    assert 0 <= grown.state.held_s <= grown.now - 1_800_000_000.0


def test_folding_changes_nothing_that_was_given():
    before = state_of(opened(), proposed(1))
    fold([leased(1), started(1)], before)
    assert before.trials[1].state is TrialState.QUEUED
