"""What many rehearsals say, on campaigns that need no model to propose."""

from collections.abc import Sequence
from typing import Any

import pytest

from orchestrator.adapters.outputs.rehearsal_plot import write_rehearsal_plot
from orchestrator.campaign_files import read_files
from orchestrator.cli.rehearse import _best_table
from orchestrator.domain.errors import Unusable
from orchestrator.rehearsal import Prices, rehearse
from orchestrator.rehearsal_words import lines
from orchestrator.simulated_campaign import Order
from tests.unit.rehearsals import here

SOFT = read_files("soft")
FLOW = read_files("flow-chemistry")


def rehearsed(
    files: Any = SOFT,
    count: int = 6,
    carry: Any = here,
    prices: Prices | None = None,
    **fields: Any,
) -> Any:
    data = {**files.campaign.to_data(), "budget": {"trials": 10}, "stop": {}}
    data |= {"optimizer": {"method": "sobol", "seed": 3}, **fields}
    campaign = type(files.campaign).from_data(data)
    return rehearse(campaign, files.instrument, count, carry, prices=prices)


def test_probability_of_the_target_with_its_interval():
    found = rehearsed(stop={"target": {"branin": "<= 5"}})
    reached = found["reached"]
    assert 0 < reached["count"] < reached["of"] == 6
    assert reached["low"] < reached["probability"] < reached["high"]
    assert reached["by_trial"][-1] == reached["count"]
    assert reached["by_trial"] == sorted(reached["by_trial"])
    assert found["stops"] == {"target": reached["count"], "trials": 6 - reached["count"]} or found[
        "stops"
    ] == {"trials": 6 - reached["count"], "target": reached["count"]}
    assert found["trials_spent"]["mean"] < 10
    text = "\n".join(lines(found))
    assert f"branin <= 5 reached by sobol in {reached['count']} of 6" in text
    assert "95 % interval" in text


def test_expected_best_of_every_trial_gets_no_worse():
    best = rehearsed()["best"]
    assert [one["trial"] for one in best] == [*range(1, 11)]
    means = [one["mean"] for one in best]
    assert means == sorted(means, reverse=True)
    rounding = 1e-12
    assert all(one["low"] - rounding <= one["mean"] <= one["high"] + rounding for one in best)


def test_without_a_target_none_is_invented():
    found = rehearsed()
    assert found["target"] is None
    assert found["reached"] is None
    assert "target: the campaign file names none" in lines(found)


def test_what_is_not_known_of_the_time_is_said():
    found = rehearsed(
        plan={"name": "steady_state_sample", "args": {"detector": "x", "settle_s": 60}}
    )
    duration = found["duration"]
    assert duration["unknown"] == ["moves_s", "readings_s"]
    assert duration["trial"]["waits_s"] == 60
    assert duration["lab_s"]["mean"] == 600
    assert "not known, and not counted: moves and readings" in lines(found)


def test_trials_and_lab_time_cost_what_the_lab_says():
    waits = {"name": "steady_state_sample", "args": {"detector": "x", "settle_s": 60}}
    found = rehearsed(plan=waits, prices=Prices(trial=8, hour=250))
    cost = 10 * 8 + 600 / 3600 * 250
    assert found["cost"]["campaign"]["mean"] == pytest.approx(cost)
    told = f"cost: {cost:.4g}, nine in ten {cost:.4g} to {cost:.4g}, at 8 a trial and 250 an hour"
    assert any(line.startswith(told) for line in lines(found))
    assert rehearsed(plan=waits)["cost"] is None


def test_the_flow_reactor_says_how_long_it_takes():
    found = rehearsed(FLOW, count=2, valid=[])
    assert found["duration"]["unknown"] == []
    assert found["duration"]["trial"]["readings_s"] == pytest.approx(90)
    assert found["noise"] == "the twin's own"
    assert not any("not known" in line for line in lines(found))


def test_a_campaign_is_compared_with_chance_by_the_same_seed():
    found = rehearsed(optimizer={"method": "ax", "initial_trials": 10})
    assert found["beside_chance"] == {"better": 0, "equal": 6, "worse": 0}
    assert found["best"] == found["chance"]["best"], "all its trials are initial ones"


def test_rehearsals_that_fail_are_told_and_not_counted():
    def half(orders: Sequence[Order], tell: Any) -> Any:
        done, _ = here(orders[:3], tell)
        return done, [f"seed {n}: killed by SIGKILL" for n in range(3)]

    found = rehearsed(carry=half)
    assert found["failed"] == [f"seed {n}: killed by SIGKILL" for n in range(3)]
    assert sum(found["stops"].values()) == 3
    assert "failed: seed 0: killed by SIGKILL" in lines(found)
    nothing = rehearsed(carry=lambda orders, tell: ([], ["seed 3: killed"]))
    assert lines(nothing)[-1] == "no rehearsal came to its end"


def test_the_picture_is_drawn(tmp_path):
    found = rehearsed(count=3, stop={"target": {"branin": "<= 5"}})
    write_rehearsal_plot(tmp_path / "r.png", found)
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(Unusable, match="r.doc"):
        write_rehearsal_plot(tmp_path / "r.doc", found)


def test_an_unknown_optimizer_is_named():
    with pytest.raises(Unusable, match="no optimizer is called 'sobbol'.*'sobol'"):
        rehearsed(optimizer={"method": "sobbol"})


def test_how_many_found_something_feasible_is_shown_when_not_all_did():
    some = rehearsed(FLOW, count=3, valid=[], constraints={"outcomes": ["e_factor <= 9.5"]})
    assert some["feasible"] == {"count": some["best"][-1]["feasible"], "of": 3}
    assert 0 < some["feasible"]["count"] < 3
    table = _best_table(some)
    assert [column.header for column in table.columns][-1] == "feasible"
    assert [*table.columns[-1].cells][-1] == f"{some['feasible']['count']} of 3"
    every = rehearsed(FLOW, count=2, valid=[], constraints={"outcomes": ["e_factor <= 1000"]})
    assert every["feasible"] == {"count": 2, "of": 2}
    assert "feasible" not in [column.header for column in _best_table(every).columns]
    free = rehearsed(count=2)
    assert free["feasible"] is None
    assert "feasible" not in [column.header for column in _best_table(free).columns]


def test_it_is_counted_beside_chance():
    rule = {"constraints": {"outcomes": ["e_factor <= 9.5"]}, "valid": []}
    both = rehearsed(FLOW, count=3, optimizer={"method": "ax", "initial_trials": 10}, **rule)
    assert both["chance"]["feasible"]["of"] == 3
    headers = [column.header for column in _best_table(both).columns]
    ours = ["ax", "nine in ten", "feasible"]
    assert headers == ["after trial", *ours, "sobol", "nine in ten", "feasible"]
