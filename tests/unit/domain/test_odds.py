import pytest

from orchestrator.domain.odds import best_after_each, interval


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),
    ],
)  # the last: Newcombe, Statistics in Medicine 17, 857 (1998), table I
def test_the_interval_is_wilsons(hits, count, low, high):
    assert interval(hits, count) == pytest.approx((low, high), abs=5e-5)


def test_of_no_tries_nothing_is_known():
    assert interval(0, 0) == (0.0, 1.0)


def test_a_campaign_that_ended_keeps_its_best():
    first, second, third = best_after_each([[4.0, 2.0], [8.0]], 3)
    assert (first.trial, first.mean, first.feasible) == (1, 6.0, 2)
    assert (second.mean, third.mean) == (5.0, 5.0)
    assert (second.low, second.high) == pytest.approx((2.3, 7.7))


def test_one_campaign_far_ahead_moves_the_mean_and_not_the_median():
    (only,) = best_after_each([[1.0], [9.0], [2.0]], 1)
    assert (only.mean, only.median) == (4.0, 2.0)


def test_only_campaigns_with_something_feasible_count():
    first, second = best_after_each([[None, 3.0], [None, None]], 2)
    assert (first.mean, first.median, first.low, first.feasible) == (None, None, None, 0)
    assert (second.mean, second.feasible) == (3.0, 1)
