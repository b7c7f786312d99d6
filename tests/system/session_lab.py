"""What a lab has for the tests of its own session: files, a plan, and a script that plays it."""

from pathlib import Path

from tests.system.lab import write

ID = "night"
INSTRUMENT = """
name: own-bench
mode: twin
devices:
  bench: {class: simulators.soft.bench.Bench, limits: [-5, 15], tolerance: 1.0e-9, timeout_s: 10}
"""
CAMPAIGN = """
name: branin
instrument: instrument.yaml
plan: {name: own_plans.look, args: {detector: bench.det}}
reduce: {call: simulators.soft.reduce.reduce_branin}
parameters:
  x: {device: bench.x, range: [-5, 10]}
  y: {device: bench.y, range: [0, 15]}
objectives: {branin: {goal: minimize}}
valid: ["branin <= 1000"]
budget: {trials: TRIALS}
optimizer: {method: sobol, seed: 7}
"""
PLANS = '''
from pathlib import Path

import bluesky.plan_stubs as bps

from plans.steady_state_sample import steady_state_sample

HERE = Path(__file__).parent


def look(settings, detector, md=None):
    """Measures; in trial 2, while there is a file "hold", only after that is gone."""
    yield from bps.mv(next(iter(settings)), next(iter(settings.values())))
    (HERE / f"moved-{md['trial_id']}").touch()
    while md["trial_id"] == 2 and (HERE / "hold").exists():
        yield from bps.sleep(0.02)
    yield from steady_state_sample(settings, detector, md=md)
'''
SESSION = """
from bluesky import RunEngine

from orchestrator.session import Campaign
from simulators.soft.bench import Bench

RE = RunEngine({"proposal": "2026-3"})
bench = Bench(name="bench")
campaign = Campaign("campaign.yaml", id="night", namespace=globals(), data_dir="data")
RE(campaign.plan(n=3))
print(len(campaign.results()), flush=True)
"""


def write_lab(folder: Path, trials: int = 4) -> str:
    """Write the files; gives that of the campaign."""
    write(folder, "instrument.yaml", INSTRUMENT)
    write(folder, "own_plans.py", PLANS)
    write(folder, "session.py", SESSION)
    return write(folder, "campaign.yaml", CAMPAIGN.replace("TRIALS", str(trials)))
