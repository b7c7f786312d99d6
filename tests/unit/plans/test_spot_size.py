"""The size of a spot from the moments of its frames, against the truth that made them."""

from dataclasses import astuple
from typing import Any

import numpy as np
import pytest

from plans.spot_size import Profile, Spot, estimate_spot_size, reduce_spot_size, spot_in
from simulators.kb_mirrors.image import COUNTS_PER_S, PIXEL, SIZE, frame
from simulators.kb_mirrors.model import OPTIMUM, evaluate
from simulators.noise import TriggerNoise

BEST = OPTIMUM["parameters"]
ASTRAY = {**BEST, "pitch_v": 9.0, "bend_hu": -0.4, "bend_vd": 0.45}


def frames(parameters: dict[str, float], seconds: float, number: int, seed: int = 1) -> list[Any]:
    noise = TriggerNoise(seed)
    true = evaluate(**parameters)
    return [frame(true, seconds, noise.image([0.0], SIZE)) for _ in range(number)]


class Run:
    def __init__(self, images: list[list[Any]]) -> None:
        self.start = {"image": "eye_image", "exposure": 0.2, "pixel": PIXEL}
        self.start |= {"full_beam": COUNTS_PER_S, "detectors": ["eye"]}
        self.images = images

    def __getitem__(self, stream: str) -> dict[str, list[list[Any]]]:
        assert stream == "primary"
        return {"eye_image": self.images}


@pytest.mark.parametrize("parameters", [BEST, ASTRAY])
def test_the_truth_is_found_within_the_errors(parameters: dict[str, float]) -> None:
    true = evaluate(**parameters)
    found = reduce_spot_size([Run([frames(parameters, 0.2, 2), frames(parameters, 0.2, 2, 2)])])
    for name in ("fwhm_v", "fwhm_h", "flux", "centroid_v", "centroid_h"):
        mean, sem = found[name]
        assert sem is not None
        assert abs(mean - true[name]) < 4.0 * sem, name
    assert found["fwhm_v"][1] < 0.01 * true["fwhm_v"]
    density = true["flux"] * 1e4 / (true["fwhm_v"] * true["fwhm_h"])
    mean, sem = found["log_density"]
    assert mean == pytest.approx(np.log10(density), abs=4.0 * (sem or 0.0))


def test_the_errors_are_those_of_repetitions() -> None:
    spots = [spot_in(frames(BEST, 0.1, 2, seed)) for seed in range(12)]
    for axis in ("v", "h"):
        for name in ("fwhm", "centre"):
            values = [getattr(getattr(spot, axis), name) for spot in spots]
            sem = getattr(getattr(spots[0], axis), f"{name}_sem")
            assert 0.4 < np.std(values, ddof=1) / sem < 1.7, (axis, name)


def test_frames_that_show_no_beam_are_no_measurement() -> None:
    dark = frame(evaluate(**BEST), 0.0, TriggerNoise(1).image([0.0], SIZE))
    with pytest.raises(ValueError, match="no beam"):
        spot_in([dark])
    with pytest.raises(ValueError, match="no frames"):
        spot_in([])
    with pytest.raises(ValueError, match="saturated"):
        spot_in(frames(BEST, 5.0, 1))
    point = np.zeros(SIZE)
    point[100, 100] = 1000.0
    with pytest.raises(ValueError, match="smaller than a pixel"):
        spot_in([point])


def test_rows_are_vertical() -> None:
    rows, columns = np.indices((64, 96))
    image = 1000.0 * np.exp(-((rows - 20) ** 2) / (2 * 3.0**2) - (columns - 60) ** 2 / (2 * 5.0**2))
    spot = spot_in([image])
    assert isinstance(spot, Spot)
    assert isinstance(spot.v, Profile)
    assert (spot.v.centre, spot.h.centre) == pytest.approx((20 - 31.5, 60 - 47.5), abs=0.01)
    assert (spot.v.fwhm, spot.h.fwhm) == pytest.approx((2.3548 * 3, 2.3548 * 5), rel=0.01)
    assert all(np.isfinite(astuple(spot.v)))


def test_estimate() -> None:
    assert estimate_spot_size({}, exposure=0.5, frames=4, triggers=3, detector="eye") == (6.0, 3)
