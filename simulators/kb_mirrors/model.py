"""A Kirkpatrick-Baez pair of bendable elliptical mirrors: exact meridional ray trace, diffraction.

Each mirror is a plane problem: the pole is the origin, x runs along the mirror downstream, the
height h away from it. The two mirrors act on the two transverse directions independently.
Noiseless. Lengths in m and angles in rad inside; units of the outcomes as `evaluate` says.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from simulators.arrays import Array, Real, plain

WAVELENGTH = 0.82656e-10
"""m, at 15 keV."""

FWHM_PER_SIGMA = 2.3548
"""Of a normal distribution, 2 sqrt(2 ln 2) to five digits."""

SLIT_DIFFRACTION = 0.88
"""Full width at half maximum of the diffraction of a slit D: 0.88 wavelength / D."""

NODES = 48
"""Gauss-Legendre nodes along a mirror; 24 are too few."""

AT, WEIGHTS = np.polynomial.legendre.leggauss(NODES)
"""Positions from -1 to 1, and their weights."""

NEWTON_STEPS = 4
"""From a flat mirror to where the edge of a slit falls on the real one; three are exact."""

CENTROID_LIMIT = 2.0
"""um from the rotation centre, on both axes."""

PENALTY_LENGTH = 5.0
"""um of excess over `CENTROID_LIMIT` that cost a factor e in `focus`."""

_Points = NDArray[np.complexfloating[Any, Any]]

BOUNDS: dict[str, tuple[float, float]] = {
    "pitch_v": (-10.0, 10.0),
    "pitch_h": (-10.0, 10.0),
    "bend_vu": (-0.5, 0.5),
    "bend_vd": (-0.5, 0.5),
    "bend_hu": (-0.5, 0.5),
    "bend_hd": (-0.5, 0.5),
}

OPTIMUM: dict[str, Any] = {
    "parameters": {
        "pitch_v": 1.8328584540,
        "pitch_h": 4.7248141688,
        "bend_vu": 0.0846481303,
        "bend_vd": 0.1786966070,
        "bend_hu": 0.1729993673,
        "bend_hd": 0.3092461300,
    },
    "outcomes": {
        "fwhm_v": 155.3571191,
        "fwhm_h": 218.6354417,
        "flux": 0.4104392211,
        "centroid_v": 2.000000000,
        "centroid_h": 2.000000000,
        "focus": 0.1208362200,
        "log_focus": -0.9178028687,
    },
    "objective": 0.1208362200,
    "goal": "maximize",
    "found_by": "each mirror by itself: SLSQP on log(flux/fwhm) with the centroid as constraint, "
    "twelve starts that agree to 1e-12; then Nelder-Mead on the penalized focus",
    "scale": "log10",
    "near": 1.0,
}
"""Of instance 0. Both centroids lie on their limit."""


@dataclass(frozen=True)
class Spot:
    """The beam of one mirror in the plane of the focus.

    Attributes:
        fwhm: full width at half maximum, m.
        centroid: mean position across the beam, m; positive away from the mirror.
        flux: part of the full beam that the mirror takes, 1 for all of it.
    """

    fwhm: Array
    centroid: Array
    flux: Array


@dataclass(frozen=True)
class _Part:
    """Nodes on a part of a mirror, on the last axis.

    Attributes:
        x: positions along the mirror.
        weights: of the quadrature along x.
        shape: height and slope there, each at rest and per unit of both benders.
    """

    x: Array
    weights: Array
    shape: tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]


@dataclass(frozen=True)
class Mirror:
    """One bendable mirror, bent to the ellipse that images the source on the focus.

    Attributes:
        p: m from the source to the pole.
        q: m from the pole to the focus.
        length: m.
        source: rms size of the source, m; 0 for a point.
        divergence: rms angle of the beam, rad.
        figure_seed: of the figure error.
        figure_rms: rms slope of the figure error, rad; 0 for a perfect surface.
        grazing: angle between the chief ray and the mirror at the pole, rad.
    """

    p: float
    q: float
    length: float
    source: float
    divergence: float
    figure_seed: int
    figure_rms: float = 50e-9
    grazing: float = 3e-3

    def image(
        self,
        pitch: Real,
        bend_up: Real,
        bend_down: Real,
        defocus: float = 0.0,
        slit: Real = math.inf,
    ) -> Spot:
        """The beam near the focus.

        Args:
            pitch: rotation about the pole in rad, positive is anticlockwise.
            bend_up: relative error of curvature that the upstream bender adds at its end.
            bend_down: the same downstream; both fall linearly to zero at the other end.
            defocus: m downstream of the focus.
            slit: m between the blades right before the mirror, half of it on either side of the
                chief ray, positive. One wider than the mirror looks changes nothing.
        """
        pose = [np.asarray(one, dtype=np.float64)[..., None] for one in (pitch, bend_up, bend_down)]
        reach = np.asarray(slit, dtype=np.float64)[..., None] / (2.0 * self.p)
        part = self._whole
        point, tangent, angle, angle_per_x = self._rays(part, pose)
        if np.any(np.abs(angle) > reach):
            part = self._part(self._lit(pose, reach))
            point, tangent, angle, angle_per_x = self._rays(part, pose)

        entry, leaving = np.exp(-1j * self.grazing), np.exp(1j * self.grazing)
        reflected = np.conj(point + self.p * entry) * tangent**2
        start = (point - self.q * leaving) / leaving  # real part downstream, imaginary part across
        way = reflected / leaving
        position = start.imag + (defocus - start.real) * way.imag / way.real

        weights = np.exp(-0.5 * (angle / self.divergence) ** 2) * angle_per_x * part.weights
        weights = weights / (math.sqrt(2.0 * math.pi) * self.divergence)
        flux = weights.sum(axis=-1)
        centroid = (weights * position).sum(axis=-1) / flux
        variance = (weights * (position - centroid[..., None]) ** 2).sum(axis=-1) / flux
        aperture = self.p * np.abs(angle[..., -1] - angle[..., 0])
        fwhm = np.sqrt(
            FWHM_PER_SIGMA**2 * (variance + (self.source * self.q / self.p) ** 2)
            + (SLIT_DIFFRACTION * WAVELENGTH * self.q / aperture) ** 2
        )
        return Spot(fwhm, centroid, flux)

    def _rays(self, part: _Part, pose: Sequence[Array]) -> tuple[_Points, _Points, Array, Array]:
        """The rays that meet a part.

        Returns:
            Points of the surface and tangents there, as x + i h; angles of the rays from the chief
            ray, which arrives along `entry`; and how fast these change along x.
        """
        pitch, up, down = pose
        turn, entry = np.exp(1j * pitch), np.exp(-1j * self.grazing)
        height, slope = (rest + up * by_up + down * by_down for rest, by_up, by_down in part.shape)
        point, tangent = (part.x + 1j * height) * turn, (1.0 + 1j * slope) * turn
        ray = point + self.p * entry
        angle_per_x = (np.conj(ray) * tangent).imag / np.abs(ray) ** 2
        return point, tangent, np.angle(ray / entry), angle_per_x

    def _lit(self, pose: Sequence[Array], reach: Array) -> Array:
        """First and last position that rays within this angle from the chief ray meet."""
        angles = np.array([-1.0, 1.0]) * reach
        half = self.length / 2.0
        x = np.clip(angles * self.p / math.sin(self.grazing), -half, half)
        for _ in range(NEWTON_STEPS):
            edges = _Part(x, np.zeros(2), self._shape(x))
            _, _, angle, angle_per_x = self._rays(edges, pose)
            x = np.clip(x - (angle - angles) / angle_per_x, -half, half)
        return x

    def ellipse(self, x: Array) -> tuple[Array, Array]:
        """Height and slope of the ideal surface: |source to point| + |point to focus| = p + q.

        Freed of its roots, this is a h^2 + b(x) h + c x^2 = 0. The small solution is taken in the
        form without cancellation, and the slope by implicit differentiation.
        """
        cos, sin = math.cos(self.grazing), math.sin(self.grazing)
        lean = (self.p - self.q) / (self.p + self.q)
        a, c = 1.0 - (sin * lean) ** 2, sin**2
        b_slope = 2.0 * cos * sin * lean
        b = b_slope * x - 4.0 * sin * self.p * self.q / (self.p + self.q)
        root = np.sqrt(b**2 - 4.0 * a * c * x**2)
        height = -2.0 * c * x**2 / (b + np.sign(b) * root)
        slope = -(b_slope * height + 2.0 * c * x) / (2.0 * a * height + b)
        return height, slope

    @cached_property
    def _whole(self) -> _Part:
        """The mirror from end to end."""
        return self._part(np.array([-self.length / 2.0, self.length / 2.0]))

    def _part(self, ends: Array) -> _Part:
        """The quadrature between two positions, which weigh nothing themselves."""
        first, last = ends[..., :1], ends[..., 1:]
        half = (last - first) / 2.0
        x = np.concatenate([first, (first + last) / 2.0 + half * AT, last], axis=-1)
        weights = np.concatenate([0.0 * half, half * WEIGHTS, 0.0 * half], axis=-1)
        return _Part(x, weights, self._shape(x))

    def _shape(self, x: Array) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:
        """Height and slope at some positions, each: at rest, and per unit of both benders.

        A bender adds curvature h0''(x) (1/2 -+ x/L); slope and height stay zero at the pole. The
        integrals of x h0'' are taken by parts, so that only that of h0 needs a quadrature.
        """
        height, slope = self.ellipse(x)
        fine = x[..., None] * (AT + 1.0) / 2.0
        area = (self.ellipse(fine)[0] * WEIGHTS).sum(axis=-1) * x / 2.0
        moment_slope = (x * slope - height) / self.length
        moment_height = (x * height - 2.0 * area) / self.length
        error_height, error_slope = self.figure(x)
        heights = (height + error_height, height / 2 - moment_height, height / 2 + moment_height)
        slopes = (slope + error_slope, slope / 2 - moment_slope, slope / 2 + moment_slope)
        return heights, slopes

    def figure(self, x: Array) -> tuple[Array, Array]:
        """Height and slope of the figure error: cosines with 1/k amplitudes, parabola removed."""
        if self.figure_rms == 0.0:
            return np.zeros_like(x), np.zeros_like(x)
        slope, height = self._figure
        return height(x) - height(0.0), slope(x)

    @cached_property
    def _figure(self) -> tuple[CubicSpline, Any]:
        """Slope of the figure error along the mirror, and its integral."""
        random = np.random.default_rng(self.figure_seed)
        along = np.linspace(-self.length / 2, self.length / 2, 401)
        slope = np.zeros_like(along)
        for k in range(3, 16):
            amplitude = random.standard_normal() / k
            phase = random.uniform(0.0, 2.0 * math.pi)
            slope += amplitude * np.cos(k * math.pi * along / self.length + phase)
        unit = 2.0 * along / self.length
        slope -= np.polynomial.polynomial.polyval(
            unit, np.polynomial.polynomial.polyfit(unit, slope, 2)
        )
        slope *= self.figure_rms / math.sqrt(float(np.mean(slope**2)))
        spline = CubicSpline(along, slope)
        return spline, spline.antiderivative()


VERTICAL = Mirror(p=60.0, q=0.5, length=0.3, source=3.64e-6, divergence=4.3e-6, figure_seed=7)
HORIZONTAL = Mirror(p=60.32, q=0.18, length=0.14, source=30.2e-6, divergence=6.0e-6, figure_seed=11)


def offsets(instance: int) -> dict[str, float]:
    """Where the zeros of the axes of an instance really are, by parameter, in its unit.

    The physical setting is the user's plus this. Uniform in the middle 40 % of each range.
    """
    draw = np.random.default_rng(1000 + instance).uniform(-0.4, 0.4, len(BOUNDS))
    return {
        name: (high - low) / 2.0 * float(part)
        for (name, (low, high)), part in zip(BOUNDS.items(), draw, strict=True)
    }


def evaluate(
    *,
    pitch_v: Real,
    pitch_h: Real,
    bend_vu: Real,
    bend_vd: Real,
    bend_hu: Real,
    bend_hd: Real,
    instance: int = 0,
    sample_z: float = 0.0,
    slit_v: Real = math.inf,
    slit_h: Real = math.inf,
) -> dict[str, Real]:
    """Noiseless outcomes for settings as the user reads them off the axes.

    Args:
        pitch_v: of the vertical mirror, urad from the axis' own zero.
        pitch_h: the same, horizontal.
        bend_vu: curvature error of the vertical mirror at its upstream end, %.
        bend_vd: the same, downstream.
        bend_hu: curvature error of the horizontal mirror at its upstream end, %.
        bend_hd: the same, downstream.
        instance: which hidden zero offsets apply, not negative; see `offsets`.
        sample_z: mm downstream of the nominal focus at which the beam is looked at.
        slit_v: um between the blades before the vertical mirror, positive; inf for no slit.
        slit_h: the same, horizontal.

    Returns:
        `fwhm_v` and `fwhm_h`, size of the focus in nm; `flux`, part of the full beam that passes
        both mirrors, 1 for all of it; `centroid_v` and `centroid_h`, position in um from the
        rotation centre; `focus`, the flux per (100 nm)^2 as `focus_of` penalizes it; `log_focus`,
        its decimal logarithm; `objective`, equal to `focus`, to be maximized. Floats for float
        arguments, else arrays of the same length.
    """
    zero = offsets(instance)
    vertical = VERTICAL.image(
        (np.asarray(pitch_v) + zero["pitch_v"]) * 1e-6,
        (np.asarray(bend_vu) + zero["bend_vu"]) * 1e-2,
        (np.asarray(bend_vd) + zero["bend_vd"]) * 1e-2,
        sample_z * 1e-3,
        np.asarray(slit_v) * 1e-6,
    )
    horizontal = HORIZONTAL.image(
        (np.asarray(pitch_h) + zero["pitch_h"]) * 1e-6,
        (np.asarray(bend_hu) + zero["bend_hu"]) * 1e-2,
        (np.asarray(bend_hd) + zero["bend_hd"]) * 1e-2,
        sample_z * 1e-3,
        np.asarray(slit_h) * 1e-6,
    )
    fwhm_v, fwhm_h = vertical.fwhm * 1e9, horizontal.fwhm * 1e9
    centroid_v, centroid_h = vertical.centroid * 1e6, horizontal.centroid * 1e6
    flux = vertical.flux * horizontal.flux
    focus = focus_of(flux, fwhm_v, fwhm_h, centroid_v, centroid_h)
    found: dict[str, Real] = {
        "fwhm_v": fwhm_v,
        "fwhm_h": fwhm_h,
        "flux": flux,
        "centroid_v": centroid_v,
        "centroid_h": centroid_h,
        "focus": focus,
        "log_focus": np.log10(focus),
        "objective": focus,
    }
    return {name: plain(value) for name, value in found.items()}


def focus_of(flux: Real, fwhm_v: Real, fwhm_h: Real, centroid_v: Real, centroid_h: Real) -> Array:
    """How good a focus is: flux per (100 nm)^2, less where the beam is off the rotation centre.

    Args:
        flux: part of the full beam.
        fwhm_v: nm.
        fwhm_h: nm.
        centroid_v: um.
        centroid_h: um.
    """
    excess = sum(np.maximum(0.0, np.abs(at) - CENTROID_LIMIT) for at in (centroid_v, centroid_h))
    density = np.asarray(flux) * 1e4 / (np.asarray(fwhm_v) * fwhm_h)
    return density * np.exp(-excess / PENALTY_LENGTH)
