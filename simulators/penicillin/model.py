"""Fed-batch penicillin: how to feed sugar, and when to harvest.

The fungus first grows, then makes penicillin, and too much sugar stops the product. Kinetics of
Bajpai and Reuss, J. Chem. Technol. Biotechnol. 30, 332 (1980), with the numbers of the first case
of Banga et al., J. Biotechnol. 117, 407 (2005). Noiseless. Units: hours, grams, litres.
"""

from typing import Any

import numpy as np

from simulators.arrays import Array, Real, plain
from simulators.penicillin.rosenbrock import step

GROWTH = 0.11
"""Largest specific growth rate, 1/h."""

CONTOIS = 0.006
"""Substrate per biomass at half of the largest growth rate, g/g."""

PRODUCTION = 0.0055
"""Scale of the specific production rate, 1/h."""

SATURATION = 0.0001
"""Substrate at which production and maintenance are half saturated, g/L."""

INHIBITION = 10.0
"""Production falls with 1 + 10 S, S in g/L; L/g."""

MAINTENANCE = 0.029
"""Largest substrate use without growth, per biomass, 1/h."""

DECAY = 0.01
"""Of the product, 1/h."""

YIELD_BIOMASS, YIELD_PRODUCT = 0.47, 1.2
"""Gram per gram of substrate."""

FEED_CONCENTRATION = 500.0
"""Substrate in the feed, g/L."""

INOCULUM = 1.5
"""Biomass at the start, g/L."""

START_VOLUME, FULL_VOLUME = 7.0, 10.0
"""L. The feed ends when the vessel is full."""

BIOMASS_LIMIT, SUBSTRATE_LIMIT = 40.0, 25.0
"""Largest concentrations allowed at any time, g/L."""

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-5, 1e-7
"""Of each step, the second in g (and L). The mass of product is good to 3e-4 g."""

INSIDE = np.linspace(0.0, 1.0, 9)[1:, np.newaxis]
"""Places in a step where the concentrations are looked at, the last at its end."""

CUBIC = (
    (1 + 2 * INSIDE) * (1 - INSIDE) ** 2,
    INSIDE**2 * (3 - 2 * INSIDE),
    INSIDE * (1 - INSIDE) ** 2,
    INSIDE**2 * (1 - INSIDE),
)
"""Weights there of the states at the begin and the end of a step, and of its size times the slopes
there, the last one negative."""

BOUNDS: dict[str, tuple[float, float]] = {
    "feed_1": (5.0, 50.0),
    "switch_1": (5.0, 60.0),
    "feed_2": (0.0, 50.0),
    "switch_2": (0.0, 60.0),
    "feed_3": (0.0, 20.0),
    "duration": (60.0, 150.0),
}

OPTIMUM: dict[str, Any] = {
    "parameters": {
        "feed_1": 5.0,
        "switch_1": 19.17289681,
        "feed_2": 35.16703953,
        "switch_2": 12.91253217,
        "feed_3": 9.155228523,
        "duration": 135.857009,
    },
    "outcomes": {
        "mass": 87.83722125,
        "max_biomass": 30.15743609,
        "max_substrate": 16.39762315,
    },
    "objective": 87.83722125,
    "goal": "maximize",
    "found_by": "differential evolution over the box, then an evolution strategy and BFGS with "
    "feed_1 on its bound and the vessel full shortly before the harvest",
}
"""A flat ridge: with feed_2 at 42 g/h, and the others tuned to that, 0.001 % are lost."""


