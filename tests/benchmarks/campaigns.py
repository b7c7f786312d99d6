"""Whole campaigns for benchmarks: run by the program as a user runs it, and read afterwards."""

import json
import statistics
import subprocess
from pathlib import Path
from typing import Any

from orchestrator.domain import events as ev
from tests.benchmarks.hartmann_bench import AXES
from tests.system.lab import LABWRIGHT, environment

ROOT = Path(__file__).parents[2]

HARTMANN = """
name: hartmann6
instrument: {instrument}
plan: {{name: steady_state_sample, args: {{detector: bench.det}}}}
reduce: {{call: tests.benchmarks.hartmann_bench.reduce_hartmann}}
parameters:
{parameters}
objectives: {{hartmann6: {{goal: minimize}}}}
budget: {{trials: 60}}
optimizer: {{method: ax, lookahead: {lookahead}}}
"""
BENCH = """
name: hartmann
mode: twin
devices:
  bench:
    class: tests.benchmarks.hartmann_bench.HartmannBench
    kwargs: {{read_s: {read_s}}}
    limits: [0, 1]
    tolerance: 1.0e-9
gate: flock
"""
SLOW = {"LABWRIGHT_LEASE_S": "30", "LABWRIGHT_BEAT_S": "5"}
"""The timings that a lab has by default."""


def hartmann(folder: Path, lookahead: object, read_s: float = 2.0) -> Path:
    """The campaign file of Hartmann6 with measurements of ``read_s`` seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    instrument, campaign = folder / "instrument.yaml", folder / "campaign.yaml"
    instrument.write_text(BENCH.format(read_s=read_s))
    parameters = "\n".join(f"  {axis}: {{device: bench.{axis}, range: [0, 1]}}" for axis in AXES)
    text = HARTMANN.format(instrument=instrument, parameters=parameters, lookahead=lookahead)
    campaign.write_text(text)
    return campaign


def flow(folder: Path, lookahead: object) -> Path:
    """The campaign file of the flow reactor's twin."""
    folder.mkdir(parents=True, exist_ok=True)
    shipped = (ROOT / "simulators" / "flow_chemistry" / "campaign.yaml").read_text()
    campaign = folder / "campaign.yaml"
    campaign.write_text(shipped.replace("lookahead: auto", f"lookahead: {lookahead}"))
    return campaign


def start(campaign: Path, trials: int, seed: int, **more: str) -> "subprocess.Popen[bytes]":
    """Start a campaign whose data folder, and what it says, lie beside its file."""
    options = ["--trials", str(trials), "--seed", str(seed), "--id", "c", "--json"]
    folder = campaign.parent
    with (folder / "said").open("wb") as said:  # files never fill up, as a pipe does
        return subprocess.Popen(
            [LABWRIGHT, "run", str(campaign), *options, "--data-dir", str(folder / "data")],
            stdout=said,
            stderr=subprocess.STDOUT,
            env=environment(**SLOW, PYTHONPATH=str(ROOT), **more),
        )


def summary_of(campaign: Path, running: "subprocess.Popen[bytes]") -> dict[str, Any]:
    """What the campaign came to, once it has ended.

    Raises:
        RuntimeError: it failed.
    """
    if code := running.wait():
        said = (campaign.parent / "said").read_text()
        raise RuntimeError(f"exit code {code}: {said}")
    file = campaign.parent / "data" / "campaigns" / "c" / "summary.json"
    return json.loads(file.read_text())


def log_of(summary: dict[str, Any]) -> list[ev.Event]:
    """The campaign's events, from its results folder."""
    lines = (Path(summary["results"]) / "events.jsonl").read_text().splitlines()
    return [_event(json.loads(line)) for line in lines]


def _event(stored: dict[str, Any]) -> ev.Event:
    data = json.dumps(stored["data"])
    fields = {"type": stored["type"], "v": str(ev.SCHEMA_VERSION), "at": str(stored["at"])}
    return ev.from_fields(stored["id"], {**fields, "data": data})


def median_or_0(values: list[float]) -> float:
    """The median; 0 of nothing."""
    return statistics.median(values) if values else 0.0
