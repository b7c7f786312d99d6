"""Stiff differential equations, many points at once, each with its own step.

One step of RODAS, a Rosenbrock method of order 4 with an embedded one of order 3, six stages,
stiffly accurate and L-stable: Hairer and Wanner, Solving Ordinary Differential Equations II,
section IV.7. Autonomous equations only.
"""

from collections.abc import Callable

import numpy as np

from simulators.arrays import Array

GAMMA = 0.25

A = (
    (),
    (1.544,),
    (0.9466785280815826, 0.2557011698983284),
    (3.314825187068521, 2.896124015972201, 0.9986419139977817),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950),
)
"""Weights of the earlier stages where the slope of a stage is taken."""

C = (
    (),
    (-5.6688,),
    (-2.430093356833875, -0.2063599157091915),
    (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
    (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160),
    (
        8.083246795921522,
        -7.981132988064893,
        -31.52159432874371,
        16.31930543123136,
        -6.058818238834054,
    ),
)
"""Weights of the earlier stages, over the step, in the right-hand side of a stage."""


def step(
    slope: Callable[[Array], Array], jacobian: Array, start: Array, size: Array
) -> tuple[Array, Array]:
    """State after one step, and an estimate of its error.

    Args:
        slope: rates of change of a state; both have the shape (variables, points).
        jacobian: of `slope` at the start, (points, variables, variables).
        start: state at the start.
        size: of the step, one for each point.
    """
    identity = np.eye(len(start))
    inverse = np.linalg.inv(identity / (GAMMA * size)[:, np.newaxis, np.newaxis] - jacobian)
    stages: list[Array] = []
    state = start
    for index, weights in enumerate(C):
        if index < len(A):
            state = start + _weighted(A[index], stages)
        else:
            state = state + stages[-1]
        right = slope(state) + _weighted(weights, stages) / size
        stages.append(np.einsum("nij,jn->in", inverse, right))
    return state + stages[-1], stages[-1]


def _weighted(weights: tuple[float, ...], stages: list[Array]) -> Array | float:
    """The sum, from left to right; 0 of nothing."""
    total: Array | float = 0.0
    for weight, stage in zip(weights, stages, strict=True):
        total = total + weight * stage
    return total
