import random
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.domain import events as ev
from orchestrator.domain.ranking import is_feasible
from orchestrator.domain.state import fold
from orchestrator.domain.stopping import Verdict, best_so_far, best_trials, verdict
from tests.unit.domain.builders import (
    campaign,
    failed,
    invalidated,
    log,
    measured,
    opened,
    proposed,
    results,
    run,
    state_of,
    unreduced,
)

NEVER = {"stop_after": {"failed_in_a_row": 0, "invalid_in_a_row": 0}}


def _verdict(happened: list[ev.Event], now: float = 0.0, **changes: Any) -> Verdict | None:
    return verdict(state_of(opened(), *happened), campaign(**changes), now)


def _ends(happened: list[ev.Event], **changes: Any) -> tuple[str, str] | None:
    found = _verdict(happened, **changes)
    return (str(found.ending), found.reason) if found else None


def test_a_campaign_goes_on_while_there_is_no_reason_to_end():
    assert _ends([]) is None
    assert _ends(results(1, 2, 3)) is None


# Budget


def test_the_budget_counts_trials_that_came_to_rest():
    happened = [*run(1, measured(1, y=1.0)), *run(2, failed(2, "abandoned")), *run(3)]
    assert _ends(happened, budget={"trials": 3}) is None
    happened.append(measured(3, y=1.0))
    assert _ends(happened, budget={"trials": 3}) == ("done", "budget of trials spent")


@pytest.mark.parametrize(
    "last",
    [failed(1, "abandoned"), invalidated(1, y=0.0), unreduced(1)],
    ids=["abandoned", "invalid", "unreduced"],
)
@pytest.mark.parametrize(
    "limit",
    [
        {"trials": 1},
        {"trials": 9, "beam_hours": 0.001},
        {"trials": 9, "deadline": "1970-01-01T00:01:00+00:00"},
    ],
    ids=["trials", "beam hours", "deadline"],
)
def test_whatever_ends_it_without_a_result_it_has_failed(last, limit):
    found = _verdict(run(1, last), now=100.0, budget=limit, policy=NEVER)
    assert found is not None
    assert found.ending == "failed"
    assert found.reason.endswith(", but nothing was measured")


# Target


TARGET = {"stop": {"target": {"y": ">= 10"}}}


def test_the_target_may_be_met_exactly():
    assert _ends(results(1, 9.999), **TARGET) is None
    assert _ends(results(1, 10.0, 3), **TARGET) == ("done", "target reached by trial 2")


def test_an_infeasible_trial_reaches_no_target():
    terms = {**TARGET, "constraints": {"outcomes": ["z <= 1"]}}
    assert _ends(run(1, measured(1, y=20.0, z=1.1)), **terms) is None
    assert _ends(run(1, measured(1, y=20.0, z=1.0)), **terms) is not None


def test_an_invalid_trial_reaches_no_target():
    assert _ends(run(1, invalidated(1, y=20.0)), **TARGET) is None


def test_all_targets_are_to_be_met_by_one_trial():
    terms = {
        "objectives": {"y": {"goal": "maximize"}, "z": {"goal": "minimize"}},
        "stop": {"target": {"y": ">= 10", "z": "<= 1"}},
    }
    apart = [*run(1, measured(1, y=11.0, z=2.0)), *run(2, measured(2, y=9.0, z=0.5))]
    assert _ends(apart, **terms) is None
    together = [*apart, *run(3, measured(3, y=10.0, z=1.0))]
    assert _ends(together, **terms) == ("done", "target reached by trial 3")


# Stalled


STALLED = {"stop": {"stalled_for": 3}}


@pytest.mark.parametrize(
    ("values", "goal", "ends"),
    [
        ([1, 5, 4, 3], "maximize", False),
        ([1, 5, 4, 3, 2], "maximize", True),
        ([5, 1, 2, 3, 4], "minimize", True),
        ([5, 5, 5, 5], "maximize", True),  # to be as good is no improvement
        ([5, 4, 3, 5.0001], "maximize", False),
        ([1, 2, 3, 4], "maximize", False),
    ],
)
def test_stalled_without_a_better_trial(values, goal, ends):
    found = _ends(results(*values), objectives={"y": {"goal": goal}}, **STALLED)
    assert found == (("done", "no improvement in 3 trials") if ends else None)


def test_infeasible_trials_count_as_no_improvement_once_there_is_a_feasible_one():
    terms = {**STALLED, "constraints": {"outcomes": ["z <= 1"]}}
    bad = [event for n in (1, 2, 3) for event in run(n, measured(n, y=99.0, z=2.0))]
    assert _ends(bad, **terms) is None
    good = [*bad, *run(4, measured(4, y=1.0, z=0.0))]
    assert _ends(good, **terms) is None
    worse = [event for n in (5, 6, 7) for event in run(n, measured(n, y=99.0, z=2.0))]
    assert _ends([*good, *worse], **terms) == ("done", "no improvement in 3 trials")


