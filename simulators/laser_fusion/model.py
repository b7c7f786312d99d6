"""Laser powder-bed fusion of Ti-6Al-4V: melt pool, porosity and build rate.

Pool width and length after Rosenthal as used by Tang, Pistorius and Beuth, Addit. Manuf. 14, 39
(2017); keyhole number and depth after Gan et al., Nat. Commun. 12, 2379 (2021). Absorptivity and
porosity are fits to published measurements. Noiseless. SI inside, units of the machine outside.
"""

from typing import Any

import numpy as np

from simulators.arrays import Array, Real, plain

DENSITY = 3920.0
"""kg/m3; this and the four constants below are those of Ti-6Al-4V in Gan et al."""

HEAT_CAPACITY = 830.0
"""J/kg/K."""

CONDUCTIVITY = 33.4
"""W/m/K."""

DIFFUSIVITY = 1.02656e-5
"""m2/s."""

LIQUIDUS = 1650.0
"""degC."""

SPOT_RADIUS = 50e-6
"""Radius of the laser spot, m."""

ABSORPTIVITY = (0.26, 0.70, 0.0746)
"""Lowest, limiting, and growth with the keyhole number at full absorption."""

POROSITY_FLOOR = 0.00311
"""Porosity of a well melted part; this and the three below fit 19 published porosities."""

POROSITY_PER_GAP = 0.058
"""Porosity per unmelted fraction of the layer."""

POROSITY_PER_KEYHOLE = 0.0055
"""Porosity per keyhole number above `UNSTABLE_KEYHOLE`."""

UNSTABLE_KEYHOLE = 6.11
"""Keyhole number above which pores are trapped."""

MAX_POROSITY = 0.5
"""%, what the objective allows."""

MAX_BALLING_RATIO = float(np.pi)
"""Length to width at which a liquid cylinder breaks up (Plateau and Rayleigh)."""

MIDPOINTS = 200
"""Points over half a hatch at which the unmelted part of the layer is averaged."""

BOUNDS: dict[str, tuple[float, float]] = {
    "power": (100.0, 370.0),
    "speed": (0.3, 2.0),
    "hatch": (60.0, 140.0),
    "layer": (20.0, 60.0),
}

OPTIMUM: dict[str, Any] = {
    "parameters": {
        "power": 311.778840768,
        "speed": 1.462696808,
        "hatch": 120.926710603,
        "layer": 60.0,
    },
    "outcomes": {
        "build_rate": 38.20588856,
        "porosity": 0.5,
        "balling_ratio": 3.141592654,
        "melt_width": 129.7786843,
        "melt_depth": 94.2,
    },
    "objective": 38.20588856,
    "goal": "maximize",
    "found_by": "differential evolution over the box, then the corner solved as three equations",
}
"""A corner: highest layer, keyhole just stable, porosity and balling ratio at what is allowed."""


def absorptivity(full: Real) -> Real:
    """Absorbed fraction of the laser power.

    Grows as the keyhole deepens; form after Ye et al., Adv. Eng. Mater. 21, 1900185 (2019).

    Args:
        full: keyhole number that the beam would have if all of it were absorbed.
    """
    lowest, limiting, growth = ABSORPTIVITY
    return np.maximum(lowest, limiting * -np.expm1(-growth * np.asarray(full)))


def keyhole_number(
    absorbed: Real,
    speed: Real,
    *,
    radius: Real = SPOT_RADIUS,
    density: Real = DENSITY,
    heat_capacity: Real = HEAT_CAPACITY,
    diffusivity: Real = DIFFUSIVITY,
    rise: Real = LIQUIDUS - 20.0,
) -> Array:
    """Keyhole number of Gan et al., dimensionless.

    Args:
        absorbed: power in the metal, W.
        speed: m/s.
        radius: of the laser spot, m.
        density: kg/m3.
        heat_capacity: J/kg/K.
        diffusivity: m2/s.
        rise: from the temperature of the plate to the liquidus, K.
    """
    heat = np.pi * np.asarray(density) * heat_capacity * rise
    return absorbed / (heat * np.sqrt(np.asarray(diffusivity) * speed * np.asarray(radius) ** 3))


