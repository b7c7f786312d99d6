"""What the comparison with other optimizers says, from results that are made up."""

import pytest

from tests.benchmarks import peers, regret
from tests.benchmarks.regret_runs import Results, Run

SEEDS = range(8)


@pytest.fixture
def reported(tmp_path, monkeypatch):
    """Reports what methods are said to have reached, as regrets of eight seeds on Branin."""
    monkeypatch.setattr(peers.Method, "versions", lambda self: {"any": "1"})
    file = tmp_path / "results.jsonl"

    def report(**regrets):
        results = Results(file)
        methods = [name.replace("_", "-") for name in regrets]
        for method, values in zip(methods, regrets.values(), strict=True):
            for seed, value in enumerate(values):
                found = {"regret": [9.0, value], "cpu_s": [0.1, 0.3], "error": None}
                if value is None:
                    found = {"regret": [], "cpu_s": [], "error": "killed by SIGSEGV"}
                results.add({**Run(method, "branin", seed, 30).key(), **found})
        return regret.measure(
            seeds=len(SEEDS), problems=["branin"], methods=methods, results=file, report=True
        )

    return report


def broken(report):
    return [key for key, (_, bar) in report["bars"].items() if report["figures"][key] > bar]


def test_medians_of_log_regret_and_cost(reported):
    report = reported(ours=[0.01] * 8, sobol=[1.0] * 8)
    ours, sobol = report["rows"]
    assert ours["log10_regret"] == pytest.approx((-2, -2, -2))
    assert ours["cpu_s"] == pytest.approx(0.2)
    assert sobol["ours_minus_it"] == pytest.approx((-2, -2, -2))
    assert broken(report) == []


def test_the_bar_is_the_best_peer(reported):
    report = reported(ours=[0.01] * 8, sobol=[1.0] * 8, tpe=[0.001] * 8)
    assert report["figures"]["branin_minus_best"] == pytest.approx(1)
    assert broken(report) == ["branin_minus_best_low"]


def test_a_difference_that_chance_explains_is_no_defeat(reported):
    lucky = [10.0**-seed for seed in SEEDS]
    report = reported(ours=lucky[::-1], tpe=[value / 2 for value in lucky])
    assert report["figures"]["branin_minus_best"] > 0
    assert broken(report) == []


def test_what_look_ahead_costs(reported):
    report = reported(ours=[0.01] * 8, ours_ahead=[0.1] * 8)
    assert report["figures"]["branin_ahead_cost"] == pytest.approx(1)
    assert broken(report) == [], "ours is no peer of its own"


def test_how_much_sooner_look_ahead_has_the_regret_of_others(reported):
    report = reported(ours_ahead=[0.01] * 8, sobol=[0.01] * 8, tpe=[0.001] * 8)
    ahead, sobol, tpe = (row["ahead_speedup"] for row in report["rows"])
    assert ahead == 1
    assert sobol == pytest.approx((2.1 + 2.3) / (2 + 2)), "two measurements of 2 s, and thinking"
    assert tpe == 0
    assert "| not reached |" in regret.as_text({**report, "passed": False})


def test_a_crash_of_ours_breaks_a_bar_and_one_of_a_peer_is_told(reported):
    report = reported(ours=[None, *[0.01] * 7], sobol=[None, *[1.0] * 7])
    assert [row["crashes"] for row in report["rows"]] == [1, 1]
    assert broken(report) == ["branin_ours_crashes"]
    assert "8, 1 crashed" in regret.as_text({**report, "passed": False})


def test_missing_runs_are_no_success(reported):
    report = reported(ours=[0.01] * 8, sobol=[1.0] * 6)
    assert report["figures"]["missing_runs"] == 2
    assert broken(report) == ["missing_runs"]


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="no 'bayes' here; there are ours, ours-ahead, ax,"):
        regret.measure(methods=["bayes"])


def test_first_seeds_of_all_come_first():
    runs = regret.plan(["branin", "gramacy"], ["ax", "baybe", "sobol"], None, None)
    assert [run.method for run in runs[:5]] == ["ax", "baybe", "sobol", "ax", "sobol"]
    assert {run.seed for run in runs[:5]} == {0}
    assert {run.trials for run in runs} == {30}
    assert sum(run.method == "ax" for run in runs) == 32
    assert sum(run.method == "sobol" for run in runs) == 10
