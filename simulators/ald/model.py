"""Atomic layer deposition in a well-mixed reactor: how long to dose and how long to purge.

Two precursors react in turn with the sites of a surface. What a purge leaves in the gas reacts
with the next dose: chemical vapour deposition, which adds to the growth. Equations and constants
after the code of Paulson et al., ACS Appl. Mater. Interfaces 13, 17022 (2021). Noiseless.
Units: seconds, pascal, kelvin, atomic mass units, square metres.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import exprel

from simulators.arrays import Array, Real, plain

BOLTZMANN = 1.38e-23
"""J/K, with the digits of the published code."""

ATOMIC_MASS = 1.66e-27
"""kg, with the digits of the published code."""

THICKNESS_PER_CYCLE = 0.112
"""nm that one saturated cycle adds to the film: alumina of 3.0 g/cm3, one formula unit for two
sites of 0.251 nm2."""

DOWNSTREAM_PRESSURE = 0.5
"""Precursor pressure at the downstream monitor, relative to the upstream one."""

DOWNSTREAM_PURGE_TIME = 1.5
"""Purge time constants at the downstream monitor, relative to the upstream one."""

GPC_TOLERANCE = 0.02
"""Largest distance of the growth per cycle from 1, at both monitors, that is a good film."""

CYCLES = 3
"""The growth of this cycle counts, from a surface without any precursor 1."""

STEPS = 120
"""Graded steps per phase."""

GRADED_SPAN = 225.0
"""Seconds of a phase that are divided into graded steps; the rest is one step. Fifteen times the
longest purge time constant: nothing is left in the gas by then."""

BOUNDS: dict[str, tuple[float, float]] = {
    "dose_1": (0.5, 30.0),
    "purge_1": (2.0, 120.0),
    "dose_2": (0.5, 60.0),
    "purge_2": (5.0, 300.0),
}


OPTIMUM: dict[str, Any] = {
    "parameters": {
        "dose_1": 0.915814122,
        "purge_1": 19.4858529,
        "dose_2": 2.60206798,
        "purge_2": 48.5942847,
    },
    "outcomes": {"rate": 5.631440670, "gpc_up": 1.019999999, "gpc_down": 0.9800000011},
    "objective": 5.631440670,
    "goal": "maximize",
    "found_by": "differential evolution over the box in log times, then sequential quadratic "
    "programming with both limits as constraints, each tightened by 1e-9",
}
"""Both limits are active: too much growth upstream, too little downstream."""


@dataclass(frozen=True)
class Precursor:
    """One of the two reactants in the gas.

    Attributes:
        pressure: during a long dose, Pa.
        mass: molecular, atomic mass units.
        sticking: probability that a molecule reacts where it hits a free site.
        purge_time: time constant with which it leaves the reactor, s.
    """

    pressure: float
    mass: float
    sticking: float
    purge_time: float


@dataclass(frozen=True)
class Process:
    """Two precursors on a surface.

    Attributes:
        first: adds to the film where it reacts.
        second: frees the site again.
        temperature: K.
        site_area: m2.
    """

    first: Precursor
    second: Precursor
    temperature: float
    site_area: float

    def rate(self, precursor: Precursor) -> float:
        """Reactions per second on a free site, from kinetic gas theory."""
        thermal = self.temperature * BOLTZMANN
        speed = np.sqrt(8.0 * thermal / (np.pi * ATOMIC_MASS * precursor.mass))
        flux = precursor.pressure * speed / (4.0 * thermal)
        return float(self.site_area * precursor.sticking * flux)


PROCESSES = {
    "Al2O3 200 degC": Process(
        Precursor(26.66, 72, 1e-3, 0.2), Precursor(26.66, 18, 1e-4, 0.2), 473, 0.225e-18
    ),
    "Al2O3 100 degC": Process(
        Precursor(26.66, 72, 1e-4, 3.0), Precursor(26.66, 18, 1e-5, 10.0), 373, 0.251e-18
    ),
    "TiO2 200 degC": Process(
        Precursor(0.6665, 284, 1e-4, 0.2), Precursor(26.66, 18, 1e-4, 0.2), 473, 1.17e-18
    ),
    "W 200 degC": Process(
        Precursor(6.665, 297, 0.2, 0.2), Precursor(26.66, 62, 0.05, 0.2), 473, 0.036e-18
    ),
}
"""The four published processes; the twin runs the second."""

TWIN_PROCESS = "Al2O3 100 degC"


def growth_per_cycle(
    process: Process,
    *,
    dose_1: Real,
    purge_1: Real,
    dose_2: Real,
    purge_2: Real,
    pressure_factor: float = 1.0,
    purge_time_factor: float = 1.0,
) -> Real:
    """Growth in the third cycle from a bare surface; 1 is one reaction on each site.

    The coverage c of the surface with precursor 1 follows dc/dt = a1 (1 - c) - a2 c, and the
    growth is the integral of a1 (1 - c). The rate a of a precursor is constant while it is dosed,
    a0 t/(t + tp) for a dose of t seconds, and decays with the time constant tp from then to its
    next dose, where what is left of it is dropped.

    Args:
        process: the chemistry.
        dose_1: s.
        purge_1: s.
        dose_2: s.
        purge_2: s.
        pressure_factor: multiplies both pressures.
        purge_time_factor: multiplies both purge time constants.

    Returns:
        A float for float arguments, else an array; arguments broadcast against each other.
    """
    times = (np.asarray(time, dtype=np.float64) for time in (dose_1, purge_1, dose_2, purge_2))
    t1, t2, t3, t4 = np.broadcast_arrays(*times)
    tp1 = process.first.purge_time * purge_time_factor
    tp2 = process.second.purge_time * purge_time_factor
    dosed_1 = process.rate(process.first) * pressure_factor * t1 / (t1 + tp1)
    dosed_2 = process.rate(process.second) * pressure_factor * t3 / (t3 + tp2)
    coverage = growth = left_2 = np.zeros_like(t1)
    for _ in range(CYCLES):
        coverage, dose = _phase(coverage, t1, dosed_1, 0.0, left_2, 1 / tp2)
        left_2 = left_2 * np.exp(-t1 / tp2)
        coverage, purge = _phase(coverage, t2, dosed_1, 1 / tp1, left_2, 1 / tp2)
        left_1 = dosed_1 * np.exp(-t2 / tp1)
        coverage, second_dose = _phase(coverage, t3, left_1, 1 / tp1, dosed_2, 0.0)
        left_1 = left_1 * np.exp(-t3 / tp1)
        coverage, second_purge = _phase(coverage, t4, left_1, 1 / tp1, dosed_2, 1 / tp2)
        left_2 = dosed_2 * np.exp(-t4 / tp2)
        growth = dose + purge + second_dose + second_purge
    return plain(growth)


def evaluate(*, dose_1: Real, purge_1: Real, dose_2: Real, purge_2: Real) -> dict[str, Real]:
    """Noiseless outcomes of alumina from trimethylaluminum (1) and water (2) at 100 degC.

    Args:
        dose_1: s, positive.
        purge_1: s, not negative.
        dose_2: s, positive.
        purge_2: s, not negative.

    Returns:
        `rate`, film growth in nm/h; `gpc_up` and `gpc_down`, growth per cycle at the upstream and
        at the downstream monitor, relative to saturation; `objective`, to be maximized: `rate`,
        times exp(1 - v/0.02) where v, the larger distance of the two from 1, exceeds 0.02. Floats
        for float arguments, else arrays of the same length.
    """
    up, down = growth_at_monitors(dose_1=dose_1, purge_1=purge_1, dose_2=dose_2, purge_2=purge_2)
    rate = growth_rate(up, down, dose_1 + purge_1 + dose_2 + purge_2)
    off = np.maximum(np.abs(up - 1.0), np.abs(down - 1.0))
    penalty = np.exp(-np.maximum(off / GPC_TOLERANCE - 1.0, 0.0))
    return {
        "rate": plain(rate),
        "gpc_up": plain(up),
        "gpc_down": plain(down),
        "objective": plain(rate * penalty),
    }


def growth_at_monitors(
    *, dose_1: Real, purge_1: Real, dose_2: Real, purge_2: Real, bubbler: float = 1.0
) -> tuple[Array, Array]:
    """Growth per cycle of the twin's process, upstream and downstream.

    Args:
        dose_1: s, as of `evaluate`; likewise the other times.
        purge_1: s.
        dose_2: s.
        purge_2: s.
        bubbler: what the bubbler of precursor 1 still gives of its pressure; 1 is all.
    """
    process = PROCESSES[TWIN_PROCESS]
    first = replace(process.first, pressure=process.first.pressure * bubbler)
    process = replace(process, first=first)
    times: dict[str, Any] = {
        "dose_1": dose_1,
        "purge_1": purge_1,
        "dose_2": dose_2,
        "purge_2": purge_2,
    }
    up = np.asarray(growth_per_cycle(process, **times))
    down = np.asarray(
        growth_per_cycle(
            process,
            **times,
            pressure_factor=DOWNSTREAM_PRESSURE,
            purge_time_factor=DOWNSTREAM_PURGE_TIME,
        )
    )
    return up, down


def growth_rate(gpc_up: Real, gpc_down: Real, cycle_time: Real) -> Array:
    """Film growth in nm/h, averaged over the two monitors.

    Args:
        gpc_up: growth per cycle relative to saturation.
        gpc_down: likewise.
        cycle_time: s.
    """
    mean = 0.5 * (np.asarray(gpc_up) + np.asarray(gpc_down))
    return 3600.0 * THICKNESS_PER_CYCLE * mean / np.asarray(cycle_time)


def _phase(
    coverage: Array, duration: Array, a1: Array, decay_1: float, a2: Array, decay_2: float
) -> tuple[Array, Array]:
    """Coverage at the end of a dose or purge, and growth in it.

    Each step is exact for rates that stand still at their mean over the step. The steps are short
    at the start, where all changes are fast.

    Args:
        coverage: at the start.
        duration: s.
        a1: rate of precursor 1 at the start, 1/s.
        decay_1: 1/s; 0 keeps the rate.
        a2: as `a1`, of precursor 2.
        decay_2: as `decay_1`.
    """
    graded = np.linspace(0.0, 1.0, STEPS + 1).reshape(-1, *np.ones_like(duration.shape)) ** 2
    edges = np.concatenate([graded * np.minimum(duration, GRADED_SPAN), duration[np.newaxis]])
    start, step = edges[:-1], np.diff(edges, axis=0)
    mean_1 = a1 * np.exp(-decay_1 * start) * exprel(-decay_1 * step)
    mean_2 = a2 * np.exp(-decay_2 * start) * exprel(-decay_2 * step)
    total = np.maximum(mean_1 + mean_2, np.finfo(np.float64).tiny)
    weight = step * exprel(-total * step)
    kept, gained = np.exp(-total * step), mean_1 * weight
    covered = np.empty_like(step)
    for index in range(len(step)):
        covered[index] = coverage
        coverage = kept[index] * coverage + gained[index]
    growth = mean_1 * (mean_2 / total * (step - weight) + weight * (1.0 - covered))
    return coverage, growth.sum(axis=0)
