"""The figures about the twins, from tables that are made up."""

from typing import Any

import pytest

from tests.benchmarks import twins


def row(twin: str, beats: int, ours: float, sobol: float, **more: Any) -> dict[str, Any]:
    theirs = {"regret": (sobol,) * 3, "first_near": 16, "came_near": 9, "finished": 16}
    return {
        **{"twin": twin, "trials": 30, "scale": "relative", "regret": (ours,) * 3},
        **{"first_near": 8, "came_near": 16, "finished": 16, "sobol": {**theirs, **more}},
        **{"beats_sobol": beats, "compared": 16, "errors": []},
        **{"cpu_s_per_trial": 0.021, "points_per_s": 4321.0},
    }


def test_twins_that_are_clearly_better_and_better_in_the_median():
    rows = [row("rare-earths", 14, 0.1, 0.2), row("ald", 13, 0.1, 0.2), row("x", 16, 0.3, 0.2)]
    assert twins.figures(rows) == {
        "twins": 3,
        "clearly_better": 2,
        "better_median": 2,
        "rare_earths_trials_ratio": 0.5,
        "failed": 0,
    }


def test_sobol_that_never_came_near_needed_more_than_the_budget():
    found = twins.figures([row("rare-earths", 16, 0.1, 0.2, first_near=None)])
    assert found["rare_earths_trials_ratio"] == pytest.approx(8 / 31)


def test_missing_twins_are_no_success():
    found = twins.figures([row("ald", 16, 0.1, 0.2)])
    assert found["twins"] == 1
    assert "rare_earths_trials_ratio" not in found


def test_the_table_says_when_sobol_never_came_near():
    rows = [row("rare-earths", 16, 0.1, 0.2, first_near=None, came_near=0)]
    report = {"rows": rows, "figures": twins.figures(rows), "bars": twins.BARS, "passed": False}
    said = twins.as_text(report)
    assert (
        "| 10 [10, 10] % | 20 [20, 20] % | 8 (16/16) | > 30 (0/16) | 16/16 | 0.021 | 4,321 |"
        in said
    )
