"""The first trials wait for a person, and what a person looks at stays as it is."""

import pytest

from orchestrator import service
from orchestrator.domain import events as ev
from orchestrator.domain.errors import Unusable
from orchestrator.domain.lookahead import outdated, pace
from orchestrator.domain.notice_words import written
from orchestrator.domain.notices import NoticeRules, due
from orchestrator.domain.state import CampaignState, CampaignStatus, fold
from orchestrator.ports import Lab
from orchestrator.questions import want_approval
from tests.unit.domain.builders import log, measured, opened, proposed, run
from tests.unit.test_campaign import ID, execute, lab, open_campaign, spec

__all__ = ["lab"]


def propose(lab: Lab, number: int) -> CampaignState:
    point = {"x": number / 10}
    lab.ledger.propose(
        ID, ev.Proposed(trial_id=number, parameters=point, source="model", basis="0", seed=0)
    )
    return state_of(lab)


def state_of(lab: Lab) -> CampaignState:
    return fold(lab.ledger.events(ID))


@pytest.fixture
def stepped(lab: Lab) -> Lab:
    open_campaign(lab, spec())
    service.require_approvals(lab.ledger, ID, 2, by="ada")
    return lab


def test_a_trial_waits_until_it_is_approved(stepped: Lab) -> None:
    state = propose(stepped, 1)
    assert want_approval(stepped.ledger, state)
    held = state_of(stepped)
    assert held.status is CampaignStatus.NEEDS_PERSON
    assert held.waiting_for == "trial 1 is to be approved: x 0.1"
    assert not execute(stepped, ID, spec())
    said = service.approve(stepped.ledger, ID, by="ada")
    assert said == "trial 1 may start at x 0.1"
    assert not want_approval(stepped.ledger, state_of(stepped))
    assert execute(stepped, ID, spec())


def test_resuming_is_no_approval(stepped: Lab) -> None:
    propose(stepped, 1)
    want_approval(stepped.ledger, state_of(stepped))
    service.order(stepped.ledger, ID, "resume", by="ada")
    assert not execute(stepped, ID, spec())
    assert want_approval(stepped.ledger, state_of(stepped)), "a person is called again"


def test_an_approval_answers_no_other_call_for_a_person(stepped: Lab) -> None:
    propose(stepped, 1)
    stepped.ledger.order(ID, ev.NeedsPerson(by="worker", reason="look at x"), ["running"])
    service.approve(stepped.ledger, ID, by="ada")
    state = state_of(stepped)
    assert (state.status, state.waiting_for) == (CampaignStatus.NEEDS_PERSON, "look at x")


def test_a_trial_that_waits_behind_one_that_runs_calls_nobody(stepped: Lab) -> None:
    propose(stepped, 1)
    propose(stepped, 2)
    service.approve(stepped.ledger, ID, by="ada", trial_id=1)
    lease = stepped.ledger.acquire(ID, "stage", "worker-1", floor=0, ttl_s=9)
    assert lease is not None
    assert not want_approval(stepped.ledger, state_of(stepped))
    service.approve(stepped.ledger, ID, by="ada", trial_id=2)


def test_only_what_waits_can_be_approved(stepped: Lab) -> None:
    with pytest.raises(Unusable, match="no trial of campaign"):
        service.approve(stepped.ledger, ID, by="ada")
    for number in (1, 2, 3):
        propose(stepped, number)
    with pytest.raises(Unusable, match="waits for no approval: it waits for the worker"):
        service.approve(stepped.ledger, ID, by="ada", trial_id=3)


def test_approvals_can_be_called_for_and_called_off_later(stepped: Lab) -> None:
    propose(stepped, 1)
    service.require_approvals(stepped.ledger, ID, 0, by="ada")
    assert execute(stepped, ID, spec())
    service.require_approvals(stepped.ledger, ID, 3, by="ada")
    assert state_of(stepped).step == 4, "the next three"


def test_who_is_called_is_told_the_command(stepped: Lab) -> None:
    want_approval(stepped.ledger, propose(stepped, 1))
    events = stepped.ledger.events(ID)
    (one,) = due(events, stepped.clock.now(), NoticeRules())
    body = written(one, fold(events), NoticeRules()).body
    assert f"labwright approve {ID}" in body
    assert f"labwright resume {ID}" not in body


@pytest.mark.parametrize(("upto", "improved"), [(1, 2), (2, None)])
def test_what_a_person_looks_at_is_not_replaced(upto: int, improved: int | None) -> None:
    happened = [opened(), ev.Stepped(upto=upto, by="ada"), *run(1, measured(1, y=1.0))]
    waits = ev.Proposed(trial_id=2, parameters={"x": 2.0}, source="model", basis="0", seed=0)
    state = fold(log(*((float(n), one) for n, one in enumerate([*happened, waits]))))
    found = outdated(state, pace(state), 100.0)
    assert (found.trial_id if found else None) == improved


def test_a_log_of_an_older_version_asks_before_every_trial() -> None:
    fields = ev.to_fields(opened())
    old = ev.from_fields(
        "1-0", {**fields, "data": fields["data"].replace('"step":0', '"step":true')}
    )
    assert fold([old, *log((1.0, proposed(1)))]).is_unapproved(1)
