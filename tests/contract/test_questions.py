"""A plan's question in the ledger: asked once, answered once, gone with its attempt."""

from dataclasses import replace

import pytest

from orchestrator.domain import events as ev
from orchestrator.domain.accounting import times
from orchestrator.domain.errors import LeaseLost
from orchestrator.domain.events import to_fields
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import fold
from orchestrator.ports import InstrumentState, Lease, Ledger
from tests.contract.test_ledgers import CAMPAIGN, INSTRUMENT, _evidence, _failed, _leased, opened
from tests.unit.domain.builders import campaign as campaign_spec

__all__ = ["opened"]


def _asked(lease: Lease, number: int = 1) -> ev.Asked:
    question = f"{lease.trial_id}-{lease.fence}-{number}"
    return ev.Asked(trial_id=lease.trial_id, question=question, text="loaded?")


def _answered(asked: ev.Asked, text: str = "yes") -> ev.Answered:
    return ev.Answered(trial_id=asked.trial_id, question=asked.question, text=text, by="a person")


@pytest.fixture
def lease(opened: Ledger) -> Lease:
    lease = _leased(opened)
    opened.start(lease)
    return lease


def kinds(ledger: Ledger) -> list[str]:
    return [to_fields(one)["type"] for one in ledger.events(CAMPAIGN)][4:]


@pytest.mark.parametrize("text", ["yes", "", "a\N{SNOWMAN}b"])
def test_a_question_is_answered_once(opened: Ledger, lease: Lease, text: str) -> None:
    asked = _asked(lease)
    assert opened.ask(lease, asked) is None
    assert opened.ask(lease, asked) is None
    waiting = fold(opened.events(CAMPAIGN)).asking
    assert waiting is not None
    assert waiting.question is not None
    assert (waiting.trial_id, waiting.question.text) == (1, "loaded?")
    answer = _answered(asked, text)
    assert opened.answer(CAMPAIGN, answer)
    assert opened.answer(CAMPAIGN, answer), "sent again after a lost reply"
    assert not opened.answer(CAMPAIGN, replace(answer, by="another")), "it was answered"
    assert opened.ask(lease, asked) == text
    assert fold(opened.events(CAMPAIGN)).asking is None
    assert kinds(opened) == ["asked", "answered"]


def test_a_further_question_has_an_answer_of_its_own(opened: Ledger, lease: Lease) -> None:
    first, second = _asked(lease), _asked(lease, 2)
    opened.ask(lease, first)
    opened.answer(CAMPAIGN, _answered(first))
    assert opened.ask(lease, second) is None
    assert not opened.answer(CAMPAIGN, _answered(first, "no"))
    assert opened.answer(CAMPAIGN, _answered(second, "12"))
    assert opened.ask(lease, second) == "12"


def test_a_question_ends_with_its_attempt(opened: Ledger, lease: Lease) -> None:
    asked = _asked(lease)
    opened.ask(lease, asked)
    opened.expire(INSTRUMENT, dead=lease.worker)
    assert fold(opened.events(CAMPAIGN)).asking is None
    assert not opened.answer(CAMPAIGN, _answered(asked))
    with pytest.raises(LeaseLost):
        opened.ask(lease, asked)


def test_the_next_attempt_asks_anew(opened: Ledger, lease: Lease) -> None:
    asked = _asked(lease)
    opened.ask(lease, asked)
    opened.answer(CAMPAIGN, _answered(asked))
    opened.fail(lease, _failed(lease), InstrumentState.READY)
    again = opened.acquire(CAMPAIGN, INSTRUMENT, lease.worker, floor=0, ttl_s=30.0)
    assert again is not None
    opened.start(again)
    assert opened.ask(again, _asked(again)) is None


@pytest.mark.parametrize("started", [True, False])
def test_only_a_running_plan_asks(opened: Ledger, started: bool) -> None:
    lease = _leased(opened)
    if started:
        opened.start(lease)
        opened.acquired(lease, _evidence(lease))
    with pytest.raises(LeaseLost):
        opened.ask(lease, _asked(lease))
    assert not opened.answer(CAMPAIGN, _answered(_asked(lease)))


def test_waiting_for_an_answer_is_waiting_for_a_person() -> None:
    asked = ev.Asked(trial_id=1, question="1-1-1", text="loaded?")
    answered = ev.Answered(trial_id=1, question="1-1-1", text="yes", by="me")
    course: list[tuple[float, ev.Event]] = [
        (0, ev.Opened(campaign_id="a", instrument="b", mode="twin", spec={}, instrument_spec={})),
        (1, ev.Proposed(trial_id=1, parameters={}, source="initial", basis="0", seed=1)),
        (2, ev.Leased(trial_id=1, worker="w", fence=1)),
        (10, ev.Started(trial_id=1, attempt=1, fence=1)),
        (20, asked),
        (50, ev.Paused(by="me")),
        (60, answered),
        (70, ev.Resumed(by="me")),
        (80, ev.Acquired(trial_id=1, attempt=1, run_uid="u", documents="d", sha256="s")),
        (81, ev.Measured(trial_id=1, outcomes={})),
    ]
    log = [replace(event, id=f"{n}-0", at=at) for n, (at, event) in enumerate(course)]
    spec: CampaignSpec = campaign_spec(budget={"trials": 1})
    told = times(log, spec)
    assert (told.needs_person_s, told.paused_s, told.measuring_s) == (30, 20, 20)
    state = fold(log)
    assert (state.held_s, state.held_since) == (50, None), "beam hours leave it out"
    for cut in range(len(log)):
        assert fold(log[cut:], fold(log[:cut])) == state
