"""How far the points of a table reach, in distances between numbers and between names."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.spatial import KDTree

from simulators.arrays import Array

MOST_REACHES = 5000
"""Points whose distance to the nearest other is looked at, to see how far the data reach."""

APART = 1e6
"""Distance between two names where a point must never stand for one with another name."""


class Reach:
    """How far from its points a table can speak, in distances that fit its design.

    A parameter is measured in its widest gap between neighbouring values (gaps with less than a
    twentieth of the rows on one side left aside, so that a stray row makes no gap), at least a
    tenth of its range. So the cell of a grid has edges of 1 however many levels a parameter has.

    The reach is the larger of half the diagonal of such a cell, which no point of a full grid
    exceeds, and twice the distance to the nearest neighbour that 95 % of the points do not exceed.

    Args:
        x: distinct points, shape (n, d).
        seed: of the choice of points whose neighbours are looked at.
        names: as of the emulator. Points with other names are no neighbours at all.
    """

    def __init__(self, x: Array, seed: int = 0, names: Sequence[int] = ()) -> None:
        self._names = names
        self._step = np.array([_step(column) for column in x.T])
        scaled = self._scaled(x)
        self._tree = KDTree(scaled)
        some = np.random.default_rng(seed).permutation(len(x))[:MOST_REACHES]
        neighbours = np.asarray(self._tree.query(scaled[some], k=2)[0])[:, 1]
        neighbours = neighbours[neighbours < APART / 2.0]
        cell = math.sqrt(x.shape[1] - np.count_nonzero(names)) / 2.0
        typical = float(np.quantile(neighbours, 0.95)) if len(neighbours) else 0.0
        self.limit = max(cell * (1.0 + 1e-9), 2.0 * typical)

    def distance(self, point: Sequence[float]) -> float:
        """Distance of a point to the nearest of the table; infinite when none has its names."""
        scaled = self._scaled(np.asarray([point], dtype=np.float64))
        distance = float(np.ravel(self._tree.query(scaled)[0])[0])
        return distance if distance < APART / 2.0 else math.inf

    def _scaled(self, x: Array) -> Array:
        return spread(x / self._step, x, self._names, APART)


def spread(scaled: Array, x: Array, names: Sequence[int], apart: float) -> Array:
    """Give each name an axis of its own, so that no two of a column are more alike than others.

    Args:
        scaled: numbers, made comparable; shape (n, d).
        x: the same before, with the numbers of the names.
        names: as of the emulator.
        apart: distance between two names.
    """
    if not any(names):
        return scaled
    columns: list[Array] = []
    for index, count in enumerate(names):
        if count:
            own = x[:, index, None] == np.arange(count)
            columns.append(own * (apart / math.sqrt(2.0)))
        else:
            columns.append(scaled[:, index, None])
    return np.concatenate(columns, axis=1)


def _step(column: Array) -> float:
    """Widest gap between values with a twentieth of the rows on either side, or a tenth of all."""
    gaps = np.diff(np.sort(column))
    aside = len(column) // 20
    return float(max(np.max(gaps[aside : len(gaps) - aside]), np.ptp(column) / 10.0))
