import json
import math

import numpy as np
import pandas as pd
import pytest
from ophyd.utils import StatusTimeoutError

from simulators.soft.bench import Bench, SimulatedFault
from simulators.soft.model import BOUNDS, OPTIMUM, evaluate
from simulators.soft.reduce import reduce_branin


def test_the_three_minima():
    for x, y in [(-math.pi, 12.275), (math.pi, 2.275), (3 * math.pi, 2.475)]:
        assert evaluate(x=x, y=y)["branin"] == pytest.approx(OPTIMUM["objective"], rel=1e-9)
    assert evaluate(**OPTIMUM["parameters"])["objective"] == pytest.approx(0.3978873577)
    grid = {name: np.random.default_rng(0).uniform(*edge, 5000) for name, edge in BOUNDS.items()}
    assert evaluate(**grid)["objective"].min() > OPTIMUM["objective"]


def test_detector_sees_the_axes():
    bench = Bench(name="bench")
    assert bench.x.set(2.5).done
    bench.y.set(7.5)
    assert bench.det.trigger().success
    assert bench.det.read()["bench_det"]["value"] == evaluate(x=2.5, y=7.5)["branin"]
    assert bench.x.position == 2.5


def test_two_benches_know_nothing_of_each_other():
    one, other = Bench(name="one"), Bench(name="other")
    one.x.set(5.0)
    assert other.x.position == 0.0


@pytest.mark.parametrize("value", [-5.1, 10.1, math.nan])
def test_axis_refuses_what_is_outside(value):
    with pytest.raises(ValueError, match="outside"):
        Bench(name="bench").x.set(value)


def test_hang_ends_at_the_timeout():
    bench = Bench(name="bench", timeout_s=0.05, faults={"x": "hang", "det": "hang"})
    for status in (bench.x.set(1.0), bench.det.trigger()):
        with pytest.raises(StatusTimeoutError):
            status.wait(5)
    assert bench.x.position == 0.0


def test_fail_and_nan():
    bench = Bench(name="bench", faults={"y": "fail", "det": "nan"})
    with pytest.raises(SimulatedFault):
        bench.y.set(3.0).wait(5)
    assert bench.y.position == 0.0
    bench.det.trigger()
    assert math.isnan(bench.det.read()["bench_det"]["value"])


def test_fault_file_trips_and_clears(tmp_path):
    file = tmp_path / "faults.json"
    bench = Bench(name="bench", fault_file=str(file))
    assert bench.det.trigger().success
    file.write_text(json.dumps({"det": "fail"}))
    with pytest.raises(SimulatedFault):
        bench.det.trigger().wait(5)
    file.unlink()
    assert bench.det.trigger().success


def test_unknown_fault_is_refused():
    with pytest.raises(ValueError, match="no fault"):
        Bench(name="bench", faults={"z": "hang"})


def test_moves_and_triggers_can_take_time():
    bench = Bench(name="bench", move_s=0.05, read_s=0.05)
    move = bench.x.set(1.0)
    assert not move.done
    move.wait(5)
    bench.det.trigger().wait(5)


def test_reducer():
    run = {"primary": pd.DataFrame({"bench_det": [1.0, 3.0]})}
    assert reduce_branin([run]) == {"branin": (2.0, 1.0)}
    assert reduce_branin([{"primary": pd.DataFrame({"bench_det": [4.0]})}]) == {
        "branin": (4.0, 0.0)
    }
