import math

import pytest

from orchestrator.domain.regret import (
    WORST_DECADES,
    Level,
    beaten,
    first_near,
    level_of,
    middle_first,
    quantile,
    quartiles,
    regrets,
)

DECADES = Level("log10", 1.0)


def test_relative_regret_is_that_of_the_best_so_far():
    assert regrets([50, 90, 80], 100, "maximize", Level()) == pytest.approx([0.5, 0.1, 0.1])
    assert regrets([3, 2.2, 9], 2, "minimize", Level()) == pytest.approx([0.5, 0.1, 0.1])
    assert regrets([-30, -22], -20, "maximize", Level()) == pytest.approx([0.5, 0.1])


def test_more_than_the_optimum_is_no_regret():
    assert regrets([101], 100, "maximize", Level()) == [0]
    assert regrets([2e-5], 1e-4, "minimize", DECADES) == [0]


def test_decades_count_ratios():
    assert regrets([1e-3, 0.1], 0.1, "maximize", DECADES) == pytest.approx([2, 0])
    assert regrets([1e-2], 1e-4, "minimize", DECADES) == pytest.approx([2])
    assert regrets([0.0], 0.1, "maximize", DECADES) == [WORST_DECADES]


def test_the_first_trial_that_is_near():
    assert first_near([0.3, 0.05, 0.01], Level()) == 2
    assert first_near([0.3], Level()) is None


def test_campaigns_that_never_came_near_count_as_later_than_all():
    assert middle_first([3, 9, None]) == 9
    assert middle_first([3, None, None]) is None


def test_quartiles_lie_between_neighbours_in_proportion():
    assert quartiles([4.0, 1.0, 2.0, 3.0, 5.0]) == (3, 2, 4)
    assert quantile([1.0, 2.0], 0.25) == 1.25
    assert quantile([7.0, math.inf, math.inf], 1.0) == math.inf
    with pytest.raises(ValueError, match="nothing"):
        quantile([], 0.5)


def test_only_common_seeds_are_compared_and_equal_is_not_beaten():
    assert [*beaten({0: 1.0, 1: 2.0, 2: 0.0}, {0: 2.0, 1: 2.0, 3: 9.0})] == [0]


def test_of_an_objective_in_decades_the_distance_counts():
    """Such as the logarithm of a gate's error, where both values are negative."""
    level = level_of({"objective": -4.0, "scale": "decades", "near": math.log10(2.0)})
    assert level.words == "within a factor 2"
    found = regrets([-3.5, -3.4, -3.8, -4.1], -4.0, "minimize", level)
    assert found == pytest.approx([0.5, 0.5, 0.2, 0.0])
    assert first_near(found, level) == 3


def test_a_model_that_asks_for_nothing_is_judged_relative_to_its_optimum():
    assert level_of({"objective": 3.0}) == Level("relative", 0.05)
    assert level_of({"objective": 3.0}).words == "within 5 %"
    assert (
        level_of({"objective": 0.0, "scale": "decades", "near": 1.0}).words == "within a factor 10"
    )


@pytest.mark.parametrize(
    ("optimum", "said"),
    [
        ({"objective": 1.0, "scale": "log"}, "none of relative, log10, decades"),
        ({"objective": 1.0, "near": 0.0}, "must be more than 0"),
        ({"objective": 0.0}, "nothing is relative to that"),
    ],
)
def test_a_level_that_cannot_be_is_refused(optimum, said):
    with pytest.raises(ValueError, match=said):
        level_of(optimum)
