"""Power balance of a deuterium-tritium plasma in a tokamak of ITER's size, in no dimensions.

Fixed shapes of the profiles, confinement by IPB98(y,2), fusion by Bosch and Hale. Noiseless, at
flat top. Units: MA, T, MW, MJ, keV, 1e20 per m3. Arrays are points, then trial temperatures.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from simulators.arrays import Array, Real

MAJOR_RADIUS = 6.2
MINOR_RADIUS = 2.0
"""Radii in m."""

ELONGATION = 1.85
ELONGATION_95 = 1.70
TRIANGULARITY_95 = 0.33
"""At the edge, and at 95 % of the flux."""

VOLUME = 831.0
"""m3."""

SURFACE = 683.0
"""m2."""

BERYLLIUM = 0.02
"""Ions per electron. Argon is a parameter, and helium follows from the burn."""

ION_TEMPERATURE = 0.91
"""Of the ions, relative to that of the electrons."""

OHMIC_POWER = 1.0
"""MW."""

FUSION_ENERGY = 17.59e6 * 1.602176634e-19
"""J per reaction."""

ALPHA_SHARE = 0.2001
"""Of the fusion power, what the alpha particles carry and leave in the plasma."""

HELIUM_DWELL = 5.0
"""Time that helium stays in the plasma, in confinement times of the energy."""

WALL_REFLECTION = 0.8
"""Fraction of the synchrotron radiation that the wall sends back."""

L_MODE = 0.5
"""Confinement in L-mode, relative to H-mode."""

RADII = (np.arange(24) + 0.5) / 24.0
WEIGHTS = 2.0 * RADII / 24.0
DENSITY_SHAPE = 1.1 * (1.0 - RADII**2) ** 0.1
TEMPERATURE_SHAPE = 2.0 * (1.0 - RADII**2)
"""Midpoints in the normalized radius, weights of a mean over the volume, and the profiles there.

