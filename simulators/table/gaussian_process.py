"""Gaussian process of one outcome, with repeated measurements at the same point.

Formulas: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), equations 2.25,
2.26, 4.17, 5.8, 5.9 and 5.12.
"""

import math

import numpy as np
from scipy.linalg import cho_solve
from scipy.optimize import minimize

from simulators.arrays import Array

MOST_FITTED = 300
"""Distinct points from which hyperparameters are found; a seeded choice where there are more."""

LENGTHS = (0.03, 30.0)
"""Bounds of a length scale, relative to the parameter's range in the table."""

SIGNAL = (0.01, 100.0)
"""Bounds of the variance of the process, relative to that of the outcome."""

NOISE = (1e-6, 2.0)
"""Bounds of the variance of the noise, relative to that of the outcome."""

STARTS = [(length, noise) for length in (0.2, 0.6, 2.0) for noise in (1e-3, 0.1)]
"""Length scale and noise of the starts that are compared; the search goes on from the best two."""

JITTER = 1e-9
"""Added to the diagonal, relative to the variance of the outcome, for the Cholesky factors."""

ROOT5 = math.sqrt(5.0)


class GaussianProcess:
    """Matern-5/2 kernel with one length scale for each parameter, and constant noise.

    The hyperparameters maximize the marginal likelihood of all rows: of the means of repeated
    measurements, and of their scatter about the means.

    Args:
        x: distinct points, shape (n, d), each parameter from 0 to 1 over its range.
        y: mean of the outcome at each point, shape (n,).
        count: measurements at each point, shape (n,).
        scatter: sum of squares of the measurements at each point about their mean, shape (n,).
        seed: of the choice of points for the hyperparameters.
    """

    def __init__(self, x: Array, y: Array, count: Array, scatter: Array, seed: int = 0) -> None:
        self._x, self._count = x, count
        self._centre, self._scale = float(np.mean(y)), float(np.std(y)) or 1.0
        self._y = (y - self._centre) / self._scale
        chosen = np.arange(len(x))
        if len(x) > MOST_FITTED:
            chosen = np.sort(np.random.default_rng(seed).permutation(len(x))[:MOST_FITTED])
        inside = float(np.sum(scatter[chosen])) / self._scale**2
        search = _Search(x[chosen], self._y[chosen], count[chosen], inside)
        self.lengths, self.signal, noise = search.best()
        self.noise_sd = math.sqrt(noise) * self._scale
        """Standard deviation of one measurement, in the unit of the outcome."""
        covariance = self.signal * matern(distance(x, x, self.lengths))
        covariance[np.diag_indices(len(x))] += noise / count + JITTER
        self._factor = np.linalg.cholesky(covariance), True
        self._weights = cho_solve(self._factor, self._y)

    def mean(self, points: Array) -> Array:
        """Expected outcome at points of shape (k, d), without noise."""
        across = self.signal * matern(distance(points, self._x, self.lengths))
        return self._centre + self._scale * (across @ self._weights)

    def deviation(self, points: Array) -> Array:
        """Standard deviation of the expected outcome itself, at points of shape (k, d)."""
        across = self.signal * matern(distance(points, self._x, self.lengths))
        explained = np.einsum("ij,ji->i", across, cho_solve(self._factor, across.T))
        return self._scale * np.sqrt(np.maximum(self.signal - explained, 0.0))

    def leave_one_out(self) -> tuple[Array, Array]:
        """What the other points say of each point, in closed form.

        Returns:
            Expected mean of its measurements, and the standard deviation of that, noise included.
            The hyperparameters stay those of all points.
        """
        inverse = np.diag(cho_solve(self._factor, np.eye(len(self._x))))
        expected = self._y - self._weights / inverse
        return self._centre + self._scale * expected, self._scale / np.sqrt(inverse)


def distance(a: Array, b: Array, lengths: Array) -> Array:
    """Distances in length scales between points of shapes (n, d) and (m, d): shape (n, m)."""
    squares = np.zeros((len(a), len(b)))
    for column, length in enumerate(lengths):
        squares += ((a[:, column, None] - b[None, :, column]) / length) ** 2
    return np.sqrt(squares)


def matern(r: Array) -> Array:
    """Matern-5/2 correlation at distances in length scales."""
    return (1.0 + ROOT5 * r + 5.0 / 3.0 * r**2) * np.exp(-ROOT5 * r)


class _Search:
    """Hyperparameters of maximum marginal likelihood, with analytic gradients.

    They are searched as logarithms: length scales, variance of the process, variance of the noise.
    """

    def __init__(self, x: Array, y: Array, count: Array, scatter: float) -> None:
        self._y, self._count = y, count
        self._repeats, self._scatter = float(np.sum(count)) - len(count), scatter
        self._squares: list[Array] = [(column[:, None] - column[None, :]) ** 2 for column in x.T]

    def best(self) -> tuple[Array, float, float]:
        """Length scales, variance of the process and variance of the noise."""
        d = len(self._squares)
        starts = [np.log([*[length] * d, 1.0, noise]) for length, noise in STARTS]
        starts.sort(key=lambda start: self.loss(start)[0])
        bounds = [tuple(np.log(pair)) for pair in (*[LENGTHS] * d, SIGNAL, NOISE)]
        found = [
            minimize(self.loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
            for start in starts[:2]
        ]
        logs = min(found, key=lambda one: float(one.fun)).x
        return np.exp(logs[:d]), math.exp(logs[d]), math.exp(logs[d + 1])

    def loss(self, logs: Array) -> tuple[float, Array]:
        """Negative logarithm of the marginal likelihood but for a constant, and its gradient."""
        *lengths, signal, noise = (math.exp(log) for log in logs)
        squares = np.zeros_like(self._squares[0])
        for one, length in zip(self._squares, lengths, strict=True):
            squares += one / length**2
        r = np.sqrt(squares)
        decay = np.exp(-ROOT5 * r)
        correlation = (1.0 + ROOT5 * r + 5.0 / 3.0 * squares) * decay
        diagonal = np.diag_indices(len(self._y))
        covariance: Array = signal * correlation
        covariance[diagonal] += noise / self._count + JITTER
        factor = np.linalg.cholesky(covariance), True
        weights: Array = cho_solve(factor, self._y)
        value = 0.5 * self._y @ weights + np.log(np.diag(factor[0])).sum()
        value += 0.5 * (self._repeats * math.log(noise) + self._scatter / noise)
        inverse: Array = cho_solve(factor, np.eye(len(self._y)))
        slope = inverse - np.outer(weights, weights)
        steepness = slope * (signal * 5.0 / 3.0 * (1.0 + ROOT5 * r) * decay)
        gradient = [
            0.5 * np.sum(steepness * one) / length**2
            for one, length in zip(self._squares, lengths, strict=True)
        ]
        gradient.append(0.5 * signal * np.sum(slope * correlation))
        of_noise = np.sum(slope[diagonal] / self._count) * noise
        gradient.append(0.5 * (of_noise + self._repeats - self._scatter / noise))
        return float(value), np.array(gradient)
