"""Which calls for help are due, and when: a night of events brings few messages."""

import re
from typing import Any

import pytest

from orchestrator.domain import events as ev
from orchestrator.domain.notice_words import example, written
from orchestrator.domain.notices import Due, Notice, NoticeKind, NoticeRules, due, matters
from orchestrator.domain.state import fold
from orchestrator.domain.trial import Outcome
from tests.unit.domain.builders import (
    campaign,
    leased,
    log,
    measured,
    opened,
    proposed,
    run,
    started,
)

RULES = NoticeRules(suspended_s=600.0, host="beamline-1", options="--data-dir '/data/my lab'")
START = 1_800_000_000.0
MINUTE, HOUR = 60.0, 3600.0


def asks(reason: str = "look at stage") -> ev.NeedsPerson:
    return ev.NeedsPerson(by="worker", reason=reason)


def suspended(reason: str = "pressure 9 bar") -> ev.Suspended:
    return ev.Suspended(by="condition", reason=reason)


def resumed() -> ev.Resumed:
    return ev.Resumed(by="somebody")


def fault(reason: str = "motor does not stop") -> ev.InstrumentChanged:
    return ev.InstrumentChanged(state="fault", reason=reason)


def ended(status: str = "done") -> ev.Ended:
    return ev.Ended(by="campaign", reason="budget spent", status=status)


def night(*entries: tuple[float, ev.Event], consumes_sample: bool = False) -> list[ev.Event]:
    """A campaign's log; times are seconds after its opening."""
    opening = opened(campaign(policy={"consumes_sample": consumes_sample}))
    return log((START, opening), *((START + at, event) for at, event in entries))


def told(happened: list[ev.Event], now: float, rules: NoticeRules = RULES) -> list[Notice]:
    found = due([e for e in happened if matters(e)], START + now, rules)
    return [written(one, fold(happened), rules) for one in found]


