"""An X gate on a transmon of three levels, driven by a raised cosine with DRAG.

Pulse after Motzoi, Gambetta, Rebentrost and Wilhelm, Phys. Rev. Lett. 103, 110501 (2009); fidelity
after Pedersen, Moller and Molmer, Phys. Lett. A 367, 47 (2007). Noiseless. In the rotating frame
with hbar = 1; inside rad/ns and ns.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from simulators.arrays import Array, Real, plain

Matrices = npt.NDArray[np.complex128]

MHZ = 2e-3 * np.pi
"""Angular frequency of 1 MHz, rad/ns."""

ANHARMONICITY = -300.0
"""Second transition less the first, MHz."""

COUPLING = float(np.sqrt(2.0))
"""Strength of the drive on the second transition, relative to the first."""

RELAXATION_TIME = 50.0
"""T1, us."""

COHERENCE_TIME = 40.0
"""T2, us."""

MAX_LEAKAGE = 1e-5
"""What the objective allows."""

LEAKAGE_FLOOR = 1e-6
"""Least leakage that an experiment tells from none."""

REPEATS = 15
"""Gates in a row before `excited` is read; an odd number ends in the second level."""

STEPS = 100
"""Constant pieces of the pulse. At the optimum the error is 8e-5 of itself above that of 1600."""

BOUNDS: dict[str, tuple[float, float]] = {
    "amplitude": (0.8, 1.2),
    "drag": (-1.0, 2.0),
    "detuning": (-25.0, 25.0),
    "duration": (6.0, 40.0),
}

OPTIMUM: dict[str, Any] = {
    "parameters": {
        "amplitude": 0.9735984662,
        "drag": 0.9669465682,
        "detuning": 15.93707370,
        "duration": 8.240737936,
    },
    "outcomes": {
        "gate_error": 9.682801935e-05,
        "leakage": 6.933525755e-07,
        "log_error": -4.013998952,
        "log_leakage": -6.0,
    },
    "objective": -4.013998952,
    "goal": "minimize",
    "found_by": "differential evolution over the box, then Nelder-Mead to 1e-11",
    "scale": "decades",
    "near": math.log10(2.0),
}
"""Inside the box; the leakage is below what is allowed."""


def propagator(
    x: Array,
    y: Array,
    *,
    step: Array,
    detuning: Real,
    anharmonicity: Real = ANHARMONICITY,
    coupling: Real = COUPLING,
) -> Matrices:
    """The unitary of a pulse of constant pieces, shape (..., 3, 3).

    Args:
        x: drive in phase, rad/ns, shape (..., pieces).
        y: drive in quadrature, likewise.
        step: length of a piece, ns, shape (...).
        detuning: of the qubit from the drive, MHz.
        anharmonicity: MHz.
        coupling: of the second transition, relative to the first; 0 is a qubit of two levels.
    """
    qubit = MHZ * np.asarray(detuning)[..., None]
    drive = (x + 1j * y) / 2.0
    # eigh reads the lower triangle alone
    hamiltonian = np.zeros((*drive.shape, 3, 3), dtype=np.complex128)
    hamiltonian[..., 1, 1] = qubit
    hamiltonian[..., 2, 2] = 2.0 * qubit + MHZ * anharmonicity
    hamiltonian[..., 1, 0] = drive
    hamiltonian[..., 2, 1] = coupling * drive
    energy, state = np.linalg.eigh(hamiltonian)
    phase = np.exp(-1j * energy * step[..., None, None])
    pieces = (state * phase[..., None, :]) @ state.conj().swapaxes(-1, -2)
    total = np.broadcast_to(np.eye(3, dtype=np.complex128), (*drive.shape[:-1], 3, 3))
    for piece in range(drive.shape[-1]):
        total = pieces[..., piece, :, :] @ total
    return total


def gate(
    *, amplitude: Real, drag: Real, detuning: Real, duration: Real, steps: int = STEPS
) -> Matrices:
    """The unitary of the gate, shape (..., 3, 3); arguments as in `evaluate`."""
    area, beta, offset, length = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (amplitude, drag, detuning, duration))
    )
    angle = 2.0 * np.pi * (np.arange(steps) + 0.5) / steps
    rate = (2.0 * np.pi / length)[..., None]
    x = area[..., None] * rate * (1.0 - np.cos(angle)) / 2.0
    slope = area[..., None] * rate**2 * np.sin(angle) / 2.0
    y = -beta[..., None] * slope / (MHZ * ANHARMONICITY)
    return propagator(x, y, step=length / steps, detuning=offset)


def coherent_error(unitary: Matrices) -> Array:
    """Average infidelity of the lowest two levels with an X gate; leakage counts as error."""
    # -i X from the left: the phase that all levels share does not matter
    product = 1j * unitary[..., [1, 0], :2]
    trace = product[..., 0, 0] + product[..., 1, 1]
    kept = np.sum(np.abs(product) ** 2, axis=(-2, -1))
    return 1.0 - (kept + np.abs(trace) ** 2) / 6.0


def leakage_of(unitary: Matrices) -> Array:
    """Population that ends in the third level, mean over the lowest two."""
    return np.sum(np.abs(unitary[..., 2, :2]) ** 2, axis=-1) / 2.0


def decoherence_error(duration: Real, relaxation_time: Real = RELAXATION_TIME) -> Array:
    """Average infidelity of waiting for the length of the gate.

    Args:
        duration: ns.
        relaxation_time: T1, us.
    """
    microseconds = np.asarray(duration) / 1000.0
    decay = -np.expm1(-microseconds / relaxation_time) / 6.0
    return decay - np.expm1(-microseconds / COHERENCE_TIME) / 3.0


def benchmark(
    *,
    amplitude: Real,
    drag: Real,
    detuning: Real,
    duration: Real,
    relaxation_time: Real = RELAXATION_TIME,
) -> dict[str, Real]:
    """What experiments find about the gate.

    Args:
        amplitude: of the pulse; 1 turns a resonant qubit of two levels by pi.
        drag: weight of the derivative in quadrature; 0 is none, 1 that of first order in Motzoi.
        detuning: of the qubit from the drive, MHz.
        duration: of the pulse, ns, positive.
        relaxation_time: T1, us.

    Returns:
        `gate_error`, average infidelity with an X gate, decoherence included; `leakage`, population
        that ends in the third level; `log_error` and `log_leakage`, their decadic logarithms, the
        latter of 1e-6 where the leakage is less; `excited`, population of the second level after
        `REPEATS` gates on the lowest, without decoherence. Floats for float arguments, else arrays;
        arguments broadcast against each other.
    """
    unitary = gate(amplitude=amplitude, drag=drag, detuning=detuning, duration=duration)
    error = coherent_error(unitary) + decoherence_error(duration, relaxation_time)
    leakage = leakage_of(unitary)
    repeated = np.linalg.matrix_power(unitary, REPEATS)
    found = {
        "gate_error": error,
        "leakage": leakage,
        "log_error": np.log10(error),
        "log_leakage": np.log10(np.maximum(leakage, LEAKAGE_FLOOR)),
        "excited": np.abs(repeated[..., 1, 0]) ** 2,
    }
    return {name: plain(value) for name, value in found.items()}


def evaluate(*, amplitude: Real, drag: Real, detuning: Real, duration: Real) -> dict[str, Real]:
    """Noiseless outcomes.

    Args:
        amplitude: of the pulse; 1 turns a resonant qubit of two levels by pi.
        drag: weight of the derivative in quadrature; 0 is none, 1 that of first order in Motzoi.
        detuning: of the qubit from the drive, MHz.
        duration: of the pulse, ns, positive.

    Returns:
        `gate_error`, `leakage`, `log_error`, `log_leakage` as in `benchmark`; `objective`, the
        `log_error` plus the decades by which the leakage is above 1e-5, to be minimized. Floats
        for float arguments, else arrays of the same length.
    """
    found = benchmark(amplitude=amplitude, drag=drag, detuning=detuning, duration=duration)
    excess = np.maximum(np.asarray(found["log_leakage"]) - np.log10(MAX_LEAKAGE), 0.0)
    names = ("gate_error", "leakage", "log_error", "log_leakage")
    return {
        **{name: found[name] for name in names},
        "objective": plain(found["log_error"] + excess),
    }
