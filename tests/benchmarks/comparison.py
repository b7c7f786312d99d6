"""Medians of a few seeds, and how far chance alone can move them."""

from collections.abc import Mapping

import numpy as np

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
