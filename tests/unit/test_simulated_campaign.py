"""A campaign on its twin goes as a real one: same rules, same knowledge, same ending."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.adapters.optimizers.optimizer_process import OptimizerHere
from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer
from orchestrator.adapters.walks.twin_in_process import Measurement, twin_in_process
from orchestrator.campaign_files import read_files
from orchestrator.domain.errors import OptimizerError, ReductionError
from orchestrator.domain.proposal import Knowledge, Suggestion
from orchestrator.domain.trial import Outcome
from orchestrator.ports import Reduction
from orchestrator.simulated_campaign import Order, simulate

SOFT = read_files("soft")
FLOW = read_files("flow-chemistry")
NOW = 1_800_000_000.0


def order(files: Any = SOFT, trials: int = 4, move_s: float | None = None, **fields: Any) -> Order:
    optimizer = {"method": "sobol", "lookahead": 0, **fields.pop("optimizer", {})}
    data = {**files.campaign.to_data(), "budget": {"trials": trials}, "optimizer": optimizer}
    spec = type(files.campaign).from_data({**data, **fields})
    return Order(spec, files.instrument, NOW, move_s, with_truth=True)


def carried_out(order: Order, optimizer: Any = None, twin: Any = None) -> list[dict[str, Any]]:
    seed = order.campaign.optimizer.seed
    twin = twin or twin_in_process(order.campaign, order.instrument, seed)
    return [*simulate(order, optimizer or OptimizerHere("sobol"), twin)]


class Listener:
    """Proposes as Sobol, and remembers what it knew."""

    def __init__(self) -> None:
        self.heard: list[Knowledge] = []

    def suggest(self, known: Knowledge) -> Suggestion:
        self.heard.append(known)
        return SobolOptimizer().suggest(known)


class Broken:
    """A twin of which every trial goes wrong in the same way."""

    noise = ""

    def __init__(self, reduction: Reduction | None) -> None:
        self._reduction = reduction

    def measure(self, parameters: Any) -> Measurement:
        if self._reduction is None:
            raise ReductionError("no column")
        return Measurement(self._reduction, parameters, None, None, None)


def test_trials_up_to_the_budget():
    *trials, end = carried_out(order())
    assert [one["trial_id"] for one in trials] == [1, 2, 3, 4]
    assert end == {"rule": "trials", "status": "done", "reason": "budget of trials spent"}
    values = [one["outcomes"]["branin"] for one in trials]
    assert [one["best"] for one in trials] == [min(values[: n + 1]) for n in range(4)]
    assert [one["truth"] for one in trials] == values, "this twin has no noise"


def test_the_stop_rules_are_those_of_a_real_campaign():
    *trials, end = carried_out(order(trials=40, stop={"target": {"branin": "<= 5"}}))
    assert end["rule"] == "target"
    assert end["reason"] == f"target reached by trial {len(trials)}"
    assert (
        trials[-1]["outcomes"]["branin"]
        <= 5
        < min(one["outcomes"]["branin"] for one in trials[:-1])
    )
    *trials, end = carried_out(order(trials=40, stop={"stalled_for": 3}))
    assert end["rule"] == "stalled_for"
    assert len(trials) < 40


def test_lab_time_counts_as_beam_hours():
    spent = order(FLOW, move_s=3600.0)
    budget = spent.campaign.budget.model_copy(update={"beam_hours": 2.0})
    campaign = spent.campaign.model_copy(update={"budget": budget})
    *trials, end = carried_out(Order(campaign, spent.instrument, NOW, 3600.0))
    assert (len(trials), end["rule"]) == (2, "beam_hours")
    assert trials[0]["moves_s"] == 3600.0


@pytest.mark.parametrize(
    ("reduction", "state", "rule"),
    [
        (None, "unreduced", "failed_in_a_row"),
        (Reduction({"branin": Outcome(1.0)}, "branin >= 2 (1)"), "invalid", "invalid_in_a_row"),
    ],
)
def test_what_gives_nothing_valid_ends_the_campaign(reduction, state, rule):
    *trials, end = carried_out(order(), twin=Broken(reduction))
    assert [one["state"] for one in trials] == [state] * 3
    assert (end["rule"], end["status"]) == (rule, "failed")
    assert trials[-1]["best"] is None


def test_without_looking_ahead_every_result_is_known():
    listener = Listener()
    carried_out(order(), listener)
    assert [len(known.told) for known in listener.heard] == [0, 1, 2, 3]


@pytest.mark.parametrize("depth", [1, 3])
def test_looking_ahead_knows_all_but_the_trial_that_runs(depth):
    listener = Listener()
    carried_out(order(optimizer={"lookahead": depth}), listener)
    assert [len(known.told) for known in listener.heard] == [0, 0, 1, 2]


def test_a_batch_is_proposed_together():
    listener = Listener()
    carried_out(order(trials=6, optimizer={"batch": 3}), listener)
    assert [len(known.told) for known in listener.heard] == [0, 0, 0, 3, 3, 3]


def test_an_optimizer_that_finds_nothing_does_not_stop_the_campaign():
    class Mute:
        def suggest(self, known: Knowledge) -> Suggestion:
            raise OptimizerError("nothing")

    *trials, _ = carried_out(order(), Mute())
    assert [one["source"] for one in trials] == ["fallback"] * 4


def test_an_order_survives_being_written():
    told = order(FLOW, move_s=3.0, optimizer={"seed": 7})
    assert Order.from_json(told.to_json()) == told


def test_each_trial_takes_a_sample_that_has_uses_left_and_none_is_the_end():
    listed = [{"position": "A1", "uses": 1}, {"position": "A2", "uses": 4}]
    fields = {
        "samples": {"file": "samples.csv", "parameter": "label", "list": listed},
        "parameters": {
            **SOFT.campaign.to_data()["parameters"],
            "label": {"arg": "label", "choices": ["A1", "A2"]},
        },
    }
    twin = Broken(Reduction({"branin": Outcome(1.0)}, None))
    *trials, end = carried_out(replace(order(trials=9, **fields), with_truth=False), twin=twin)
    assert sorted(one["parameters"]["label"] for one in trials) == ["A1", *["A2"] * 4]
    assert end["rule"] == "samples"