def test_trials_that_were_not_measured_do_not_stall():
    lost = [event for n in (2, 3, 4, 5) for event in run(n, failed(n, "abandoned"))]
    assert _ends([*run(1, measured(1, y=1.0)), *lost], policy=NEVER, **STALLED) is None


def test_with_several_objectives_a_point_as_good_as_the_front_is_no_improvement():
    terms = {"objectives": {"y": {"goal": "maximize"}, "z": {"goal": "maximize"}}, **STALLED}
    same = [event for n in (1, 2, 3, 4) for event in run(n, measured(n, y=1.0, z=1.0))]
    assert _ends(same, **terms) == ("done", "no improvement in 3 trials")
    wider = [*same, *run(5, measured(5, y=2.0, z=0.0))]
    assert _ends(wider, **terms) is None


# Bad trials in a row


def _row(*kinds: str) -> list[ev.Event]:
    last = {
        "ok": lambda n: measured(n, y=1.0),
        "lost": lambda n: failed(n, "abandoned"),
        "raised": unreduced,
        "invalid": lambda n: invalidated(n, y=0.0),
    }
    happened: list[ev.Event] = []
    for n, kind in enumerate(kinds, 1):
        if kind == "cancelled":
            happened += [proposed(n), ev.Cancelled(trial_id=n, reason="", by="ann")]
        elif kind == "running":
            happened += run(n)
        else:
            happened += run(n, last[kind](n))
    return happened


@pytest.mark.parametrize(
    ("kinds", "reason"),
    [
        (["lost", "lost"], None),
        (["lost", "lost", "lost"], "3 trials failed in a row"),
        (["ok", "lost", "raised", "lost"], "3 trials failed in a row"),
        (["lost", "lost", "ok", "lost"], None),
        (["lost", "lost", "invalid", "lost"], None),
        (["lost", "cancelled", "lost", "running", "lost"], "3 trials failed in a row"),
        (["invalid", "invalid", "invalid"], "3 trials in a row were invalid"),
        (["invalid", "invalid", "lost", "invalid"], None),
        (["invalid", "cancelled", "invalid", "invalid"], "3 trials in a row were invalid"),
    ],
)
def test_bad_trials_in_a_row(kinds, reason):
    found = _ends(_row(*kinds))
    assert found == (None if reason is None else ("failed", reason))


def test_zero_never_gives_up():
    assert _ends(_row(*["lost"] * 6, *["invalid"] * 3), policy=NEVER) is None


# Time


HOUR = {"budget": {"trials": 10, "beam_hours": 1}}


def _timed(*entries: tuple[float, ev.Event], now: float) -> tuple[str, str] | None:
    state = fold(log((0, opened()), (50, proposed(1)), *entries))
    found = verdict(state, campaign(**HOUR), now)
    return (str(found.ending), found.reason) if found else None


ONE = [(100, e) for e in run(1, measured(1, y=1.0))[1:]]
PAUSE, RESUME = ev.Paused(by="ann"), ev.Resumed(by="ann")


def test_beam_hours_count_from_the_first_start():
    assert _timed(*ONE, now=3699.9) is None
    assert _timed(*ONE, now=3700) == ("done", "budget of beam hours spent")


def test_beam_hours_have_not_begun_before_the_first_start():
    assert _timed(now=1e9) is None


def test_paused_and_suspended_time_costs_no_beam():
    held = [*ONE, (200, PAUSE), (1200, RESUME)]
    assert _timed(*held, now=4699) is None
    assert _timed(*held, now=4700) is not None
    suspended = [*held, (1300, ev.Suspended(by="condition")), (1400, RESUME)]
    assert _timed(*suspended, now=4799) is None
    assert _timed(*suspended, now=4800) is not None


def test_a_pause_that_lasts_costs_no_beam():
    assert _timed(*ONE, (200, PAUSE), now=1e9) is None


def test_the_deadline_is_a_moment_whatever_the_time_zone():
    terms = {"budget": {"trials": 10, "deadline": "2026-12-24T08:00:00+01:00"}}
    moment = 1798095600.0
    assert _verdict(results(1), now=moment - 1e-3, **terms) is None
    found = _verdict(results(1), now=moment, **terms)
    assert found == Verdict("done", "deadline reached", "deadline")  # type: ignore[arg-type]


