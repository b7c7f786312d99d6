import pytest

from orchestrator.domain.events import Opened
from orchestrator.domain.lookahead import wants_trial
from orchestrator.domain.proposal import Suggestion, knowledge, with_free_sample
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState
from orchestrator.domain.stopping import verdict
from tests.unit.domain.builders import campaign, measured, opened, proposed, run, state_of

STOCK = {"A1": 1, "A2": 0, "A3": 2}


def plate() -> CampaignSpec:
    rows = [{"position": name, "uses": uses} for name, uses in STOCK.items()]
    return campaign(
        parameters={"well": {"arg": "well", "choices": list(STOCK)}},
        samples={"file": "s.csv", "parameter": "well", "list": rows},
    )


def started_with(*happened) -> CampaignState:
    told = {name: getattr(opened(plate()), name) for name in ("campaign_id", "instrument", "mode")}
    first = Opened(**told, spec=plate().to_data(), instrument_spec={}, sample="well", samples=STOCK)
    return state_of(first, *happened)


def used(number, well):
    _, *rest = run(number, measured(number, y=1.0))
    return [proposed(number, well=well), *rest]


@pytest.mark.parametrize(
    ("happened", "wanted", "given"),
    [
        ([], "A1", "A1"),
        ([], "A2", "A3"),
        (used(1, "A1"), "A1", "A3"),
        ([proposed(1, well="A1")], "A1", "A3"),
        ([*used(1, "A3"), proposed(2, well="A3")], "A3", "A1"),
    ],
)
def test_a_proposal_gets_the_next_free_sample(happened, wanted, given):
    known = knowledge(started_with(*happened), plate())
    found = with_free_sample(known, Suggestion({"well": wanted}, "model", {"m": 1}))
    assert found.parameters == {"well": given}
    assert found.details == {"m": 1} | ({} if given == wanted else {"instead_of_sample": wanted})


def test_the_campaign_ends_with_its_samples():
    spec = plate()
    before = [*used(1, "A1"), *used(2, "A3")]
    state = started_with(*before)
    assert wants_trial(state, spec, 1)
    assert verdict(state, spec, 100.0) is None
    waiting = started_with(*before, proposed(3, well="A3"))
    assert not wants_trial(waiting, spec, 2), "the last use is reserved"
    assert verdict(waiting, spec, 100.0) is None
    over = verdict(started_with(*before, *used(3, "A3")), spec, 100.0)
    assert over is not None
    assert (over.ending, over.reason) == ("done", "all samples are used up")
