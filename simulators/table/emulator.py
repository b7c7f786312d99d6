"""What a table says between its points: values, noise, how good they are, how far they reach."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from simulators.arrays import Array
from simulators.table.gaussian_process import GaussianProcess
from simulators.table.reach import APART, Reach, spread

Kind = Literal["gaussian-process", "nearest"]

MOST_POINTS = 2000
"""Distinct points of which a Gaussian process is made; a seeded choice where there are more."""

FEWEST_POINTS = 5
"""Distinct points that a table must have."""

COVERED = 1.959964
"""Standard deviations on either side that hold 95 % of a normal distribution."""


class TooFew(ValueError):
    """Too few distinct points to emulate anything."""


@dataclass(frozen=True)
class Points:
    """The rows of a table, those at the same point taken together.

    Attributes:
        x: distinct points, shape (n, d).
        y: mean of each outcome at each point, shape (n, m).
        count: rows at each point, shape (n,).
        scatter: sum of squares about the mean at each point, shape (n, m).
    """

    x: Array
    y: Array
    count: Array
    scatter: Array

    @classmethod
    def of(cls, x: Array, y: Array) -> "Points":
        """Group rows, x of shape (rows, d) and y of shape (rows, m).

        Raises:
            TooFew: fewer than `FEWEST_POINTS` distinct points.
        """
        distinct, where = np.unique(x + 0.0, axis=0, return_inverse=True)
        if len(distinct) < FEWEST_POINTS:
            points = (
                "1 distinct point" if len(distinct) == 1 else f"{len(distinct)} distinct points"
            )
            raise TooFew(
                f"has {points}; {FEWEST_POINTS} are the least from which anything can be emulated"
            )
        where = where.reshape(-1)
        count = np.bincount(where).astype(float)
        means = _summed(where, y) / count[:, None]
        return cls(distinct, means, count, _summed(where, (y - means[where]) ** 2))

    @property
    def repeats(self) -> int:
        """Rows beyond the first at a point: degrees of freedom of the replicate noise."""
        return int(self.count.sum()) - len(self.x)


@dataclass(frozen=True)
class Quality:
    """How well the points predict each other, for one outcome.

    Attributes:
        r2: 1 less the mean square of the leave-one-out errors over the variance; 1 is perfect, and
            at 0 or below the mean of all points would do as well.
        coverage: share of the points inside the 95 % interval that the other points give; None
            where the emulator gives no interval.
        noise_sd: standard deviation of one emulated measurement, in the unit of the outcome.
        noise_from: `replicates`, `fit`, or `none`.
    """

    r2: float
    coverage: float | None
    noise_sd: float
    noise_from: Literal["replicates", "fit", "none"]


class Emulator:
    """Interpolates a table.

    To a Gaussian process each name is an axis with a length scale of its own: how much one name
    tells of another is found from the data.

    Args:
        x: parameters, shape (rows, d); each must vary. A name is its number.
        y: outcomes, shape (rows, m); each must vary.
        kind: `nearest` gives the mean at the nearest point, in parameters scaled to their ranges,
            among those with the same names.
        names: how many names each parameter has, which are counted from 0; 0 for a number. Empty
            when all are numbers.
        seed: of the choice of points where there are too many.

    Raises:
        TooFew: fewer than `FEWEST_POINTS` distinct points.
    """

    def __init__(
        self,
        x: Array,
        y: Array,
        kind: Kind = "gaussian-process",
        *,
        names: Sequence[int] = (),
        seed: int = 0,
    ) -> None:
        self.points = Points.of(x, y)
        self._names = names
        self._reach = Reach(self.points.x, seed, names)
        self._low = self.points.x.min(axis=0)
        self._range = self.points.x.max(axis=0) - self._low
        self._apart = 1.0 if kind == "gaussian-process" else APART
        unit = self._unit(self.points.x)
        self.used = min(len(unit), MOST_POINTS) if kind == "gaussian-process" else len(unit)
        """Distinct points of which it is made."""
        self._processes: list[GaussianProcess] = []
        self._tree = KDTree(unit)
        if kind == "nearest":
            self.quality = [self._quality_of_nearest(unit, m) for m in range(y.shape[1])]
        else:
            order = self._rare_first(np.random.default_rng(seed).permutation(len(unit)))
            chosen = np.sort(order[: self.used])
            self.quality = [self._fit(unit, m, chosen, seed) for m in range(y.shape[1])]

    def evaluate(self, point: Sequence[float]) -> list[float]:
        """Every outcome at one point, without noise."""
        unit = self._unit(np.asarray([point], dtype=np.float64))
        if self._processes:
            return [float(process.mean(unit)[0]) for process in self._processes]
        nearest = int(np.ravel(self._tree.query(unit)[1])[0])
        return [float(value) for value in self.points.y[nearest]]

    def deviation(self, point: Sequence[float]) -> list[float] | None:
        """Standard deviation of what `evaluate` gives; None where the emulator gives none."""
        unit = self._unit(np.asarray([point], dtype=np.float64))
        return [float(one.deviation(unit)[0]) for one in self._processes] or None

    @property
    def reach(self) -> float:
        """Distance to the nearest point beyond which a point is too far from the data."""
        return self._reach.limit

    def distance(self, point: Sequence[float]) -> float:
        """Distance of a point to the nearest of the table, to be compared with `reach`."""
        return self._reach.distance(point)

    def _rare_first(self, order: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Some points of each name come first: none is to be told of by others alone."""
        some = [
            order[self.points.x[order, parameter] == name][:FEWEST_POINTS]
            for parameter, count in enumerate(self._names)
            for name in range(count)
        ]
        return np.array(list(dict.fromkeys(np.concatenate([*some, order]).tolist())))

    def _unit(self, x: Array) -> Array:
        return spread((x - self._low) / self._range, x, self._names, self._apart)

    def _fit(self, unit: Array, m: int, chosen: npt.NDArray[np.intp], seed: int) -> Quality:
        y, count = self.points.y[chosen, m], self.points.count[chosen]
        scatter, noise = self.points.scatter[chosen, m], self._replicate_noise(m)
        if not noise:
            count, scatter = np.ones_like(count), np.zeros_like(scatter)
        process = GaussianProcess(unit[chosen], y, count, scatter, seed)
        self._processes.append(process)
        expected, deviation = process.leave_one_out()
        error = y - expected
        inside = np.count_nonzero(np.abs(error) <= COVERED * deviation)
        coverage = float(inside / len(error))
        if noise:
            return Quality(_r2(error, y), coverage, noise, "replicates")
        return Quality(_r2(error, y), coverage, process.noise_sd, "fit")

    def _quality_of_nearest(self, unit: Array, m: int) -> Quality:
        y = self.points.y[:, m]
        nearest = np.asarray(self._tree.query(unit, k=2)[1])[:, 1]
        noise = self._replicate_noise(m)
        return Quality(_r2(y - y[nearest], y), None, noise, "replicates" if noise else "none")

    def _replicate_noise(self, m: int) -> float:
        """Pooled over all points; 0 without replicates.

        It is 0 too when they are equal but for rounding: copies, which say nothing of the noise.
        """
        pooled = float(np.sum(self.points.scatter[:, m])) / max(self.points.repeats, 1)
        is_real = pooled > (1e-9 * float(np.ptp(self.points.y[:, m]))) ** 2
        return math.sqrt(pooled) if is_real else 0.0


def _summed(where: npt.NDArray[np.intp], rows: Array) -> Array:
    """Sums of the rows that belong to the same point, shape (n, m)."""
    sums = [np.bincount(where, column) for column in rows.T]
    return np.stack(sums, axis=1, dtype=np.float64)


def _r2(error: Array, y: Array) -> float:
    variance = float(np.var(y))
    return float(1.0 - np.mean(error**2) / variance) if variance else 0.0
