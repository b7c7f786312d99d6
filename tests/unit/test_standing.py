"""One line for each case an operator may meet at 3 a.m."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.domain import events as ev
from orchestrator.domain.state import fold
from orchestrator.ports import InstrumentRecord, InstrumentState
from orchestrator.standing import standing

NOW = 1000.0
ALL = {"worker", "campaign", "server"}
OPENED = ev.Opened(campaign_id="c", instrument="i", mode="twin", spec={}, instrument_spec={})
PROPOSED = ev.Proposed(trial_id=1, parameters={}, source="initial", basis="0", seed=0)
LEASED = ev.Leased(trial_id=1, worker="w", fence=1)
STARTED = ev.Started(trial_id=1, attempt=2, fence=1)
DIED = ev.LeaseExpired(trial_id=1, worker="w", moved=True)
ACQUIRED = ev.Acquired(trial_id=1, attempt=2, run_uid="u", documents="d", sha256="s")
READY = InstrumentRecord(InstrumentState.READY)


def driven(**about: Any) -> InstrumentRecord:
    record = {"campaign_id": "c", "trial_id": 1, "holder": "w", "seen": NOW - 2, **about}
    return InstrumentRecord(InstrumentState.LEASED, **record)


CASES = [
    ([], READY, ALL, False, "waits for a proposal for 50 s"),
    ([], READY, {"worker"}, True, "no campaign process is there"),
    ([PROPOSED], READY, ALL, False, "trial 1 waits for a worker for 50 s"),
    ([PROPOSED], READY, {"campaign"}, True, "no worker process is there"),
    ([PROPOSED, LEASED, STARTED], driven(), ALL, False, "being measured, attempt 2, for 50 s"),
    ([PROPOSED, LEASED, STARTED], driven(deadline=NOW + 300), ALL, False, "done within 5 min"),
    ([PROPOSED, LEASED, STARTED], driven(deadline=NOW - 9), ALL, True, "done 9 s ago: the plan is"),
    ([PROPOSED, LEASED, STARTED], driven(seen=NOW - 11), ALL, True, "no sign of life for 11 s"),
    ([PROPOSED, LEASED, STARTED], driven(), set(), True, "is gone, and nobody replaces it: 'lab"),
    ([ev.Paused(by="me", reason="x")], READY, set(), False, "nothing runs it at present: 'labwr"),
    ([ev.Suspended(by="c", reason="x")], READY, set(), True, "nothing runs it at present"),
    ([PROPOSED], driven(campaign_id="other"), ALL, False, "campaign other uses it"),
    ([PROPOSED, LEASED, STARTED, ACQUIRED], READY, ALL, False, "trial 1 is being reduced"),
    (
        [PROPOSED, LEASED, STARTED, DIED],
        InstrumentRecord(InstrumentState.UNKNOWN),
        ALL,
        False,
        "a new worker is about to look at the instrument after a crash; then trial 1 is recovered",
    ),
    (
        [PROPOSED, LEASED, STARTED, DIED],
        InstrumentRecord(InstrumentState.UNKNOWN),
        {"campaign"},
        True,
        "no worker is there",
    ),
    (
        [PROPOSED, LEASED, STARTED, DIED],
        InstrumentRecord(InstrumentState.RECOVERING),
        ALL,
        False,
        "observed after a crash until all stands still",
    ),
    ([], InstrumentRecord(InstrumentState.FAULT, reason="hot"), ALL, True, r"in fault \(hot\)"),
    ([ev.Paused(by="me", reason="lunch")], READY, ALL, False, "paused for 50 s: lunch; 'labwright"),
    ([ev.Suspended(by="c", reason="p is 9")], READY, ALL, False, "p is 9; it goes on by itself"),
    ([ev.NeedsPerson(by="w", reason="look")], READY, ALL, True, "needs a person for 50 s: look"),
    (
        [PROPOSED, LEASED, STARTED, ev.Paused(by="me", reason="lunch")],
        driven(),
        ALL,
        False,
        "lets it go on; trial 1 still runs",
    ),
    (
        [PROPOSED, LEASED, STARTED, ev.Paused(by="me", reason="lunch")],
        driven(),
        set(),
        False,
        "services start one$",
    ),
    (
        [PROPOSED, LEASED, STARTED, ev.NeedsPerson(by="w", reason="look")],
        driven(),
        ALL,
        True,
        "look; trial 1 still runs",
    ),
    (
        [replace(PROPOSED, source="realignment"), LEASED, STARTED],
        driven(),
        ALL,
        False,
        "trial 1 realigns the instrument, attempt 2, for 50 s",
    ),
    (
        [ev.FinishRequested(by="me", reason="enough", ending="stopped")],
        READY,
        ALL,
        False,
        r"finishing \(enough\): waits for a proposal",
    ),
    (
        [ev.Ended(by="c", reason="budget spent", status="done")],
        READY,
        set(),
        False,
        "over: done, b",
    ),
]


@pytest.mark.parametrize(("log", "instrument", "roles", "is_alarm", "words"), CASES)
def test_a_line_says_what_it_waits_for_and_what_happens_next(
    log: list[ev.Event], instrument: InstrumentRecord, roles: set[str], is_alarm: bool, words: str
) -> None:
    events = [replace(event, id=f"{n}-0", at=NOW - 50) for n, event in enumerate([OPENED, *log], 1)]
    found = standing(fold(events), instrument, roles, NOW)
    import re

    assert re.search(words, found.sentence), found.sentence
    assert found.is_alarm is is_alarm
