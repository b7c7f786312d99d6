"""The soft instrument under a RunEngine, with the plan and reducer that its campaign names."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from bluesky import RunEngine

import simulators.soft
from devices.loader import dotted, load, resolve
from simulators.soft.model import BOUNDS, evaluate

steady = pytest.importorskip("plans.steady_state_sample")
FOLDER = Path(simulators.soft.__file__).parent


class Run(dict[str, Any]):
    start: dict[str, Any]


def test_the_shipped_files_measure_branin():
    campaign = yaml.safe_load((FOLDER / "campaign.yaml").read_text())
    instrument = yaml.safe_load((FOLDER / "instrument.yaml").read_text())
    assert {n: tuple(p["range"]) for n, p in campaign["parameters"].items()} == BOUNDS
    devices = load(instrument["devices"], connect_timeout_s=1)
    wanted = {"x": 2.5, "y": 7.5}
    settings = {
        resolve(devices, parameter["device"]): wanted[name]
        for name, parameter in campaign["parameters"].items()
    }
    detector = resolve(devices, campaign["plan"]["args"]["detector"])
    documents: list[tuple[str, Any]] = []
    engine = RunEngine({}, context_managers=[], during_task=None)
    engine(steady.steady_state_sample(settings, detector), lambda *pair: documents.append(pair))
    rows = [document["data"] for name, document in documents if name == "event"]
    outcome = dotted(campaign["reduce"]["call"])([Run(primary=pd.DataFrame(rows))])
    assert outcome == {"branin": (evaluate(**wanted)["branin"], 0.0)}
