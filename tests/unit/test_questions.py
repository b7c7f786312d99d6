"""What the flow does while a plan waits for a person."""

from dataclasses import replace

import pytest

from orchestrator import service
from orchestrator.domain import events as ev
from orchestrator.domain.errors import LedgerUnavailable, Unusable
from orchestrator.domain.notice_words import written
from orchestrator.domain.notices import NoticeKind, NoticeRules, due
from orchestrator.domain.state import CampaignStatus, fold
from orchestrator.domain.trial import TrialState
from orchestrator.ports import Evidence, InstrumentRecord, InstrumentState, Lab, PlanRequest
from orchestrator.standing import standing
from tests.unit.test_campaign import ID, _succeed, execute_next, lab, open_campaign, spec

__all__ = ["lab"]


def asks_until(lab: Lab, happens: dict[int, object]) -> None:
    """The plan asks every 10 s of the clock; after so many looks something happens."""

    def told(request: PlanRequest) -> Evidence:
        for look in range(1000):
            if callable(deed := happens.get(look)):
                deed()
            answer = lab.executor.ask(1, "sample loaded?")  # type: ignore[attr-defined]
            if answer is not None:
                lab.executor.answer = answer  # type: ignore[attr-defined]
                return _succeed(request)
            lab.clock.sleep(10)
        raise AssertionError("it waits for ever")

    lab.executor.tell = {1: told}  # type: ignore[attr-defined]
    campaign = spec(policy={"answer_within_s": 600})
    open_campaign(lab, campaign)
    execute_next(lab, campaign)


def test_a_person_answers(lab: Lab) -> None:
    said: list[str] = []

    def reply() -> None:
        said.append(service.answer(lab.ledger, ID, "B7\n", by="ada"))

    asks_until(lab, {3: reply})
    assert lab.executor.answer == "B7"  # type: ignore[attr-defined]
    assert said == ["trial 1 goes on with 'B7' (sample loaded?)"]
    trial = fold(lab.ledger.events(ID)).trials[1]
    assert (trial.state, trial.question) == (TrialState.MEASURED, None)
    (answered,) = [one for one in lab.ledger.events(ID) if isinstance(one, ev.Answered)]
    assert answered.by == "ada"


def test_nobody_answers_a_worker_that_is_dead(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []

    def reply() -> None:
        with pytest.raises(Unusable) as error:
            service.answer(lab.ledger, ID, "B7", by="ada")
        refused.append(str(error.value))
        monkeypatch.undo()
        service.answer(lab.ledger, ID, "B8", by="ada")

    monkeypatch.setattr(service, "is_proven_dead", lambda holder: holder == lab.worker)
    asks_until(lab, {3: reply})
    assert refused == ["the worker that asks 'sample loaded?' is gone; the next attempt asks anew"]
    assert lab.executor.answer == "B8"  # type: ignore[attr-defined]


def test_a_question_that_nobody_answers_ends_the_attempt_and_calls_a_person(lab: Lab) -> None:
    asks_until(lab, {})
    state = fold(lab.ledger.events(ID))
    assert state.status is CampaignStatus.NEEDS_PERSON
    assert "nobody answered 'sample loaded?' of trial 1 within 600 s" in str(state.waiting_for)
    assert (state.trials[1].state, state.trials[1].reason) == (TrialState.QUEUED, "unanswered")
    assert state.asking is None
    assert lab.executor.quieted == 1  # type: ignore[attr-defined]


def test_a_ledger_that_is_away_costs_no_answer(lab: Lab) -> None:
    ask = lab.ledger.ask

    def away(*_: object) -> str | None:
        raise LedgerUnavailable("no answer")

    asks_until(
        lab,
        {
            1: lambda: setattr(lab.ledger, "ask", away),
            2: lambda: setattr(lab.ledger, "ask", ask),
            3: lambda: service.answer(lab.ledger, ID, "yes", by="ada", question="1-1-1"),
        },
    )
    assert lab.executor.answer == "yes"  # type: ignore[attr-defined]


def test_who_looks_sees_the_question_and_is_called(lab: Lab) -> None:
    seen: list[str] = []

    def look() -> None:
        log = lab.ledger.events(ID)
        state, now = fold(log), lab.clock.now()
        record = InstrumentRecord(InstrumentState.LEASED, campaign_id=ID, trial_id=1)
        stands = standing(state, record, ["worker"], now)
        assert stands.is_alarm
        (one,) = due(log, now, NoticeRules(), state.question)
        assert one.kind is NoticeKind.QUESTION
        notice = written(one, state, NoticeRules())
        seen.extend([stands.sentence, notice.subject, notice.body])
        service.answer(lab.ledger, ID, "yes", by="ada")
        answered = lab.ledger.events(ID)
        assert due(answered, now, NoticeRules(), fold(answered).question) == []

    asks_until(lab, {2: look})
    sentence, subject, body = seen
    assert sentence.startswith("trial 1 asks for 20 s: sample loaded?; answer with: labwright")
    assert subject.endswith(f"{ID} asks for a person: sample loaded?")
    assert f"labwright answer {ID} '...'" in body


def test_an_answer_needs_a_question(lab: Lab) -> None:
    open_campaign(lab, spec())
    with pytest.raises(Unusable, match="waits for an answer"):
        service.answer(lab.ledger, ID, "yes", by="ada")

    def wrong() -> None:
        with pytest.raises(Unusable, match="'1-1-1' does: sample loaded"):
            service.answer(lab.ledger, ID, "yes", by="ada", question="9-9-9")
        service.answer(lab.ledger, ID, "yes", by="ada")

    lab = replace(lab, ledger=type(lab.ledger)(lab.clock))
    asks_until(lab, {2: wrong})
