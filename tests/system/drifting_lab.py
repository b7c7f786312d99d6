"""A lab whose detector jumps with its seventh reading, until its trim is set."""

from pathlib import Path

from tests.system.lab import with_code_of, write

CODE = '''
"""A bench that drifts, a reducer, and plans that realign it, or do not."""

from pathlib import Path

from bluesky import plan_stubs as bps

from simulators.soft.bench import Axis, Bench, Detector

JUMP = 3.0
HERE = Path(__file__).parent
READINGS = HERE / "readings"


class DriftingBench(Bench):
    def __init__(self, *, name, timeout_s=10.0):
        super().__init__(name=name, timeout_s=timeout_s)
        self.det = Detector(self, "det", 0.0, self._drifting)
        self.trim = Trim(self, "trim", 0.0, (-5.0, 5.0))

    def _drifting(self):
        readings = READINGS.read_text() if READINGS.exists() else ""
        READINGS.write_text(readings + ".")
        return self.x.value + JUMP * (len(readings) >= 6)


class Trim(Axis):
    def post(self, value):
        super().post(value)
        READINGS.unlink(missing_ok=True)


def signal(runs):
    return {"signal": (float(runs[0]["primary"]["bench_det"].iloc[0]), 0.1)}


def realign(trim, to=0.0, md=None):
    yield from bps.open_run(md=md)
    yield from bps.mv(trim, to)
    yield from bps.close_run()


def idle(trim, md=None):
    yield from bps.open_run(md=md)
    yield from bps.close_run()


def slow_at_first(trim, md=None):
    yield from bps.open_run(md=md)
    if not (HERE / "begun").exists():
        (HERE / "begun").touch()
        yield from bps.sleep(3600)
    yield from bps.mv(trim, 0.0)
    yield from bps.close_run()
'''
INSTRUMENT = """
name: drifting
mode: twin
devices:
  bench: {class: lab_bench.DriftingBench, limits: [-5, 15], tolerance: 1.0e-9, timeout_s: 10}
gate: flock
"""
CAMPAIGN = """
name: drifting
instrument: instrument.yaml
plan: {name: steady_state_sample, args: {detector: bench.det}}
reduce: {call: lab_bench.signal}
parameters:
  x: {device: bench.x, range: [-5, 10]}
  y: {device: bench.y, range: [0, 15]}
objectives: {signal: {goal: maximize}}
sentinel:
  at: {x: 1, y: 2}
  every: 3
  then: THEN
budget: {trials: 14}
optimizer: {method: sobol, lookahead: 0}
"""


def realigned_by(plan: str) -> str:
    """What the campaign file says about drift."""
    return f"{{realign: {{name: lab_bench.{plan}, args: {{trim: bench.trim}}}}}}"


def build(folder: Path, then: str) -> tuple[str, dict[str, str]]:
    """The campaign's file, and what programs need to find the lab."""
    write(folder, "lab_bench.py", CODE)
    write(folder, "instrument.yaml", INSTRUMENT)
    file = write(folder, "campaign.yaml", CAMPAIGN.replace("THEN", then))
    return file, with_code_of(folder)