def test_a_deadline_counts_while_paused():
    happened = [*results(1), PAUSE]
    terms = {"budget": {"trials": 10, "deadline": "1970-01-01T01:00:00+00:00"}}
    assert _verdict(happened, now=3600, **terms) is not None


# The best


def _best(happened: list[ev.Event], **changes: Any) -> list[int]:
    return [one.trial_id for one in best_trials(state_of(opened(), *happened), campaign(**changes))]


@pytest.mark.parametrize(
    ("values", "goal", "best"),
    [
        ([], "maximize", []),
        ([1, 3, 2], "maximize", [2]),
        ([1, 3, 2], "minimize", [1]),
        ([3, 3, 3], "maximize", [1]),
        ([-0.0, 0.0], "minimize", [1]),
        ([-1e308, 1e308], "maximize", [2]),
    ],
)
def test_the_best_of_one_objective(values, goal, best):
    assert _best(results(*values), objectives={"y": {"goal": goal}}) == best


def test_the_best_keeps_the_constraints_and_was_measured():
    happened = [
        *run(1, measured(1, y=1.0, z=0.0)),
        *run(2, measured(2, y=9.0, z=1.1)),
        *run(3, invalidated(3, y=99.0, z=0.0)),
        *run(4, measured(4, y=2.0, z=1.0)),
        *run(5, unreduced(5)),
        *run(6),
    ]
    assert _best(happened, constraints={"outcomes": ["z <= 1"]}) == [4]
    assert _best(happened, constraints={"outcomes": ["z >= 5"]}) == []
    assert _best(happened, constraints={"outcomes": ["y + z <= 1.5"]}) == [1]


def _dominated(one: tuple[float, float], others: list[tuple[float, float]]) -> bool:
    """y is maximized, z minimized."""
    return any(o[0] >= one[0] and o[1] <= one[1] and o != one for o in others)


@pytest.mark.parametrize("seed", range(10))
def test_the_front_of_two_objectives(seed):
    rng = random.Random(seed)
    points = [(float(rng.randrange(8)), float(rng.randrange(8))) for _ in range(25)]
    happened = [e for n, (y, z) in enumerate(points, 1) for e in run(n, measured(n, y=y, z=z))]
    front = [
        n
        for n, point in enumerate(points, 1)
        if not _dominated(point, points) and point not in points[: n - 1]
    ]
    two = {"y": {"goal": "maximize"}, "z": {"goal": "minimize"}}
    assert _best(happened, objectives=two) == front


def test_the_trace_of_the_best_so_far():
    happened = [
        *run(1, measured(1, y=2.0, z=0.0)),
        *run(2, measured(2, y=9.0, z=3.0)),
        *run(3, measured(3, y=1.0, z=0.0)),
        *run(4, measured(4, y=5.0, z=0.0)),
    ]
    state = state_of(opened(), *happened)
    spec = campaign(constraints={"outcomes": ["z <= 1"]})
    assert best_so_far(state, spec) == [(1, 2.0), (3, 2.0), (4, 5.0)]
    down = campaign(objectives={"y": {"goal": "minimize"}})
    assert best_so_far(state, down) == [(1, 2.0), (2, 2.0), (3, 1.0), (4, 1.0)]
    assert not is_feasible(state.trials[2], spec)


def test_the_first_reason_counts():
    terms = {"budget": {"trials": 1}, **TARGET}
    assert _ends(results(10.0), **terms) == ("done", "budget of trials spent")


# Conditions


def _suspended(reason: str, **condition: Any) -> list[ev.Event]:
    spec = {"conditions": [{"signal": "beam", "suspend_below": 50, **condition}]}
    return [replace(opened(), instrument_spec=spec), ev.Suspended(by="condition", reason=reason)]


@pytest.mark.parametrize(
    ("happened", "ends_at"),
    [
        (_suspended("beam is 0, below 50", fail_after_s=600), 601),
        (_suspended("beam is 0, below 50"), None),
        (_suspended("no room on the disk", fail_after_s=600), None),
    ],
    ids=["patience", "without end", "something else"],
)
def test_a_condition_that_stays_tripped_fails_the_campaign_if_so_wished(happened, ends_at):
    state = state_of(*happened)  # suspended at 1
    for now in (1, 600, 601, 1e6):
        found = verdict(state, campaign(), now)
        assert (found is not None) is (ends_at is not None and now >= ends_at)
        if found:
            reason = "suspended for 600 s: beam is 0, below 50"
            assert found == Verdict("failed", reason, "fail_after_s")  # type: ignore[arg-type]


def test_a_condition_that_is_good_again_is_forgotten():
    again = ev.Resumed(by="condition", reason="good")
    state = state_of(*_suspended("beam is 0, below 50", fail_after_s=600), again)
    assert verdict(state, campaign(), 1e6) is None