def evaluate(
    *,
    feed_1: Real,
    switch_1: Real,
    feed_2: Real,
    switch_2: Real,
    feed_3: Real,
    duration: Real,
) -> dict[str, Real]:
    """Noiseless outcomes of one batch.

    Args:
        feed_1: substrate fed per hour at first, g/h.
        switch_1: hours for which this lasts.
        feed_2: then, g/h.
        switch_2: hours for which the second level lasts.
        feed_3: from then to the harvest, g/h.
        duration: hours to the harvest; what would follow is cut.

    Returns:
        `mass`, product at the harvest in g; `max_biomass` and `max_substrate`, the largest
        concentrations on the way in g/L; `objective`, to be maximized: `mass` times
        1 - 5 (max_biomass - 40)/40 - 5 (max_substrate - 25)/25, where only positive differences
        and a positive product count. Floats for float arguments, else arrays of the same length.
    """
    batch = ferment(feed_1, switch_1, feed_2, switch_2, feed_3, duration)
    biomass, substrate = np.asarray(batch["max_biomass"]), np.asarray(batch["max_substrate"])
    over = np.maximum(biomass / BIOMASS_LIMIT - 1.0, 0.0)
    over = over + np.maximum(substrate / SUBSTRATE_LIMIT - 1.0, 0.0)
    outcomes = {name: batch[name] for name in ("mass", "max_biomass", "max_substrate")}
    penalized = np.asarray(batch["mass"]) * np.maximum(1.0 - 5.0 * over, 0.0)
    return {**outcomes, "objective": plain(penalized)}


def ferment(
    feed_1: Real,
    switch_1: Real,
    feed_2: Real,
    switch_2: Real,
    feed_3: Real,
    duration: Real,
    *,
    growth: float = GROWTH,
    inoculum: float = INOCULUM,
) -> dict[str, Real]:
    """One batch with a strain and an inoculum of its own.

    Args:
        feed_1: as of `evaluate`, likewise all up to `duration`.
        switch_1: h.
        feed_2: g/h.
        switch_2: h.
        feed_3: g/h.
        duration: h.
        growth: largest specific growth rate, 1/h.
        inoculum: biomass at the start, g/L.

    Returns:
        `mass`, g; `max_biomass`, `max_substrate`, g/L; at the harvest `biomass`, `titre` (the
        product) and `substrate`, g/L, and `volume`, L.

    Raises:
        ValueError: a feed or a time is negative or not finite.
    """
    given = (feed_1, switch_1, feed_2, switch_2, feed_3, duration)
    values = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in given))
    for name, value in zip(BOUNDS, values, strict=True):
        if not np.all(np.isfinite(value) & (value >= 0.0)):
            raise ValueError(f"{name} must be a number and not negative: {value}")
    shape = values[0].shape
    ends, feeds = _segments(*(np.atleast_1d(value) for value in values))
    state, largest = _integrate(ends, feeds, growth, inoculum)
    biomass, product, substrate, volume = state
    outcomes = {
        "mass": product,
        "max_biomass": largest[0],
        "max_substrate": largest[1],
        "biomass": biomass / volume,
        "titre": product / volume,
        "substrate": substrate / volume,
        "volume": volume,
    }
    return {name: plain(value.reshape(shape)) for name, value in outcomes.items()}


def _segments(
    feed_1: Array, switch_1: Array, feed_2: Array, switch_2: Array, feed_3: Array, duration: Array
) -> tuple[Array, Array]:
    """Ends (h) and feeds (g/h) of six segments, each level before and after the vessel is full."""
    first = np.minimum(switch_1, duration)
    second = np.minimum(switch_1 + switch_2, duration)
    room = np.full_like(duration, (FULL_VOLUME - START_VOLUME) * FEED_CONCENTRATION)
    ends: list[Array] = []
    feeds: list[Array] = []
    start = np.zeros_like(duration)
    for feed, end in ((feed_1, first), (feed_2, second), (feed_3, duration)):
        wanted = feed * (end - start)
        part = np.divide(room, wanted, out=np.ones_like(room), where=wanted > room)
        full = np.where(wanted > room, start + part * (end - start), end)
        room = np.maximum(room - wanted, 0.0)
        ends += [full, end]
        feeds += [feed, np.zeros_like(feed)]
        start = end
    return np.array(ends), np.array(feeds)