def build(
    *, power: Real, speed: Real, hatch: Real, layer: Real, plate_temperature: Real = 20.0
) -> dict[str, Real]:
    """What the machine makes of these settings.

    Args:
        power: of the laser, W.
        speed: of the scan, m/s, positive.
        hatch: distance of the tracks, um, positive.
        layer: thickness of a layer, um, positive.
        plate_temperature: degC, below the liquidus.

    Returns:
        `build_rate`, cm3/h; `porosity`, %; `balling_ratio`, length to width of the melt pool;
        `melt_width` and `melt_depth`, um; `keyhole_number`; `absorbed_power`, W. Floats for float
        arguments, else arrays; arguments broadcast against each other.
    """
    watts, velocity, tracks, thickness, celsius = np.broadcast_arrays(
        *(
            np.asarray(value, dtype=np.float64)
            for value in (power, speed, hatch, layer, plate_temperature)
        )
    )
    rise = LIQUIDUS - celsius
    full = keyhole_number(watts, velocity, rise=rise)
    absorbed = watts * absorptivity(full)
    keyhole = keyhole_number(absorbed, velocity, rise=rise)
    width = 1e6 * np.sqrt(
        8.0 * absorbed / (np.pi * np.e * DENSITY * HEAT_CAPACITY * velocity * rise)
    )
    length = 1e6 * absorbed / (2.0 * np.pi * CONDUCTIVITY * rise)
    depth = np.maximum(width / 2.0, 1e6 * SPOT_RADIUS * keyhole_aspect(keyhole))
    pores = (
        POROSITY_FLOOR
        + POROSITY_PER_GAP * unmelted_fraction(tracks, thickness, width, depth)
        + POROSITY_PER_KEYHOLE * np.maximum(keyhole - UNSTABLE_KEYHOLE, 0.0)
    )
    made = {
        "build_rate": velocity * tracks * thickness * 3.6e-3,
        "porosity": 100.0 * pores,
        "balling_ratio": length / width,
        "melt_width": width,
        "melt_depth": depth,
        "keyhole_number": keyhole,
        "absorbed_power": absorbed,
    }
    return {name: plain(value) for name, value in made.items()}


def keyhole_aspect(keyhole: Array) -> Array:
    """Depth of the keyhole over the radius of the spot, by the law of Gan et al."""
    return 0.4 * np.maximum(keyhole - 1.4, 0.0)


def unmelted_fraction(hatch: Array, layer: Array, width: Array, depth: Array) -> Array:
    """Part of the layer that no melt pool reaches, 0 to 1.

    The pools are half ellipses, one in each track. Lengths in one common unit.
    """
    offset = (np.arange(MIDPOINTS) + 0.5) / (2.0 * MIDPOINTS)
    across = 2.0 * hatch[..., None] * offset / width[..., None]
    reach = depth[..., None] * np.sqrt(np.maximum(1.0 - across**2, 0.0))
    missing = np.maximum(layer[..., None] - reach, 0.0)
    return np.asarray(missing.mean(axis=-1) / layer)


def evaluate(*, power: Real, speed: Real, hatch: Real, layer: Real) -> dict[str, Real]:
    """Noiseless outcomes on a plate of 20 degC.

    Args:
        power: of the laser, W.
        speed: of the scan, m/s, positive.
        hatch: distance of the tracks, um, positive.
        layer: thickness of a layer, um, positive.

    Returns:
        `build_rate`, cm3/h; `porosity`, %; `balling_ratio`, length to width of the melt pool;
        `melt_width` and `melt_depth`, um; `objective`, the build rate in cm3/h, less where the
        porosity is above 0.5 % or the balling ratio above pi, to be maximized. Floats for float
        arguments, else arrays of the same length.
    """
    made = build(power=power, speed=speed, hatch=hatch, layer=layer)
    porous = np.maximum(np.asarray(made["porosity"]) / MAX_POROSITY - 1.0, 0.0)
    balling = np.maximum(np.asarray(made["balling_ratio"]) / MAX_BALLING_RATIO - 1.0, 0.0)
    names = ("build_rate", "porosity", "balling_ratio", "melt_width", "melt_depth")
    return {
        **{name: made[name] for name in names},
        "objective": plain(made["build_rate"] * np.exp(-3.0 * porous - 5.0 * balling)),
    }
