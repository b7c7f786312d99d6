"""Ours is called worse only when the seeds say so."""

import numpy as np
import pytest

from tests.benchmarks.comparison import paired_difference

RANDOM = np.random.default_rng(1)
LUCK = dict(enumerate(RANDOM.normal(0, 1, 16)))


def test_luck_that_both_share_does_not_count():
    worse = {seed: value + 0.1 for seed, value in LUCK.items()}
    middle, low, high = paired_difference(worse, LUCK)
    assert (middle, low, high) == pytest.approx((0.1, 0.1, 0.1))


def test_luck_of_each_alone_does():
    other = dict(enumerate(RANDOM.normal(0, 1, 16)))
    middle, low, high = paired_difference(LUCK, other)
    assert low < middle < high
    assert low < 0 < high


def test_only_seeds_of_both_are_compared():
    few = {seed: LUCK[seed] for seed in range(5)} | {99: 1e9}
    assert paired_difference(LUCK, few) == pytest.approx((0, 0, 0))


def test_without_a_common_seed_there_is_nothing_to_compare():
    with pytest.raises(ValueError, match="no seed in common"):
        paired_difference({0: 1.0}, {1: 1.0})
