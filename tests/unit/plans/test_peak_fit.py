"""Fits of peaks that are known, and of points that show none."""

import math

import numpy as np
import pytest

from plans.peak_fit import fit_peak

LINE = np.linspace(-10.0, 10.0, 21)


def gaussian(x, centre, fwhm):
    return np.exp(-4 * math.log(2) * ((x - centre) / fwhm) ** 2)


def lorentzian(x, centre, fwhm):
    return 1 / (1 + 4 * ((x - centre) / fwhm) ** 2)


SHAPES = {"gaussian": gaussian, "lorentzian": lorentzian}


def points(shape="gaussian", centre=1.3, fwhm=4.0, height=50.0, noise=0.0, seed=0, at=LINE):
    random = np.random.default_rng(seed)
    signal = height * SHAPES[shape](at, centre, fwhm) + 10 + 0.3 * at
    return list(zip(at, signal + noise * random.standard_normal(len(at)), strict=True))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e5])
def test_exact_without_noise_in_any_unit_and_order(shape, scale):
    given = [(scale * x, y / scale) for x, y in points(shape)]
    for each in (given, given[::-1]):
        peak = fit_peak(each, shape)
        assert peak.centre == pytest.approx(1.3 * scale)
        assert peak.fwhm == pytest.approx(4.0 * scale)
        assert peak.height == pytest.approx(50.0 / scale)


@pytest.mark.parametrize("shape", SHAPES)
def test_standard_errors_are_honest(shape):
    """The true value lies within one of them two times out of three, whatever the noise."""
    parts = []
    for seed in range(200):
        peak = fit_peak(points(shape, noise=0.5, seed=seed), shape)
        parts.append(
            [
                (peak.centre - 1.3) / peak.centre_sem,
                (peak.fwhm - 4.0) / peak.fwhm_sem,
                (peak.height - 50.0) / peak.height_sem,
            ]
        )
    assert np.std(parts, axis=0) == pytest.approx(1.0, abs=0.2)
    assert np.mean(parts, axis=0) == pytest.approx(0.0, abs=0.3)


def test_found_wherever_it_is_and_however_wide():
    for centre in (-6.0, -2.0, 0.5, 7.0):
        for fwhm in (1.6, 3.0, 5.0):
            peak = fit_peak(points(centre=centre, fwhm=fwhm, noise=0.5, seed=3))
            assert peak.centre == pytest.approx(centre, abs=5 * peak.centre_sem)
            assert peak.fwhm == pytest.approx(fwhm, abs=5 * peak.fwhm_sem)


@pytest.mark.parametrize("centre", [-12.0, -10.0, -9.0, 9.5, 14.0])
def test_a_peak_at_the_edge_is_none(centre):
    for seed in range(10):
        with pytest.raises(ValueError, match="no whole peak|no peak|no gaussian peak"):
            fit_peak(points(centre=centre, noise=0.5, seed=seed))


def test_noise_alone_is_no_peak():
    random = np.random.default_rng(5)
    for _ in range(100):
        flat = list(zip(LINE, 10 + random.standard_normal(21), strict=True))
        with pytest.raises(ValueError, match="peak"):
            fit_peak(flat)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (points()[:6], "6 points are too few for a peak; 7 are needed"),
        ([(float(n), 2.0) for n in range(9)], "no peak: the signal does not change from 0 to 8"),
        ([(3.0, float(n)) for n in range(9)], "no peak: the signal does not change from 3 to 3"),
        ([(float(n), math.nan) for n in range(9)], "not a finite number"),
        (points(height=-50.0), "peak"),
        (points(fwhm=0.4, centre=1.1), "narrower than the steps|no gaussian peak"),
    ],
)
def test_what_is_no_peak_is_said_in_words(given, words):
    with pytest.raises(ValueError, match=words):
        fit_peak(given)
