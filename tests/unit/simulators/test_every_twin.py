"""What holds for each twin, so that a campaign, a rehearsal and a score need not know which."""

import math
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from orchestrator.domain.spec import CampaignSpec

PACKAGES = {point.name: point.value for point in entry_points(group="labwright.twins")}


@pytest.fixture(params=sorted(PACKAGES))
def package(request: pytest.FixtureRequest) -> str:
    """The package of a twin."""
    return PACKAGES[request.param]


def model(package: str) -> Any:
    return import_module(f"{package}.model")


def inside(bounds: dict[str, tuple[float, float]], count: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    return {name: random.uniform(*edges, count) for name, edges in bounds.items()}


def test_there_are_eight_and_the_soft_one() -> None:
    assert len(PACKAGES) == 9
    assert "soft" in PACKAGES


def test_many_points_at_once_are_what_each_is_alone(package: str) -> None:
    twin, points = model(package), inside(model(package).BOUNDS, 5)
    together = twin.evaluate(**points)
    assert list(together) == [*twin.OPTIMUM["outcomes"], "objective"]
    for index in range(5):
        alone = twin.evaluate(**{name: float(column[index]) for name, column in points.items()})
        assert alone.keys() == together.keys()
        for name, value in alone.items():
            assert type(value) is float, name
            assert value == pytest.approx(together[name][index], rel=1e-9, abs=1e-12), name
            assert together[name].shape == (5,)


def test_the_objective_is_finite_everywhere(package: str) -> None:
    twin = model(package)
    assert np.isfinite(twin.evaluate(**inside(twin.BOUNDS, 64))["objective"]).all()


def test_the_optimum_is_inside_and_evaluates_to_what_it_says(package: str) -> None:
    twin = model(package)
    best = twin.OPTIMUM
    assert best["parameters"].keys() == twin.BOUNDS.keys()
    for name, value in best["parameters"].items():
        low, high = twin.BOUNDS[name]
        assert low <= value <= high, name
    found = twin.evaluate(**best["parameters"])
    assert found["objective"] == pytest.approx(best["objective"], rel=1e-7)
    for name, value in best["outcomes"].items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name


@pytest.mark.parametrize("size", [None, 1e-2, 1e-3, 1e-5])
def test_no_other_point_is_better(package: str, size: float | None) -> None:
    """Among random ones of the box, and among steps from the optimum, relative to the box."""
    twin = model(package)
    best, random = twin.OPTIMUM, np.random.default_rng(7)
    points = inside(twin.BOUNDS, 512)
    if size is not None:
        points = {
            name: np.clip(
                best["parameters"][name] + size * (high - low) * random.normal(size=128), low, high
            )
            for name, (low, high) in twin.BOUNDS.items()
        }
    sign = 1.0 if best["goal"] == "maximize" else -1.0
    found = sign * twin.evaluate(**points)["objective"]
    assert found.max() <= sign * best["objective"] + 1e-6 * abs(best["objective"])


def test_the_shipped_campaign_asks_for_what_the_model_gives(package: str) -> None:
    twin = model(package)
    folder = Path(import_module(package).__path__[0])
    spec = CampaignSpec.from_data(yaml.safe_load((folder / "campaign.yaml").read_text()))
    assert {name: one.range for name, one in spec.parameters.items()} == twin.BOUNDS
    given = twin.evaluate(**{n: math.fsum(e) / 2 for n, e in twin.BOUNDS.items()}).keys()
    assert set(spec.outcome_names) <= given - {"objective"}