def all_night(happened: list[ev.Event], until: float, step: float = 30.0) -> list[tuple[str, int]]:
    """Kind and first minute of every notice that somebody who looks again and again ever sees."""
    seen: dict[str, tuple[str, int]] = {}
    now = 0.0
    while now <= until:
        past = [event for event in happened if event.at <= START + now]
        for one in due([e for e in past if matters(e)], START + now, RULES):
            seen.setdefault(one.key("scan-1"), (str(one.kind), int(now // MINUTE)))
        now += step
    return list(seen.values())


def test_an_ordinary_night_is_quiet_until_its_end() -> None:
    happened = night(*((float(n), event) for n, event in enumerate(run(1, measured(1, y=2.0)))))
    assert told(happened, 10.0) == []
    (notice,) = told([*happened, *log((START + 60, ended()))], 61.0)
    assert notice.kind is NoticeKind.OVER
    assert notice.subject == "[Labwright TWIN] scan-1 is over: done: budget spent"


@pytest.mark.parametrize("status", ["done", "stopped", "aborted", "failed"])
def test_every_ending_is_told(status: str) -> None:
    (notice,) = told(night((0.0, ended(status))), 1.0)
    assert f"is over: {status}" in notice.subject


def test_a_question_is_told_at_once_and_only_while_it_stands() -> None:
    happened = night((60.0, asks()))
    assert [one.kind for one in told(happened, 60.0)] == [NoticeKind.NEEDS_PERSON]
    assert told([*happened, *log((START + 90, resumed()))], 91.0) == []


def test_two_questions_at_once_are_two_messages() -> None:
    happened = night((0.0, asks("trial 17?")), (1.0, asks("trial 18?")))
    assert len(told(happened, 2.0)) == 2


def test_the_same_question_after_each_restart_rings_once_an_hour() -> None:
    happened = night(*((n * 5 * MINUTE, asks()) for n in range(36)))  # three hours
    assert all_night(happened, 3 * HOUR - 1) == [
        ("needs_person", 0),
        ("needs_person", 60),
        ("needs_person", 120),
    ]


def test_a_question_asked_once_is_not_repeated() -> None:
    assert all_night(night((0.0, asks())), 8 * HOUR) == [("needs_person", 0)]


def test_an_answered_question_that_comes_back_is_put_off_and_not_forgotten() -> None:
    happened = night((0.0, asks()), (5 * MINUTE, resumed()), (10 * MINUTE, asks()))
    assert all_night(happened, 8 * HOUR) == [("needs_person", 0), ("needs_person", 60)]
    answered = [*happened, *log((START + 20 * MINUTE, resumed()))]
    assert all_night(answered, 8 * HOUR) == [("needs_person", 0)]


def test_what_is_put_off_is_told_once_whoever_looks() -> None:
    happened = night(
        (0.0, asks()),
        (10 * MINUTE, asks()),
        (20 * MINUTE, resumed()),
        (30 * MINUTE, asks()),
    )
    keys = {one.key for now in (60, 61, 90) for one in told(happened, now * MINUTE)}
    assert len(keys) == 1
    assert "/0003-0/needs_person" in keys.pop(), "named after the first that was put off"


def test_another_reason_does_not_wait() -> None:
    happened = night((0.0, asks("trial 17?")), (MINUTE, resumed()), (2 * MINUTE, asks("trial 18?")))
    assert all_night(happened, HOUR) == [("needs_person", 0), ("needs_person", 2)]


def test_a_fault_is_told_while_it_stands_and_also_when_the_campaign_is_over() -> None:
    happened = night((0.0, fault()))
    assert [one.kind for one in told(happened, 1.0)] == [NoticeKind.FAULT]
    over = [*happened, *log((START + 2, ended("aborted")))]
    assert [one.kind for one in told(over, 3.0)] == [NoticeKind.FAULT, NoticeKind.OVER]
    cleared = [*happened, *log((START + 2, ev.InstrumentChanged(state="ready")))]
    assert told(cleared, 3.0) == []


def test_other_changes_of_the_instrument_call_nobody() -> None:
    changes = [ev.InstrumentChanged(state=one) for one in ("unknown", "recovering", "ready")]
    assert told(night(*((float(n), one) for n, one in enumerate(changes))), HOUR) == []


def test_a_suspension_is_told_when_it_has_lasted_and_once() -> None:
    happened = night((0.0, suspended()))
    assert told(happened, 599.0) == []
    assert all_night(happened, 5 * HOUR) == [("suspended", 10)]
    over = [*happened, *log((START + 11 * MINUTE, resumed()))]
    assert told(over, 12 * MINUTE) == []


def test_a_flapping_condition_calls_nobody() -> None:
    flaps = [(n * MINUTE, suspended() if n % 2 == 0 else resumed()) for n in range(240)]
    assert all_night(night(*flaps), 4 * HOUR) == []


def test_each_long_suspension_is_told() -> None:
    happened = night((0.0, suspended()), (HOUR, resumed()), (2 * HOUR, suspended()))
    assert all_night(happened, 3 * HOUR) == [("suspended", 10), ("suspended", 130)]


def test_a_person_who_pauses_ends_the_suspension() -> None:
    happened = night((0.0, suspended()), (MINUTE, ev.Paused(by="me", reason="lunch")))
    assert all_night(happened, HOUR) == []


def test_a_fault_is_told_once_though_its_campaign_needs_a_person() -> None:
    happened = night((0.0, fault()), (1.0, asks()))
    assert all_night(happened, HOUR) == [("fault", 0)]


def test_yesterday_is_not_told_today() -> None:
    for event in (asks(), fault(), suspended(), ended()):
        assert told(night((0.0, event)), 24 * HOUR) == []


def test_a_ledger_whose_clock_is_ahead_keeps_nothing_back() -> None:
    assert [one.kind for one in told(night((60.0, ended())), 0.0)] == [NoticeKind.OVER]


def test_the_same_events_give_the_same_keys() -> None:
    happened = night((0.0, asks()), (1.0, fault()), (2.0, ended()))
    first, second = ([one.key for one in told(happened, now)] for now in (3.0, 300.0))
    assert first == second == ["scan-1/0003-0/fault", "scan-1/0004-0/over"]


# The words


def suspect() -> list[ev.Event]:
    return [
        proposed(1),
        leased(1),
        started(1),
        ev.LeaseExpired(trial_id=1, worker="w", moved=True),
    ]


def notices_of_all_kinds() -> list[Notice]:
    before = [(0.0, event) for event in suspect()]
    logs = [night(*before, (1.0, asks()), consumes_sample=True)]
    logs += [night((1.0, one)) for one in (asks(), fault(), suspended(), ended())]
    return [notice for happened in logs for notice in told(happened, 30 * MINUTE)]


def test_a_notice_says_what_happened_since_when_what_is_next_and_what_helps() -> None:
    before = [(0.0, event) for event in suspect()]
    happened = night(*before, (75.0, asks("look at the stage")), consumes_sample=True)
    (notice,) = told(happened, 80.0)
    assert notice.subject == "[Labwright TWIN] scan-1 needs a person: look at the stage"
    for wanted in (
        "Campaign scan-1 on instrument bench (TWIN) needs a person.",
        "look at the stage",
        "2027-01-15 08:01:15 UTC",
        "beamline-1",
        "nothing starts until somebody decides",
        "labwright run --resume scan-1 --data-dir '/data/my lab'",
        "labwright resolve 1 --as retry --campaign scan-1 --reason '...' --data-dir '/data/my lab'",
    ):
        assert wanted in notice.body
    assert "labwright resume" not in notice.body, "it is refused while a trial is undecided"


def test_without_an_undecided_trial_a_person_resumes() -> None:
    undecided = [(0.0, event) for event in suspect()]
    for before in ([], undecided):  # where no sample is at stake, evidence decides
        (notice,) = told(night(*before, (0.0, asks())), 1.0)
        assert "labwright resume scan-1" in notice.body


def test_the_end_names_the_best_trial() -> None:
    outcomes = {"y": Outcome(11.25, 0.1, "kg/h")}
    done = [*run(1), ev.Measured(trial_id=1, outcomes=outcomes)]
    happened = night(*((0.0, event) for event in done), (1.0, ended()))
    (notice,) = told(happened, 2.0)
    assert "1 of 1 trial measured; best is trial 1, y = 11.25 kg/h" in notice.body


def test_a_campaign_file_of_another_version_does_not_silence_its_end() -> None:
    strange = ev.Opened(
        campaign_id="scan-1", instrument="bench", mode="real", spec={"v": 9}, instrument_spec={}
    )
    happened = log((START, strange), (START + 1, ended()))
    (notice,) = told(happened, 2.0)
    assert "0 of 0 trials measured" in notice.body


def test_every_command_in_a_notice_exists() -> None:
    from orchestrator.cli import app

    bodies = "".join(notice.body for notice in notices_of_all_kinds())
    verbs = set(re.findall(r"^ +labwright ([a-z-]+)", bodies, re.MULTILINE))
    ordinary = {"status", "resume", "run", "resolve", "finish", "results", "report"}
    assert verbs == {*ordinary, "clear-fault"}
    for verb in verbs:
        assert app[verb]


@pytest.mark.parametrize(
    "reason",
    ["line\nBcc: everybody@example.org", "\x1b[2Jgone", "\ud800 half", "x" * 9000, ""],
)
def test_a_wild_reason_stays_one_tame_line(reason: str) -> None:
    (notice,) = told(night((0.0, asks(reason))), 1.0)
    assert len(notice.subject) <= 120
    assert notice.subject.isprintable()
    assert "\x1b" not in notice.body
    assert "\n\nBcc" not in notice.body
    assert len(notice.body) < 4000
    notice.body.encode()


def test_tests_differ_from_each_other_and_from_calls_for_help() -> None:
    one, two = example("a", START, "host"), example("b", START, "host")
    assert one.key != two.key
    assert "nothing has happened" in one.body


def test_a_due_notice_is_named_after_its_first_event() -> None:
    event: Any = night((0.0, asks()))[1]
    assert Due(NoticeKind.NEEDS_PERSON, 1.0, event, event).key("c") == "c/0002-0/needs_person"
