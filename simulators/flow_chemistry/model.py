"""Aromatic substitution (SNAr) in a plug-flow reactor: 2,4-difluoronitrobenzene and pyrrolidine.

Four second-order reactions, rate constants after Hone et al., React. Chem. Eng. 2, 103 (2017).
Noiseless. Units: minutes, mol/L, degrees Celsius, g/mol.
"""

from typing import Any

import numpy as np

from simulators.arrays import Array, Real, plain

SPECIES = ("substrate", "amine", "ortho", "para", "bis")
MOLAR_MASS = {"substrate": 159.09, "amine": 71.12, "ortho": 210.21, "para": 210.21, "bis": 261.33}
"""g/mol."""

RATE_AT_90_DEGC = (34.74, 1.62, 0.519, 0.978)
"""L/mol/min at 90 degC: substrate to ortho, substrate to para, ortho to bis, para to bis."""

ACTIVATION_ENERGY = (33.3, 35.3, 38.9, 44.8)
"""kJ/mol, in the order of `RATE_AT_90_DEGC`."""

GAS_CONSTANT = 8.314462618e-3
"""kJ/mol/K."""

SOLVENT_DENSITY = 789.0
"""g/L, ethanol."""

STEPS = 100
"""Runge-Kutta steps per evaluation; concentrations are good to 1e-8 of the feed."""

BOUNDS: dict[str, tuple[float, float]] = {
    "residence_time": (0.5, 2.0),
    "equivalents": (1.0, 5.0),
    "concentration": (0.1, 0.5),
    "temperature": (30.0, 120.0),
}

OPTIMUM: dict[str, Any] = {
    "parameters": {
        "residence_time": 0.5,
        "equivalents": 5.0,
        "concentration": 0.5,
        "temperature": 31.06358076,
    },
    "outcomes": {"sty": 11562.26216, "yield_fraction": 0.9167231307, "e_factor": 9.753388673},
    "objective": 11562.26216,
    "goal": "maximize",
    "found_by": "differential evolution over the box, then bounded Brent search in temperature",
}
"""The three other parameters lie on their bounds."""


def rate_constants(temperature: Real) -> tuple[Array, Array, Array, Array]:
    """Rate constants of the four reactions in L/mol/min, by Arrhenius.

    Args:
        temperature: degC.
    """
    inverse = 1.0 / (np.asarray(temperature, dtype=np.float64) + 273.15) - 1.0 / 363.15
    a, b, c, d = (
        k * np.exp(-energy / GAS_CONSTANT * inverse)
        for k, energy in zip(RATE_AT_90_DEGC, ACTIVATION_ENERGY, strict=True)
    )
    return a, b, c, d


def concentrations(
    *, residence_time: Real, equivalents: Real, concentration: Real, temperature: Real
) -> dict[str, Real]:
    """Concentrations at the reactor outlet in mol/L, one entry for each of `SPECIES`.

    Let s be the integral of the amine concentration over time. In s the four reactions are
    linear and have a closed solution; what is left is ds/dt = amine(s), one smooth equation.

    Args:
        residence_time: min, positive.
        equivalents: amine per substrate in the feed, mol/mol.
        concentration: substrate in the feed, mol/L, positive.
        temperature: degC.

    Returns:
        Floats for float arguments, else arrays; arguments broadcast against each other.
    """
    tau, ratio, feed, celsius = np.broadcast_arrays(
        *(
            np.asarray(value, dtype=np.float64)
            for value in (residence_time, equivalents, concentration, temperature)
        )
    )
    rates = rate_constants(celsius)
    exposure = _amine_exposure(tau, ratio, feed, rates)
    outlet = _composition(exposure, ratio, feed, rates)
    return {name: plain(value) for name, value in zip(SPECIES, outlet, strict=True)}


def evaluate(
    *, residence_time: Real, equivalents: Real, concentration: Real, temperature: Real
) -> dict[str, Real]:
    """Noiseless outcomes at steady state.

    Args:
        residence_time: min, positive.
        equivalents: amine per substrate in the feed, mol/mol.
        concentration: substrate in the feed, mol/L, positive.
        temperature: degC.

    Returns:
        `sty`, space-time yield of the ortho product in kg/m3/h; `yield_fraction`, ortho product
        per limiting reagent in mol/mol (the substrate, as `equivalents` is at least 1);
        `e_factor`, mass of waste (solvent, by-products, what did not react) per mass of ortho
        product; `objective`, equal to `sty`, to be maximized. Floats for float arguments, else
        arrays of the same length.
    """
    outlet = concentrations(
        residence_time=residence_time,
        equivalents=equivalents,
        concentration=concentration,
        temperature=temperature,
    )
    product = MOLAR_MASS["ortho"] * outlet["ortho"]
    waste = sum(
        (MOLAR_MASS[name] * outlet[name] for name in SPECIES if name != "ortho"), SOLVENT_DENSITY
    )
    sty = plain(60.0 * product / np.asarray(residence_time))
    limiting = np.asarray(concentration) * np.minimum(1.0, equivalents)
    return {
        "sty": sty,
        "yield_fraction": plain(outlet["ortho"] / limiting),
        "e_factor": plain(np.asarray(waste / product)),
        "objective": sty,
    }


def _amine_exposure(tau: Array, ratio: Array, feed: Array, rates: tuple[Array, ...]) -> Array:
    """Integral of the amine concentration over the residence time, mol min/L.

    Runge-Kutta of order 4 in u with t = tau u^2: short steps at the start, where it is fast.
    """
    step = 1.0 / STEPS

    def slope(u: float, exposure: Array) -> Array:
        return 2.0 * u * tau * _composition(exposure, ratio, feed, rates)[1]

    exposure = np.zeros_like(tau)
    for index in range(STEPS):
        u = index * step
        first = slope(u, exposure)
        second = slope(u + step / 2, exposure + step / 2 * first)
        third = slope(u + step / 2, exposure + step / 2 * second)
        fourth = slope(u + step, exposure + step * third)
        exposure = exposure + step / 6 * (first + 2 * second + 2 * third + fourth)
    return exposure


def _composition(
    exposure: Array, ratio: Array, feed: Array, rates: tuple[Array, ...]
) -> tuple[Array, Array, Array, Array, Array]:
    """Concentrations, in the order of `SPECIES`, after a given amine exposure."""
    a, b, c, d = rates
    total = a + b
    left = np.exp(-total * exposure)
    substrate = feed * left
    ortho = feed * a / (total - c) * (np.exp(-c * exposure) - left)
    para = feed * b / (total - d) * (np.exp(-d * exposure) - left)
    bis = feed - substrate - ortho - para
    amine = feed * ratio - ortho - para - 2.0 * bis
    return substrate, amine, ortho, para, bis