def _integrate(ends: Array, feeds: Array, growth: float, inoculum: float) -> tuple[Array, Array]:
    """State at the last end, and the largest concentrations of biomass and substrate.

    The state is biomass, product and substrate in g, and the volume in L. Each point has its own
    time and step, and no step goes over the end of a segment.
    """
    count = ends.shape[1]
    volume = np.full(count, START_VOLUME)
    state = np.array([inoculum * volume, np.zeros(count), np.zeros(count), volume])
    largest = state[[0, 2]] / volume
    time, size = np.zeros(count), np.full(count, 1e-3)
    going = np.flatnonzero(ends[-1] > 0)
    while len(going):
        now, begin = time[going], state[:, going]
        segment = np.sum(ends[:, going] <= now, axis=0)  # jumps over segments without length
        end, feed = ends[segment, going], feeds[segment, going]
        last = now + size[going] >= end
        taken = np.where(last, end - now, size[going])

        def slope(at: Array, feed: Array = feed) -> Array:
            if len(feed) == 1:  # the same with numbers, which is faster than with arrays of one
                return _slope(at[:, 0], feed[0], growth)[:, np.newaxis]
            return _slope(at, feed, growth)

        after, error = step(slope, _jacobian(begin, growth), begin, taken)
        scale = ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * np.maximum(abs(begin), abs(after))
        off = np.sqrt(((error / scale) ** 2).mean(axis=0))
        good = off <= 1.0
        peaks = _largest((begin, after), (slope(begin), slope(after)), taken)
        state[:, going] = np.where(good, after, begin)
        largest[:, going] = np.where(good, np.maximum(largest[:, going], peaks), largest[:, going])
        time[going] = np.where(good, np.where(last, end, now + taken), now)
        size[going] = taken * np.clip(0.9 * np.maximum(off, 1e-8) ** -0.25, 0.2, 5.0)
        going = going[time[going] < ends[-1, going]]
    return state, largest


def _largest(states: tuple[Array, Array], slopes: tuple[Array, Array], size: Array) -> Array:
    """Largest concentrations of biomass and substrate in a step, by a cubic through its ends."""
    (begin, after), (slope_begin, slope_after) = states, slopes
    volume = begin[3] + INSIDE * (after[3] - begin[3])
    from_begin, from_after, by_begin, by_after = CUBIC
    largest: list[Array] = []
    for row in (0, 2):
        mass = (
            from_begin * begin[row]
            + from_after * after[row]
            + by_begin * size * slope_begin[row]
            - by_after * size * slope_after[row]
        )
        largest.append((mass / volume).max(axis=0))
    return np.array(largest)


def _slope(state: Array, feed: Array, growth: float) -> Array:
    """Rates of change of biomass, product, substrate (g/h) and volume (L/h)."""
    x, p, s, v = state
    s = np.maximum(s, 0.0)
    S = s / v
    mu = growth * s / (CONTOIS * x + s)
    rho = PRODUCTION * S / (SATURATION + S * (1.0 + INHIBITION * S))
    maintenance = MAINTENANCE * S / (SATURATION + S)
    used = (mu / YIELD_BIOMASS + rho / YIELD_PRODUCT + maintenance) * x
    return np.array([mu * x, rho * x - DECAY * p, feed - used, feed / FEED_CONCENTRATION])


def _jacobian(state: Array, growth: float) -> Array:
    """Derivatives of `_slope`, (points, of what, by what)."""
    x, _, s, v = state
    s = np.maximum(s, 0.0)
    S = s / v
    contois = CONTOIS * x + s
    mu, mu_x, mu_s = (
        growth * s / contois,
        -growth * s * CONTOIS / contois**2,
        growth * CONTOIS * x / contois**2,
    )
    inhibited = SATURATION + S * (1.0 + INHIBITION * S)
    rho = PRODUCTION * S / inhibited
    rho_S = PRODUCTION * (SATURATION - INHIBITION * S**2) / inhibited**2
    maintenance = MAINTENANCE * S / (SATURATION + S)
    maintenance_S = MAINTENANCE * SATURATION / (SATURATION + S) ** 2
    used = mu / YIELD_BIOMASS + rho / YIELD_PRODUCT + maintenance
    used_S = rho_S / YIELD_PRODUCT + maintenance_S
    matrix = np.zeros((len(x), 4, 4))
    matrix[:, 0, 0] = mu + x * mu_x
    matrix[:, 0, 2] = x * mu_s
    matrix[:, 1, 0] = rho
    matrix[:, 1, 1] = -DECAY
    matrix[:, 1, 2] = x * rho_S / v
    matrix[:, 1, 3] = -x * rho_S * S / v
    matrix[:, 2, 0] = -used - x * mu_x / YIELD_BIOMASS
    matrix[:, 2, 2] = -x * (mu_s / YIELD_BIOMASS + used_S / v)
    matrix[:, 2, 3] = x * used_S * S / v
    return matrix
