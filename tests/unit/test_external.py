"""Outcomes that are delivered from elsewhere: held to the same rules, waited for so long."""

from dataclasses import replace

import pytest

from orchestrator.adapters.reduction.reducer import delivered
from orchestrator.domain import events as ev
from orchestrator.domain.errors import ReductionError, Unusable
from orchestrator.domain.realignment import REALIGNMENT
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.trial import Outcome, TrialState
from orchestrator.external import deliver, give_up_waiting, waiting
from orchestrator.ports import Lab, Reduction
from tests.unit.test_campaign import ID, execute_next, lab, open_campaign, spec

__all__ = ["lab"]

EXTERNAL = spec(reduce={"where": "external", "timeout_s": 100}, valid=["y >= 0"])


def state_of(lab: Lab) -> CampaignState:
    return fold(lab.ledger.events(ID))


@pytest.fixture
def acquired(lab: Lab) -> Lab:
    open_campaign(lab, EXTERNAL)
    execute_next(lab, EXTERNAL)
    assert state_of(lab).trials[1].state is TrialState.ACQUIRED
    return lab


def test_a_trial_waits_for_its_outcome(acquired: Lab) -> None:
    waiting(state_of(acquired), 1)
    found = Reduction({"y": Outcome(1.0)}, None)
    assert deliver(acquired.ledger, ID, 1, found, by="cluster").state is TrialState.MEASURED
    assert deliver(acquired.ledger, ID, 1, found, by="cluster").measured_at, "sent again"
    with pytest.raises(Unusable, match="is measured already"):
        deliver(acquired.ledger, ID, 1, Reduction({"y": Outcome(2.0)}, None), by="cluster")
    with pytest.raises(Unusable, match="is measured: no outcome"):
        waiting(state_of(acquired), 1)
    (measured,) = [one for one in acquired.ledger.events(ID) if isinstance(one, ev.Measured)]
    assert measured.by == "cluster"


def test_one_that_is_late_leaves_the_trial_unreduced_and_may_still_come(acquired: Lab) -> None:
    for seconds, state in ((99, TrialState.ACQUIRED), (1, TrialState.UNREDUCED)):
        acquired.clock.sleep(seconds)
        give_up_waiting(acquired.ledger, state_of(acquired), acquired.clock.now())
        assert state_of(acquired).trials[1].state is state
    broken = Reduction({"y": Outcome(-1.0)}, "y >= 0 (-1)")
    after = deliver(acquired.ledger, ID, waiting(state_of(acquired), 1).trial_id, broken, by="c")
    assert (after.state, after.reason) == (TrialState.INVALID, "y >= 0 (-1)")


def test_a_realignment_takes_none_and_is_not_late(acquired: Lab) -> None:
    state = state_of(acquired)
    realigns = replace(state.trials[1], source=REALIGNMENT)
    state = replace(state, trials={1: realigns}, live={1: realigns})
    with pytest.raises(Unusable, match="trial 1 of .* is a realignment, which gives no data"):
        waiting(state, 1)
    give_up_waiting(acquired.ledger, state, 1e12)
    assert state_of(acquired).trials[1].state is TrialState.ACQUIRED


def test_a_campaign_that_reduces_here_takes_none(lab: Lab) -> None:
    open_campaign(lab, spec())
    execute_next(lab, spec(), reduce_it=False)
    with pytest.raises(Unusable, match="its reducer runs here"):
        waiting(state_of(lab), 1)
    give_up_waiting(lab.ledger, state_of(lab), 1e12)
    assert state_of(lab).trials[1].state is TrialState.ACQUIRED


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        ({"y": 1}, Outcome(1.0)),
        ({"y": [1.5, 0.5]}, Outcome(1.5, 0.5)),
        ({"y": {"mean": 1.5, "sem": 0.5, "unit": "V"}}, Outcome(1.5, 0.5, "V")),
    ],
)
def test_forms_of_an_outcome(given: object, outcome: Outcome) -> None:
    assert delivered(EXTERNAL, given, list).outcomes == {"y": outcome}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ([1], "not a mapping"),
        ({"z": 1}, "outcome 'y' is missing"),
        ({"y": "1"}, "no number"),
        ({"y": {"mean": float("nan")}}, "not finite"),
        ({"y": {"value": 1}}, "'value' is none of mean, sem, unit"),
        ({"y": [1, -1]}, "below 0"),
    ],
)
def test_what_is_refused(given: object, complaint: str) -> None:
    with pytest.raises(ReductionError, match=complaint):
        delivered(EXTERNAL, given, list)


def test_validity_rules_hold_for_what_is_delivered() -> None:
    assert delivered(EXTERNAL, {"y": -1}, list).invalid == "y >= 0 (-1)"
