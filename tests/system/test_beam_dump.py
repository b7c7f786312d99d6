"""A beam dump in the midst of a trial costs time, and neither the trial nor its data."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import simulators.kb_mirrors
from tests.system.lab import answer, events, results, write

pytestmark = pytest.mark.system

COMPRESSION = "600"
"""Lab seconds in one second: the ring is dark for half of one, and full after another half."""


@pytest.fixture
def campaign(tmp_path: Path) -> str:
    """The shipped campaign without a model; its first trial moves, and reads for 600 lab seconds.

    A dump after half of that is in the midst of it on any machine, however slow.
    """
    folder = Path(simulators.kb_mirrors.__file__).parent
    content = yaml.safe_load((folder / "campaign.yaml").read_text())
    content["plan"]["args"]["readings"] = 30
    for name, parameter in content["parameters"].items():
        low, high = parameter["range"]  # the first trial is in the middle, and axes begin at 0
        parameter["range"] = [low, 0] if name.endswith("v") else [0, high]
    content["optimizer"] = {"method": "sobol"}
    del content["stop"]
    return write(tmp_path, "campaign.yaml", yaml.safe_dump(content))


@pytest.mark.slow
def test_a_beam_dump_suspends_and_the_trial_is_measured_again(campaign: str) -> None:
    """The same campaign with and without: what is measured is the same to the last digit."""
    folder = Path(campaign).parent
    calm, calm_events, calm_rows = run(campaign, folder / "calm")
    dump = {"fault": "trip", "pv": "SR:DUMP", "to": 1, "at_s": 300, "for_s": 1}
    file = write(folder, "faults.yaml", yaml.safe_dump({"faults": [dump]}))
    dark, dark_events, dark_rows = run(campaign, folder / "dark", "--faults", file)

    assert course(calm_events) == [("started", 1), ("started", 2)]
    assert course(dark_events) == [
        ("started", 1),
        ("failed", 1),
        ("suspended", None),
        ("resumed", None),
        ("started", 1),
        ("started", 2),
    ]
    failed, suspended = the(dark_events, "failed"), the(dark_events, "suspended")
    assert failed["data"]["reason"] == "interrupted"
    assert failed["data"]["message"] == "SR:CURRENT is 0 mA, below 150"
    assert failed["data"]["crash"], "it counts against no attempt of the trial"
    assert suspended["data"]["by"] == "condition"

    assert [row["attempts"] for row in calm_rows] == ["1", "1"]
    assert [row["attempts"] for row in dark_rows] == ["2", "1"]
    assert [measured(row) for row in dark_rows] == [measured(row) for row in calm_rows]
    assert float(dark_rows[0]["pitch_v"]) == -5
    assert dark["trials"] == calm["trials"]
    assert dark["trials"]["measured"] == sum(dark["trials"].values()) == 2

    assert calm["suspended_s"] == calm["held_s"] == 0
    lasted = the(dark_events, "resumed")["at"] - suspended["at"]
    assert dark["suspended_s"] == dark["held_s"] == pytest.approx(lasted)


def run(campaign: str, data: Path, *more: str) -> tuple[Any, list[dict[str, Any]], Any]:
    """What the run said, its events and its table."""
    where = ("--data-dir", str(data))
    said = answer(
        "run",
        campaign,
        *("--trials", "2", "--seed", "1"),
        *where,
        *more,
        LABWRIGHT_TIME_COMPRESSION=COMPRESSION,
    )
    return said, events(data, said["campaign_id"]), results(data, said["campaign_id"])


def course(log: list[dict[str, Any]]) -> list[tuple[str, int | None]]:
    """What began, failed, was suspended and went on, in order, each with its trial."""
    kinds = ("started", "failed", "suspended", "resumed", "invalidated", "abandoned")
    return [(one["type"], one["data"].get("trial_id")) for one in log if one["type"] in kinds]


def the(log: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The one event of this kind."""
    (found,) = (one for one in log if one["type"] == kind)
    return found


def measured(row: dict[str, str]) -> dict[str, str]:
    """Parameters and outcomes, every digit of them."""
    kept = ("pitch_", "bend_", "fwhm_", "flux", "centroid_", "focus", "log_focus", "state")
    return {name: text for name, text in row.items() if name.startswith(kept)}
