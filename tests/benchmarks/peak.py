"""A peak scan of 21 points on the beamline twin: a guarded trial beside the bare RunEngine.

Run as a program, this file is the client: it prints one JSON object.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tests.channel_access import environment

ROOT = Path(__file__).parents[2]
POINTS = 21
START, STOP = -8.0, 10.0
"""Of the pitch of the vertical mirror, urad; the focus is best near 1.83."""
FAST = 6000.0
"""Time compression at which an exposure takes 3 ms, so that what is between them shows."""


def measure(seeds: int = 5) -> dict[str, Any]:
    """Seconds of both, one after the other, at the twin's own pace and with fast exposures."""
    own, fast = _rows(None, seeds), _rows(FAST, seeds)
    rows = [*own, *fast]
    figures = {
        "ratio": _ratio(own),
        "ratio_fast": _ratio(fast),
        "scan_s": statistics.median(row["ours_s"] for row in own),
        "bare_s": statistics.median(row["bare_s"] for row in own),
        "scan_fast_s": statistics.median(row["ours_s"] for row in fast),
        "bare_fast_s": statistics.median(row["bare_s"] for row in fast),
    }
    return {"seeds": seeds, "rows": rows, "figures": figures, "bars": {"ratio": ["<=", 1.3]}}


def _ratio(rows: list[dict[str, float]]) -> float:
    """Median of the ratios: both halves of one had the same machine load."""
    return statistics.median(row["ours_s"] / row["bare_s"] for row in rows)


def _rows(time_compression: float | None, seeds: int) -> list[dict[str, float]]:
    serve = [sys.executable, "-m", "simulators.serve", "kb-mirrors", "--seed", "0"]
    if time_compression is not None:
        serve += ["--time-compression", str(time_compression)]
    with subprocess.Popen(serve, cwd=ROOT, text=True, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            about = json.loads(server.stdout.readline())
            client = [sys.executable, __file__, str(about["time_compression"]), str(seeds)]
            said = subprocess.run(
                client,
                env=environment(about["port"]),
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout
        finally:
            server.kill()
    return json.loads(said.splitlines()[-1])


# ------------------------------------------------------------------------- client


def _scans(time_compression: float, seeds: int) -> list[dict[str, float]]:
    from bluesky import RunEngine
    from bluesky.plans import scan

    from orchestrator.adapters.execution.bluesky_executor import BlueskyExecutor
    from orchestrator.adapters.reduction.reducer import DocumentReducer
    from orchestrator.domain.envelope import envelope_of
    from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
    from orchestrator.ports import PlanRequest
    from simulators.kb_mirrors.model import OPTIMUM

    def spec(model: Any, text: str) -> Any:
        return model.model_validate_json(json.dumps(yaml.safe_load(text)))

    file = ROOT / "simulators/kb_mirrors/instrument.yaml"
    instrument = spec(InstrumentSpec, file.read_text())
    campaign = spec(CampaignSpec, CAMPAIGN)
    settings = {name: at for name, at in OPTIMUM["parameters"].items() if name != "pitch_v"}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        executor = BlueskyExecutor(
            instrument, envelope_of(instrument), data_dir, time_scale=time_compression
        )
        executor.load()
        executor.connect()
        devices = executor._connected().devices.all
        engine = RunEngine({})
        for number in range(seeds + 1):
            documents = f"runs/{number}.jsonl"
            request = PlanRequest(campaign, settings, {}, {"trial_id": number}, documents, 120)
            devices["pitch_v"].set(START).wait(60)
            began = time.perf_counter()
            evidence = executor.run(request, lambda: None)
            reduction = DocumentReducer(data_dir).reduce(campaign, evidence.documents)
            ours = time.perf_counter() - began
            devices["pitch_v"].set(START).wait(60)
            began = time.perf_counter()
            engine(scan([devices["spot"]], devices["pitch_v"], START, STOP, POINTS))
            bare = time.perf_counter() - began
            centre = reduction.outcomes["centre"].mean
            row = {"time_compression": time_compression, "ours_s": ours, "bare_s": bare}
            rows.append(row | {"centre": centre})
    return rows[1:]  # the first of each moves the other axes, and imports what it needs


CAMPAIGN = f"""
name: peak
instrument: kb-mirrors
plan:
  name: plans.scan_peak.scan_peak
  args: {{axis: pitch_v, detector: spot, signal: focus, shape: lorentzian,
         start: {START}, stop: {STOP}, points: {POINTS}}}
parameters:
  pitch_h: {{device: pitch_h, range: [-10, 10], unit: urad}}
objectives: {{height: {{goal: maximize}}}}
budget: {{trials: 1}}
"""

if __name__ == "__main__":
    sys.stdout.write(json.dumps(_scans(float(sys.argv[1]), int(sys.argv[2]))) + "\n")
    sys.stdout.flush()
    os._exit(0)  # threads of Channel Access need not be waited for
