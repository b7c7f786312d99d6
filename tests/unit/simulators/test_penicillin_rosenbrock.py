import numpy as np
import pytest

from simulators.penicillin.rosenbrock import step


def slope(state: np.ndarray) -> np.ndarray:
    """A rotation whose speed grows with time, in three variables: sine, cosine, time."""
    sine, cosine, time = state
    return np.array([time * cosine, -time * sine, np.ones_like(time)])


def jacobian(state: np.ndarray) -> np.ndarray:
    matrix = np.zeros((state.shape[1], 3, 3))
    matrix[:, 0, 1], matrix[:, 0, 2] = state[2], state[1]
    matrix[:, 1, 0], matrix[:, 1, 2] = -state[2], -state[0]
    return matrix


def error_after_one_unit_of_time(steps: int) -> float:
    state = np.array([[0.0], [1.0], [0.0]])
    for _ in range(steps):
        state, _ = step(slope, jacobian(state), state, np.array([1.0 / steps]))
    return float(abs(state[0, 0] - np.sin(0.5)) + abs(state[1, 0] - np.cos(0.5)))


def test_is_of_order_four():
    coarse, fine = error_after_one_unit_of_time(16), error_after_one_unit_of_time(32)
    assert np.log2(coarse / fine) == pytest.approx(4.0, abs=0.4)
    assert fine < 1e-6


def test_a_stiff_decay_is_damped_in_one_step():
    start, size = np.array([[1.0, 1.0]]), np.array([1.0, 0.1])
    after, _ = step(lambda y: -1e8 * y, np.full((2, 1, 1), -1e8), start, size)
    assert np.all(abs(after) < 1e-6)


def test_the_error_estimate_falls_with_the_step():
    start = np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    _, error = step(slope, jacobian(start), start, np.array([0.2, 0.1]))
    size = np.linalg.norm(error, axis=0)
    assert 6 < size[0] / size[1] < 40
