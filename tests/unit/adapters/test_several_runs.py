"""A trial of several runs: dark, reference, sample."""

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp

from orchestrator.adapters.lab_code.plan_catalog import plan_problems
from orchestrator.adapters.reduction.reducer import DocumentReducer
from tests.unit.adapters.executor_lab import Lab

HERE = "tests.unit.adapters.test_several_runs"
SEEN: list[list[str]] = []


def corrected(settings, detector, axis, md=None):
    """Three runs: with the axis away, half in, and at the setting."""
    for kind, part in (("dark", 0.0), ("reference", 0.5), ("sample", 1.0)):

        @bpp.run_decorator(md={"kind": kind, "detectors": [detector.name], **(md or {})})
        def one(part=part):
            for movable, value in settings.items():
                yield from bps.mv(movable, value * part)
            yield from bps.trigger_and_read([detector, axis])

        yield from one()


def reduce_corrected(runs):
    SEEN.append([run.start["kind"] for run in runs])
    dark, reference, sample = (float(run["primary"]["bench_x"].iloc[0]) for run in runs)
    return {"ratio": (sample - dark) / (reference - dark)}


def test_runs_reach_the_reducer_in_the_order_in_which_they_started(tmp_path):
    lab = Lab(tmp_path, {})
    args = {"detector": "bench.det", "axis": "bench.x"}
    request = lab.request(
        f"{HERE}.corrected", args, {"bench.x": 4.0}, objectives={"ratio": {"goal": "maximize"}}
    )
    assert plan_problems(request.campaign) == []
    evidence = lab.executor.run(request, lambda: None)
    SEEN.clear()
    reduction = DocumentReducer(tmp_path).reduce(request.campaign, evidence.documents)
    assert SEEN == [["dark", "reference", "sample"]]
    assert reduction.outcomes["ratio"].mean == 2.0
    starts = [document for name, document in lab.documents() if name == "start"]
    assert [start["trial_id"] for start in starts] == [7, 7, 7], "each run carries the trial's id"
    assert len({start["uid"] for start in starts}) == 3
