import math
import statistics

import pytest

from simulators.noise import standard_normal


def test_is_pinned():
    """The numbers may never change: they are part of every recorded reference campaign."""
    assert standard_normal(0, [1.0, 2.0], 0, 3) == pytest.approx(PINNED, rel=1e-12)


PINNED = [0.10642393805252563, -0.7861348328086029, 1.0604559902407018]


@pytest.mark.parametrize(
    "other", [(1, [1.0, 2.0], 0), (0, [math.nextafter(1.0, 2.0), 2.0], 0), (0, [1.0, 2.0], 1)]
)
def test_depends_on_each_argument(other):
    assert standard_normal(*other, 4) != standard_normal(0, [1.0, 2.0], 0, 4)


def test_the_sign_of_zero_does_not_count():
    assert standard_normal(3, [-0.0], 0, 2) == standard_normal(3, [0.0], 0, 2)


def test_is_standard_normal():
    numbers = [z for trigger in range(500) for z in standard_normal(1, [0.5], trigger, 8)]
    assert statistics.fmean(numbers) == pytest.approx(0.0, abs=0.05)
    assert statistics.stdev(numbers) == pytest.approx(1.0, abs=0.04)
