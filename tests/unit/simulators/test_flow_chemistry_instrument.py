from functools import partial

import pytest

from simulators.flow_chemistry.instrument import RUN_TIME
from simulators.flow_chemistry.model import BOUNDS, SPECIES, concentrations
from tests.unit.simulators.rig import shipped

Lab = partial(shipped, "flow-chemistry")
SETTINGS = dict(zip(BOUNDS, (0.8, 3.3, 0.31, 77.7), strict=True))


def test_readback_ends_exactly_on_the_setpoint():
    lab = Lab()
    lab.put("FC:TEMP:SP", 120.0)
    lab.twin.step(60.0)
    assert lab.pvs["FC:TEMP:RB"].value == pytest.approx(120 - 90 / 2.718281828)
    lab.set({"temperature": 77.7})
    assert lab.pvs["FC:TEMP:RB"].value == 77.7


def test_stop_holds_on_the_way_and_does_nothing_at_rest():
    lab = Lab()
    lab.put("FC:TEMP:SP", 120.0)
    lab.twin.step(30.0)
    lab.put("FC:TEMP:STOP", 1)
    held = lab.pvs["FC:TEMP:RB"].value
    assert 30 < held < 120
    assert lab.pvs["FC:TEMP:SP"].value == held
    first = lab.measure()
    lab.put("FC:TEMP:STOP", 1)
    assert lab.measure() != first  # the second trigger, not the first again
    assert lab.pvs["FC:TEMP:STOP"].value == 0


def test_measurement_is_the_model_within_one_percent_noise():
    lab = Lab()
    lab.set(SETTINGS)
    truth = concentrations(**SETTINGS)
    readings = [lab.measure() for _ in range(200)]
    for name in SPECIES:
        ratios = [reading[name] / truth[name] for reading in readings]
        assert sum(ratios) / 200 == pytest.approx(1.0, abs=0.003)
        assert max(ratios) < 1.05
    assert min(reading["peak_area"] for reading in readings) > 100
    assert set(lab.slept) == {RUN_TIME}
