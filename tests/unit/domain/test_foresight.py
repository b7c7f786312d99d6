import pytest

from orchestrator.domain.foresight import Measured, Pace, corners, doubts, learned
from orchestrator.domain.spec import CampaignSpec


def campaign(trials=40, parameters=None, samples=None, **optimizer):
    return CampaignSpec.from_data(
        {
            "samples": samples,
            "name": "c",
            "instrument": "soft",
            "plan": {"name": "p"},
            "parameters": parameters or {"x": {"device": "bench.x", "range": [0.0, 1.0]}},
            "objectives": {"y": {"goal": "minimize"}},
            "budget": {"trials": trials},
            "optimizer": optimizer,
        }
    )


@pytest.mark.parametrize(
    ("trials", "optimizer", "place", "says"),
    [
        (5, {}, "budget.trials", "5 trials are no more than the 5 that start a campaign"),
        (40, {"lookahead": 10, "batch": 4}, "optimizer.lookahead", "before the first result"),
        (40, {"lookahead": 8, "batch": 4, "initial_trials": 7}, "optimizer.lookahead", "when 7"),
    ],
)
def test_doubtful_choices_are_told(trials, optimizer, place, says):
    ((found, text),) = doubts(campaign(trials, **optimizer))
    assert found == place
    assert says in text


@pytest.mark.parametrize(
    ("trials", "optimizer"),
    [
        (6, {}),
        (40, {"lookahead": 8, "batch": 4, "initial_trials": 6}),
        (40, {"lookahead": "auto", "batch": 40}),
        (5, {"method": "sobol", "lookahead": 20}),
    ],
)
def test_sensible_choices_are_not(trials, optimizer):
    assert list(doubts(campaign(trials, **optimizer))) == []


@pytest.mark.parametrize(("trials", "is_told"), [(4, True), (3, False)])
def test_too_few_samples_are_told(trials, is_told):
    bound = {"s": {"arg": "sample", "choices": ["A1", "A2"]}}
    listed = [{"position": "A1", "uses": 1}, {"position": "A2", "uses": 2}]
    samples = {"file": "samples.csv", "parameter": "s", "list": listed}
    told = list(doubts(campaign(trials, bound, samples, method="sobol")))
    assert bool(told) == is_told
    assert all("3 uses left" in text for _, text in told)


def test_corners_of_ranges_and_choices():
    parameters = {
        "n": {"device": "a", "range": [1, 5], "type": "int"},
        "c": {"arg": "kind", "choices": ["p", "q", "r"]},
    }
    found = corners(campaign(parameters=parameters))
    assert [(one["n"], one["c"]) for one in found] == [(1, "p"), (5, "p"), (1, "r"), (5, "r")]


def test_many_corners_are_thinned_and_each_end_is_kept():
    parameters = {f"x{n}": {"device": f"d{n}", "range": [0.0, 1.0]} for n in range(9)}
    found = corners(campaign(parameters=parameters))
    assert len({tuple(one.values()) for one in found}) == 50
    for name in parameters:
        assert {one[name] for one in found} == {0.0, 1.0}


def test_what_is_beside_the_sleeps_is_learned():
    history = [Measured(waits, waits + 3.0, by_model=False) for waits in (1.0, 2.0, 5.0, 7.0)]
    assert learned(history) is None
    history.append(Measured(1.0, 60.0, by_model=False))  # somebody stood in the way
    assert learned(history, 2.0) == Pace(3.0, 5, 2.0)
    few = [Measured(0.5, seconds, by_model=True) for seconds in (2.0, 4.0)]
    assert learned([*history, *few]) == Pace(3.0, 7)
    assert learned([*history, *few * 3]) == Pace(3.0, 11, 0.0, 3.0)


def test_a_campaign_takes_its_first_trials_and_then_those_of_a_model():
    waits = [1.0, 3.0]
    assert Pace(4.0, 0).campaign_s(campaign(20), waits) == 20 * 6.0
    assert Pace(4.0, 0, 2.0).campaign_s(campaign(20), waits) == 5 * 6.0 + 15 * 5.0
    assert Pace(4.0, 9, 2.0, 1.0).campaign_s(campaign(20), waits) == 5 * 6.0 + 15 * 1.0
    assert Pace(4.0, 9, 2.0, 1.0).campaign_s(campaign(20, method="sobol"), waits) == 20 * 6.0
