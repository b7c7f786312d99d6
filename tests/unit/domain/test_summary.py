import json

import pytest

from orchestrator.domain import events as ev
from orchestrator.domain.accounting import PARTS
from orchestrator.domain.state import fold
from orchestrator.domain.summary import columns, iso, rows, summary
from orchestrator.domain.trial import Outcome, TrialState
from tests.unit.domain.builders import (
    campaign,
    failed,
    log,
    measured,
    opened,
    proposed,
    results,
    run,
    state_of,
)

SPEC = campaign(
    parameters={"x": {"arg": "x", "range": [0, 9]}, "gas": {"arg": "gas", "choices": ["N2", "Ar"]}},
    constraints={"outcomes": ["e <= 3"]},
)


def _measured(trial_id: int, **outcomes: Outcome) -> ev.Measured:
    return ev.Measured(trial_id=trial_id, outcomes=outcomes)


def test_columns_stand_in_the_promised_order():
    extra = _measured(1, extra=Outcome(1.0), y=Outcome(2.0), e=Outcome(0.0))
    state = state_of(opened(SPEC), *run(1, extra))
    assert columns(state, SPEC) == [
        *("trial_id", "state", "attempts", "source"),
        *("x", "gas"),
        *("y", "y_sem", "e", "e_sem", "extra", "extra_sem"),
        *("run_uid", "proposed_at", "started_at", "measured_at"),
    ]


def test_the_columns_are_there_before_anything_is_measured():
    assert columns(state_of(opened(SPEC)), SPEC)[6:10] == ["y", "y_sem", "e", "e_sem"]
    assert rows(state_of(opened(SPEC)), SPEC) == []


def test_a_row_for_each_trial():
    state = fold(
        log(
            (1_800_000_000.25, opened(SPEC)),
            (1_800_000_001.0, proposed(1, x=0.1 + 0.2, gas="Ar")),
            *((1_800_000_002.000001, event) for event in run(1)[1:]),
            (1_800_000_003.5, _measured(1, y=Outcome(1 / 3, 0.01), e=Outcome(2.0))),
            (1_800_000_004.0, proposed(2, x=1.0, gas="N2")),
        )
    )
    first, second = rows(state, SPEC)
    assert first == {
        "trial_id": 1,
        "state": "measured",
        "attempts": 1,
        "source": "initial",
        "x": 0.1 + 0.2,
        "gas": "Ar",
        "y": 1 / 3,
        "y_sem": 0.01,
        "e": 2.0,
        "e_sem": None,
        "run_uid": "uid-1",
        "proposed_at": "2027-01-15T08:00:01.000000Z",
        "started_at": "2027-01-15T08:00:02.000001Z",
        "measured_at": "2027-01-15T08:00:03.500000Z",
    }
    empty = ("y", "y_sem", "e", "e_sem", "run_uid", "started_at", "measured_at")
    assert all(second[name] is None for name in empty)
    assert list(first) == list(second) == columns(state, SPEC)


def test_an_outcome_never_replaces_another_column():
    stray = _measured(1, y=Outcome(1.0), x=Outcome(99.0), state=Outcome(7.0), y_sem=Outcome(8.0))
    state = state_of(opened(SPEC), proposed(1, x=3.0, gas="Ar"), *run(1, stray)[1:])
    names = columns(state, SPEC)
    assert len(names) == len(set(names))
    (row,) = rows(state, SPEC)
    assert (row["x"], row["state"], row["y"], row["y_sem"]) == (3.0, "measured", 1.0, None)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (None, None),
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (1_800_000_000.123456, "2027-01-15T08:00:00.123456Z"),
    ],
)
def test_times_are_utc_with_microseconds(time, text):
    assert iso(time) == text


def _whole(*happened: ev.Event, **changes: object) -> dict[str, object]:
    spec = campaign(**changes)
    entries = enumerate([opened(spec), *happened])
    return summary(log(*((float(second), event) for second, event in entries)))


def test_the_object_that_scripts_read():
    ended = [
        ev.FinishRequested(by="policy", reason="budget of trials spent", ending="done"),
        ev.Ended(by="campaign", reason="budget of trials spent", status="done"),
    ]
    lost = run(3, failed(3, "abandoned"))
    found = _whole(*results(1.0, 5.0), *lost, *ended, budget={"trials": 3})
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["campaign_id"], found["mode"]) == ("scan-1", "twin")
    assert (found["status"], found["stop_reason"]) == ("done", "budget of trials spent")
    assert found["trials"] == {
        **dict.fromkeys(map(str, TrialState), 0),
        "measured": 2,
        "abandoned": 1,
    }
    assert found["best"] == {
        "trial_id": 2,
        "parameters": {"x": 2.0},
        "outcomes": {"y": {"mean": 5.0, "sem": None, "unit": ""}},
    }
    # 16 events, one a second: started at 3, 8 and 13; measured at 5 and 10, failed at 14.
    assert found["instrument_busy_s"] == 2 + 2 + 1
    assert found["wall_s"] == 16
    # Span 7 s: a plan runs for 2, hand-over 2, idle 1 + 1 after the first data, 1 after the second.
    assert found["span_s"] == 7 == sum(found[part] for part in PARTS)
    assert (found["measuring_s"], found["ledger_gap_s"], found["idle_s"]) == (2, 2, 3)
    assert found["idle_fraction"] == pytest.approx(3 / 7)
    assert (found["idle_fraction_sequential"], found["mean_lag"]) == (None, None)


def test_best_is_null_without_a_feasible_trial():
    terms = {"constraints": {"outcomes": ["z <= 1"]}}
    assert _whole()["best"] is None
    assert _whole(*run(1, measured(1, y=1.0, z=2.0)), **terms)["best"] is None


def test_best_is_a_list_for_several_objectives():
    two = {"objectives": {"y": {"goal": "maximize"}, "z": {"goal": "minimize"}}}
    happened = [
        *run(1, measured(1, y=1.0, z=0.0)),
        *run(2, measured(2, y=2.0, z=1.0)),
        *run(3, measured(3, y=0.5, z=0.5)),
    ]
    assert [one["trial_id"] for one in _whole(*happened, **two)["best"]] == [1, 2]
    assert _whole(**two)["best"] is None


def test_a_campaign_that_waits_says_for_what():
    needs = ev.NeedsPerson(by="worker", reason="look at the stage")
    found = _whole(*results(1.0), needs)
    assert (found["status"], found["waiting_for"]) == ("needs_person", "look at the stage")
    assert found["ended_at"] is None
