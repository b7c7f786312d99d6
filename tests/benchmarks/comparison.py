"""Medians of a few seeds: how far chance alone can move them, and when they reach a regret."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np

Curve = list[tuple[float, float]]
"""Seconds since the campaign began, and the regret then: it only falls."""

RESAMPLES = 10_000
CONFIDENCE = 0.95


def paired_difference(
    ours: Mapping[int, float], theirs: Mapping[int, float]
) -> tuple[float, float, float]:
    """Median of ours minus median of theirs over the seeds of both, and its 95 % interval.

    The interval is the percentile bootstrap over seeds, each drawn with both its values, so that
    noise which both have met does not count.

    Raises:
        ValueError: no seed is in both.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        raise ValueError("the two have no seed in common")
    pairs = np.array([(ours[seed], theirs[seed]) for seed in seeds])
    drawn = np.random.default_rng(0).integers(len(seeds), size=(RESAMPLES, len(seeds)))
    medians = np.median(pairs[drawn], axis=1)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(medians[:, 0] - medians[:, 1], [tail, 100 - tail])
    middle = np.median(pairs, axis=0)
    return float(middle[0] - middle[1]), float(low), float(high)


def regret_at(curves: Sequence[Curve], seconds: float) -> float:
    """The median regret over the seeds after so many seconds; infinite before the first result."""
    return median(_regret(curve, seconds) for curve in curves)


def final_regret(curves: Sequence[Curve]) -> float:
    """The median regret over the seeds at their end."""
    return regret_at(curves, float("inf"))


def seconds_to(curves: Sequence[Curve], regret: float) -> float:
    """Seconds after which the median regret is that low; infinite when it never is."""
    times = sorted(at for curve in curves for at, _ in curve)
    return next((at for at in times if regret_at(curves, at) <= regret), float("inf"))


def _regret(curve: Curve, seconds: float) -> float:
    place = bisect_right(curve, seconds, key=lambda one: one[0])
    return curve[place - 1][1] if place else float("inf")
