"""What a log says about itself, and the words for what does not fit."""

from dataclasses import replace
from typing import Any

from orchestrator.domain import events as ev
from orchestrator.domain.chain import CHAIN, Entry, Head, StoredCampaign, link
from orchestrator.domain.recomputation import Grade
from orchestrator.domain.state import fold
from orchestrator.domain.verification import (
    Verdict,
    chain_divergences,
    read,
    spec_differences,
    start_divergences,
    state_divergences,
)
from orchestrator.domain.verification_words import lines
from tests.unit.domain.builders import log, measured, opened, run


def stored(*happened: ev.Event) -> StoredCampaign:
    events = log(*((float(second), event) for second, event in enumerate(happened)))
    entries, head = list[Entry](), Head()
    for event in events:
        fields = ev.to_fields(event)
        fields[CHAIN] = link(head, fields)
        entries.append(Entry(event.id, fields))
        head = Head(event.id, fields[CHAIN])
    trials = {number: str(trial.state) for number, trial in fold(events).trials.items()}
    return StoredCampaign(entries, head, "running", trials)


WHOLE = stored(opened(), *run(1, measured(1, y=1.0)))


def test_control_a_log_as_it_was_written_diverges_nowhere() -> None:
    reading = read(WHOLE.entries)
    assert reading.problem is None
    assert not [*chain_divergences(WHOLE), *state_divergences(WHOLE, reading)]


def test_a_log_is_read_up_to_what_is_impossible() -> None:
    entries = [*WHOLE.entries[:2], *WHOLE.entries[3:]]  # never leased
    reading = read(entries)
    assert [one.id for one in reading.events] == ["0001-0", "0002-0"]
    (found,) = state_divergences(replace(WHOLE, entries=entries), reading)
    assert (found.event_id, found.recorded) == ("0004-0", "started")
    assert "cannot go from queued to running" in found.sentence


def test_what_cannot_be_read_is_named() -> None:
    for fields in ({"type": "invented", "v": "1"}, {"type": "leased", "v": "1", "data": "{"}):
        reading = read([WHOLE.entries[0], Entry("0002-0", fields)])
        assert reading.problem is not None
        assert "0002-0" in reading.problem.sentence
    assert "does not begin with the opening" in read(WHOLE.entries[1:]).problem.reason  # type: ignore[union-attr]


def test_what_the_ledger_goes_by_must_be_what_its_log_says() -> None:
    reading = read(WHOLE.entries)
    trials = {1: "invalid", 2: "queued"}
    found = list(state_divergences(replace(WHOLE, status="done", trials=trials), reading))
    assert [(one.what, one.trial_id, one.recorded, one.found) for one in found] == [
        ("status", None, "done", "running"),
        ("state", 1, "invalid", "measured"),
        ("state", 2, "queued", "no trial"),
    ]


def start(**changes: Any) -> dict[str, Any]:
    whole = {"campaign_id": "scan-1", "trial_id": 1, "attempt": 1, "fence": 1}
    return {**whole, "parameters": {"x": 1.0}, **changes}


def test_a_start_document_is_about_its_trial() -> None:
    reading = read(WHOLE.entries)
    (acquired,) = (one for one in reading.events if isinstance(one, ev.Acquired))
    about = (acquired, reading.state.trials[1], "scan-1")
    assert not list(start_divergences(*about, start()))
    for name, value in {"campaign_id": "x", "trial_id": 2, "attempt": 3, "fence": 9}.items():
        (found,) = start_divergences(*about, start(**{name: value}))
        assert (found.what, found.found) == (name, repr(value))
    (found,) = start_divergences(*about, start(parameters={"x": 1.5}))
    assert (found.what, found.recorded, found.found) == ("parameter x", "1.0", "1.5")
    told_again = replace(acquired, salvaged=True), *about[1:]
    assert not list(start_divergences(*told_again, start(fence=7)))


def test_two_files_are_compared_key_by_key() -> None:
    one = {"a": {"b": [1, 2], "c": 3}, "d": 4}
    other = {"a": {"b": [1, 3], "c": 3}, "e": 5}
    assert list(spec_differences(one, other)) == [
        ("a.b", [1, 2], [1, 3]),
        ("d", 4, None),
        ("e", None, 5),
    ]
    assert not list(spec_differences(one, one))


def test_the_verdict_is_as_good_as_its_worst_part() -> None:
    counts: dict[str, Any] = {"events": 6, "read": 6, "trials": {"measured": 1}, "documents": 1}
    counts |= {"outcomes": {"bitwise": 1}, "proposals": {}}
    verdict = Verdict("scan-1", "6-0:ab", counts, [], [])
    assert verdict.grade is Grade.BITWISE
    assert lines(verdict)[-1] == "verified: bitwise"
    close = replace(verdict, counts={**counts, "outcomes": {"within 1e-6": 1}})
    assert close.to_data()["verified"] == "within 1e-6"
    broken = replace(WHOLE, entries=[WHOLE.entries[0], *WHOLE.entries[2:]])
    bad = replace(verdict, divergences=list(chain_divergences(broken)))
    assert (bad.grade, bad.to_data()["verified"]) == (None, None)
    assert lines(bad)[-2].startswith("first: event 0003-0: chain was recorded as")
    assert lines(bad)[-1] == "not verified: 1 divergence"