The grid belongs to the model: argon radiates at the edge, and a finer grid sees more of it.
"""

SCAN = np.linspace(0.5, 40.0, 90)
"""keV: mean electron temperatures among which the power balance is sought from below."""

BISECTIONS, AT_ONCE = 30, 3
"""Halvings of one interval of the scan, to 4e-10 keV, and how many are computed together: an array
of a few temperatures takes hardly longer than one."""

ASH_ITERATIONS = 12

BOUNDS: dict[str, tuple[float, float]] = {
    "plasma_current": (8.0, 17.0),
    "field": (4.0, 5.3),
    "greenwald_fraction": (0.3, 1.2),
    "heating_power": (20.0, 73.0),
    "tritium_fraction": (0.2, 0.8),
    "argon_fraction": (0.0, 0.4),
}

DISRUPTED, COLLAPSED, LOW, HIGH = -1.0, 0.0, 1.0, 2.0
"""Values of `regime`: no pulse, no power balance (all is radiated), L-mode, H-mode."""

OPTIMUM: dict[str, Any] = {
    "parameters": {
        "plasma_current": 14.98169281,
        "field": 5.3,
        "greenwald_fraction": 1.0,
        "heating_power": 58.00455425,
        "tritium_fraction": 0.5190551585,
        "argon_fraction": 0.2109108311,
    },
    "outcomes": {
        "fusion_power": 580.0455409,
        "gain": 9.999999973,
        "q95": 3.000000002,
        "separatrix_power": 99.99999974,
        "beta_n": 1.940888514,
        "regime": HIGH,
    },
    "objective": 580.0455251,
    "goal": "maximize",
    "found_by": "differential evolution over the box, then SLSQP under the constraints",
}
"""The field lies on its bound; gain, q95, density and separatrix power on their constraints."""


def reactivity(temperature: Real) -> Array:
    """Deuterium-tritium fusion reactivity in cm3/s, Bosch and Hale, Nucl. Fusion 32, 611 (1992).

    Args:
        temperature: of the ions, keV, positive; their fit is for 0.2 to 100.
    """
    T = np.asarray(temperature, dtype=np.float64)
    above = T * (1.51361e-2 + T * (4.60643e-3 - T * 1.0675e-4))
    below = 1.0 + T * (7.51886e-2 + T * (1.35e-2 + T * 1.366e-5))
    theta = T / (1.0 - above / below)
    xi = np.cbrt(34.3827**2 / (4.0 * theta))
    rate = 1.17302e-9 * theta * np.sqrt(xi / (1124656.0 * T**3)) * np.exp(-3.0 * xi)
    return np.asarray(rate)


def argon_cooling(temperature: Real) -> Array:
    """Radiation of argon in W m3 per ion and electron.

    Polynomials of Mavrin, Radiat. Eff. Defects Solids 173, 388 (2018).

    Args:
        temperature: of the electrons, keV; below 0.1 as at 0.1.
    """
    x = np.log10(np.maximum(temperature, 0.1))
    cold = np.polyval((15.353, 39.161, 30.769, 6.5221, -32.155), x)
    warm = np.polyval((4.9806, -7.6887, 1.5389, 0.5449, -32.530), x)
    hot = np.polyval((-0.08226, 0.1748, 0.61339, -1.6674, -31.853), x)
    piece = np.where(x < np.log10(0.6), cold, np.where(x < np.log10(3.0), warm, hot))
    return np.asarray(10.0**piece)


def synchrotron(density: Real, temperature: Real, field: Real) -> Array:
    """Synchrotron radiation in MW, Albajar, Johner and Granata, Nucl. Fusion 41, 665 (2001).

    Args:
        density: of the electrons in the centre, 1e20 per m3.
        temperature: of the electrons in the centre, keV.
        field: T.
    """
    n, T, B = np.asarray(density), np.asarray(temperature), np.asarray(field)
    depth = 6040.0 * MINOR_RADIUS * n / B
    alpha_n, alpha_T, beta = 0.1, 1.0, 2.0
    profile = (
        (alpha_n + 3.87 * alpha_T + 1.46) ** -0.79
        * (1.98 + alpha_T) ** 1.36
        * beta**2.14
        * (beta**1.53 + 1.87 * alpha_T - 0.16) ** -1.33
    )
    aspect = 0.93 * (1.0 + 0.85 * np.exp(-0.82 * MAJOR_RADIUS / MINOR_RADIUS))
    size = MAJOR_RADIUS * MINOR_RADIUS**1.38 * ELONGATION**0.79 * np.sqrt(1.0 - WALL_REFLECTION)
    thin = n**0.38 * B**2.62 * T * (16.0 + T) ** 2.61
    return np.asarray(
        3.84e-8 * size * profile * aspect * thin * (1.0 + 0.12 * T / depth**0.41) ** -1.51
    )


def safety_factor(plasma_current: Real, field: Real) -> Array:
    """Safety factor at 95 % of the flux; arguments as in `evaluate`."""
    epsilon = MINOR_RADIUS / MAJOR_RADIUS
    delta, kappa = TRIANGULARITY_95, ELONGATION_95
    shape = (1.0 + kappa**2 * (1.0 + 2.0 * delta**2 - 1.2 * delta**3)) / 2.0
    toroidal = (1.17 - 0.65 * epsilon) / (1.0 - epsilon**2) ** 2
    cylinder = 5.0 * MINOR_RADIUS**2 / MAJOR_RADIUS * np.asarray(field) / plasma_current
    return np.asarray(cylinder * shape * toroidal)


def confinement_time(
    power: Real, plasma_current: Real, field: Real, density: Real, tritium_fraction: Real
) -> Array:
    """Confinement time of the energy in H-mode in s, by IPB98(y,2).

    Args:
        power: lost by transport, MW.
        plasma_current: MA.
        field: T.
        density: mean of the electrons, 1e20 per m3.
        tritium_fraction: of the fuel ions.
    """
    tau = (
        0.0562
        * np.asarray(plasma_current) ** 0.93
        * np.asarray(field) ** 0.15
        * (10.0 * np.asarray(density)) ** 0.41
        * np.asarray(power) ** -0.69
        * MAJOR_RADIUS**1.97
        * (MINOR_RADIUS / MAJOR_RADIUS) ** 0.58
        * ELONGATION_95**0.78
        * (2.0 + np.asarray(tritium_fraction)) ** 0.19
    )
    return np.asarray(tau)


def h_mode_threshold(density: Real, field: Real, tritium_fraction: Real) -> Array:
    """Power through the edge in MW that H-mode needs.

    Martin et al., J. Phys.: Conf. Ser. 123, 012033 (2008), and inversely with the mass of the fuel.

    Args:
        density: mean of the electrons, 1e20 per m3.
        field: T.
        tritium_fraction: of the fuel ions.
    """
    deuterium = 0.0488 * np.asarray(density) ** 0.717 * np.asarray(field) ** 0.803 * SURFACE**0.941
    return np.asarray(deuterium * 2.5 / (2.0 + np.asarray(tritium_fraction)))


def discharge(
    *,
    plasma_current: Real,
    field: Real,
    greenwald_fraction: Real,
    heating_power: Real,
    tritium_fraction: Real,
    argon_fraction: Real,
    confinement: Real = 1.0,
) -> dict[str, Array]:
    """The state of the plasma at flat top.

    Args:
        plasma_current: MA.
        field: toroidal, on axis, T.
        greenwald_fraction: mean electron density per Greenwald's, I / (pi a^2).
        heating_power: from outside, MW, positive.
        tritium_fraction: of the fuel ions.
        argon_fraction: argon ions per electron, %.
        confinement: factor on the confinement time, positive; 1 is the scaling law.

    Returns:
        `fusion_power`, `radiated_power` and `separatrix_power` in MW; `stored_energy` in MJ;
        `helium`, ions per electron; `temperature`, mean of the electrons, in keV; all of them 0
        without a plasma. Further `regime`; `threshold`, power that H-mode needs, in MW; `q95`.
        Arrays.
    """
    given = (
        plasma_current,
        field,
        greenwald_fraction,
        heating_power,
        tritium_fraction,
        argon_fraction,
        confinement,
    )
    arrays = (np.atleast_1d(np.asarray(value, dtype=np.float64)) for value in given)
    current, B, fraction, heating, tritium, argon, factor = np.broadcast_arrays(*arrays)
    density = fraction * current / (np.pi * MINOR_RADIUS**2)
    q95 = safety_factor(current, B)
    threshold = h_mode_threshold(density, B, tritium)

    strength = factor * confinement_time(1.0, current, B, density, tritium)
    plasma = _Plasma(density, B, heating, tritium, argon / 100.0, strength)
    burns, state = _steady(plasma.rows(np.arange(len(density)), 1.0))
    high = burns & (state["separatrix_power"] >= threshold)
    weak = np.flatnonzero(~high)
    if len(weak) > 0:
        burns[weak], low = _steady(plasma.rows(weak, L_MODE))
        for name, value in low.items():
            state[name][weak] = value
    disrupted = (q95 < 2.0) | (fraction > 1.2)
    regime = np.select([disrupted, ~burns, ~high], [DISRUPTED, COLLAPSED, LOW], HIGH)
    del state["net"]  # 0 to within the bisections
    there = {name: np.where(regime > COLLAPSED, value, 0.0) for name, value in state.items()}
    return {**there, "regime": regime, "threshold": threshold, "q95": q95}


def normalized_beta(stored_energy: Real, plasma_current: Real, field: Real) -> Array:
    """Thermal pressure over that of the field, per I/(a B), in % m T/MA, from the energy in MJ."""
    pressure = 2.0 / 3.0 * np.asarray(stored_energy) * 1e6 / VOLUME
    beta = 2.0 * 4e-7 * np.pi * pressure / np.asarray(field) ** 2
    return np.asarray(100.0 * beta * MINOR_RADIUS * np.asarray(field) / plasma_current)


def evaluate(
    *,
    plasma_current: Real,
    field: Real,
    greenwald_fraction: Real,
    heating_power: Real,
    tritium_fraction: Real,
    argon_fraction: Real,
) -> dict[str, Real]:
    """Noiseless outcomes of a pulse.

    Args:
        plasma_current: MA.
        field: toroidal, on axis, T.
        greenwald_fraction: mean electron density per Greenwald's, I / (pi a^2).
        heating_power: from outside, MW, positive.
        tritium_fraction: of the fuel ions.
        argon_fraction: argon ions per electron, %.

    Returns:
        `fusion_power` in MW; `gain`, fusion per heating power; `q95`, the safety factor;
        `separatrix_power` in MW, what crosses the edge to the divertor; `beta_n` in % m T/MA;
        `regime`, one of `DISRUPTED` (q95 below 2 or density above 1.2), `COLLAPSED` (no power
        balance), `LOW`, `HIGH`; `objective`, the fusion power with a penalty for each broken
        constraint, to be maximized. In the first two regimes all is 0 but `q95` and `regime`.
        Floats for float arguments, else arrays of the same length.
    """
    state = discharge(
        plasma_current=plasma_current,
        field=field,
        greenwald_fraction=greenwald_fraction,
        heating_power=heating_power,
        tritium_fraction=tritium_fraction,
        argon_fraction=argon_fraction,
    )
    gain = state["fusion_power"] / heating_power
    beta = normalized_beta(state["stored_energy"], plasma_current, field)
    broken = (
        (3.0 - state["q95"]) / 3.0,
        np.asarray(greenwald_fraction) - 1.0,
        (10.0 - gain) / 10.0,
        state["separatrix_power"] / 100.0 - 1.0,
        beta / 2.8 - 1.0,
        state["fusion_power"] / 700.0 - 1.0,
    )
    penalty = sum((np.maximum(one, 0.0) for one in broken), np.zeros_like(gain))
    outcomes = {
        "fusion_power": state["fusion_power"],
        "gain": gain,
        "q95": state["q95"],
        "separatrix_power": state["separatrix_power"],
        "beta_n": beta,
        "regime": state["regime"],
        "objective": state["fusion_power"] * np.exp(-10.0 * penalty),
    }
    given = (plasma_current, field, greenwald_fraction, heating_power, tritium_fraction)
    if all(np.ndim(value) == 0 for value in (*given, argon_fraction)):
        return {name: float(value[0]) for name, value in outcomes.items()}
    return {name: np.asarray(value) for name, value in outcomes.items()}


@dataclass(frozen=True)
class _Plasma:
    """What is the same at every trial temperature.

    Attributes:
        density: mean of the electrons, 1e20 per m3.
        field: T.
        heating: from outside, MW.
        tritium: of the fuel ions.
        argon: ions per electron.
        strength: confinement time at 1 MW, s.
    """

    density: Array
    field: Array
    heating: Array
    tritium: Array
    argon: Array
    strength: Array

    def rows(self, wanted: npt.NDArray[np.intp], mode: float) -> "_Plasma":
        """Some of the points, as columns, with the confinement of a mode relative to H-mode."""
        return _Plasma(
            self.density[wanted, None],
            self.field[wanted, None],
            self.heating[wanted, None],
            self.tritium[wanted, None],
            self.argon[wanted, None],
            mode * self.strength[wanted, None],
        )


def _steady(plasma: _Plasma) -> tuple[npt.NDArray[np.bool_], dict[str, Array]]:
    """Whether there is a power balance, and the one that is reached first from cold."""
    net = _balance(plasma, SCAN[None, :])["net"]
    falls = (net[:, :-1] > 0.0) & (net[:, 1:] <= 0.0)
    first = np.argmax(falls, axis=1)
    low, high = SCAN[first][:, None], SCAN[first + 1][:, None]
    for _ in range(BISECTIONS // AT_ONCE):
        places = _halved(np.concatenate([low, high], axis=1))
        heats = _balance(plasma, places[:, 1:-1])["net"] > 0.0
        # Halving by halving to the half in which the plasma stops to heat up: where that begins.
        at: npt.NDArray[np.intp] = np.zeros((len(first), 1), dtype=np.intp)
        for width in (2**halving for halving in reversed(range(AT_ONCE))):
            at = np.where(np.take_along_axis(heats, at + width - 1, axis=1), at + width, at)
        low, high = (np.take_along_axis(places, at + side, axis=1) for side in (0, 1))
    state = _balance(plasma, (low + high) / 2.0)
    return np.any(falls, axis=1), {name: value[:, 0].copy() for name, value in state.items()}


def _halved(places: Array) -> Array:
    """The intervals between these places in a row, halved as often as is done at once."""
    for _ in range(AT_ONCE):
        finer = np.empty((len(places), 2 * places.shape[1] - 1))
        finer[:, ::2] = places
        finer[:, 1::2] = (places[:, :-1] + places[:, 1:]) / 2.0
        places = finer
    return places


def _balance(plasma: _Plasma, temperature: Array) -> dict[str, Array]:
    """Powers in MW at a mean electron temperature in keV; `net` is what heats the plasma up."""
    n = plasma.density
    local = temperature[..., None] * TEMPERATURE_SHAPE
    squared = WEIGHTS * DENSITY_SHAPE**2
    rate = (squared * reactivity(ION_TEMPERATURE * local)).sum(axis=-1) * 1e-6
    cooling = (squared * argon_cooling(local)).sum(axis=-1)
    root = (squared * np.sqrt(local)).sum(axis=-1)
    per_ion = (WEIGHTS * DENSITY_SHAPE * local).sum(axis=-1) * n

    helium = np.zeros(np.broadcast_shapes(n.shape, temperature.shape))
    for _ in range(ASH_ITERATIONS):
        energy, fusions = _content(plasma, helium, per_ion, rate)
        tau = energy / (energy / plasma.strength) ** (1.0 / 0.31)
        helium = 0.5 * (helium + np.minimum(HELIUM_DWELL * tau * fusions / n, 0.45))
    energy, fusions = _content(plasma, helium, per_ion, rate)

    fusion = fusions * 1e20 * FUSION_ENERGY * VOLUME * 1e-6
    charge = _fuel(plasma, helium) + 4.0 * helium + 16.0 * BERYLLIUM
    braking = 5.35e-37 * charge * (n * 1e20) ** 2 * root * VOLUME * 1e-6
    gyration = synchrotron(1.1 * n, 2.0 * temperature, plasma.field)
    argon = plasma.argon * (n * 1e20) ** 2 * cooling * VOLUME * 1e-6
    heating = ALPHA_SHARE * fusion + OHMIC_POWER + plasma.heating
    lost = (energy / plasma.strength) ** (1.0 / 0.31)
    return {
        "net": heating - braking - gyration - argon / 3.0 - lost,
        "fusion_power": fusion,
        "radiated_power": braking + gyration + argon,
        "separatrix_power": heating - braking - gyration - argon,
        "stored_energy": energy,
        "helium": helium,
        "temperature": np.broadcast_to(temperature, helium.shape),
    }


def _fuel(plasma: _Plasma, helium: Array) -> Array:
    """Fuel ions per electron; the impurities take electrons with 2, 18 and 4 charges."""
    return np.maximum(1.0 - 2.0 * helium - 18.0 * plasma.argon - 4.0 * BERYLLIUM, 0.0)


def _content(plasma: _Plasma, helium: Array, per_ion: Array, rate: Array) -> tuple[Array, Array]:
    """Stored energy in MJ, and fusions in 1e20 per m3 and s."""
    fuel = _fuel(plasma, helium)
    ions = fuel + helium + plasma.argon + BERYLLIUM
    energy = 1.5 * 1.602176634e-2 * VOLUME * per_ion * (1.0 + ION_TEMPERATURE * ions)
    pairs = plasma.tritium * (1.0 - plasma.tritium) * (fuel * plasma.density) ** 2
    return energy, pairs * rate * 1e20
