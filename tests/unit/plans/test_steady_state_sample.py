import math

import numpy as np
import pandas as pd
import pytest

from plans.outcomes import outcomes
from plans.steady_state_sample import (
    reduce_steady_state_sample,
    steady_state_sample,
    until_stable,
)
from simulators.flow_chemistry.model import BOUNDS, SPECIES, concentrations, evaluate
from simulators.soft.bench import Bench


class Movable:
    parent = None

    def __init__(self, name):
        self.name = name

    def set(self, value):
        raise NotImplementedError

    def read(self):
        raise NotImplementedError

    def describe(self):
        raise NotImplementedError


@pytest.fixture
def detector():
    return Bench(name="bench").det


TAU, TEMPERATURE = Movable("residence_time"), Movable("temperature")


def messages(*args, **kwargs):
    return [
        (message.command, getattr(message.obj, "name", None), *message.args)
        for message in steady_state_sample(*args, **kwargs)
        if message.command not in ("stage", "wait", "create", "save", "unstage")
    ]


def test_sets_in_order_then_reads_everything(detector):
    got = messages({TEMPERATURE: 40.0, TAU: 1.5}, detector, readings=2, md={"trial_id": 7})
    reading = [
        ("trigger", "bench_det"),
        ("read", "bench_det"),
        ("read", "temperature"),
        ("read", "residence_time"),
    ]
    assert got == [
        ("open_run", None),
        ("set", "temperature", 40.0),
        ("set", "residence_time", 1.5),
        *reading,
        *reading,
        ("close_run", None),
    ]


def test_each_move_is_waited_for_before_the_next(detector):
    plan = steady_state_sample({TEMPERATURE: 40.0, TAU: 1.5}, detector)
    commands = [message.command for message in plan]
    assert [c for c in commands if c in ("set", "wait", "trigger")][:5] == [
        *("set", "wait"),
        *("set", "wait"),
        "trigger",
    ]


def test_run_tells_who_takes_part(detector):
    plan = steady_state_sample({TAU: 1.5}, detector, md={"trial_id": 7})
    opened = next(message for message in plan if message.command == "open_run")
    assert opened.kwargs["detectors"] == ["bench_det"]
    assert opened.kwargs["motors"] == ["residence_time"]
    assert opened.kwargs["trial_id"] == 7


def test_settles_for_residence_times_and_seconds(detector):
    got = messages({TAU: 1.5}, detector, settle_residence_times=3, settle_s=10)
    assert ("sleep", None, 3 * 1.5 * 60 + 10) in got


def test_residence_time_must_be_among_the_settings(detector):
    with pytest.raises(ValueError, match=r"needs a setting named 'residence_time'.*temperature"):
        messages({TEMPERATURE: 40.0}, detector, settle_residence_times=3)


def slept(values, timeout_s):
    """Seconds slept until the signal counts as stable."""
    plan = until_stable(Movable("ph"), 0.01, 3, 10, timeout_s)
    left, seconds, response = iter(values), 0, None
    while True:
        try:
            message = plan.send(response)
        except StopIteration:
            return seconds
        response = None
        if message.command == "read":
            response = {"ph": {"value": next(left)}}
        elif message.command == "sleep":
            seconds += message.args[0]


def test_waits_until_the_last_readings_agree():
    assert slept([1, 2, 3, 3, 3.001], 100) == 40
    assert slept([3, 3, 3], 100) == 20
    with pytest.raises(TimeoutError, match=r"ph did not become stable within 39 s.*'2', '1', '2'"):
        slept([1, 2] * 10, 39)


class NoiselessRun:
    """What the detector of the flow reactor gives without noise."""

    def __init__(self, *settings):
        self.start = {"detectors": ["hplc"]}
        rows = []
        for values in settings:
            outlet = concentrations(**values)
            rows.append({**values, **{f"hplc_{name}": outlet[name] for name in SPECIES}})
        self._table = pd.DataFrame(rows)

    def __getitem__(self, name):
        assert name == "primary"
        return self._table


def points(count):
    random = np.random.default_rng(1)
    return [
        {name: float(random.uniform(*bounds)) for name, bounds in BOUNDS.items()}
        for _ in range(count)
    ]


@pytest.mark.parametrize("settings", points(20))
def test_noiseless_documents_reproduce_the_model(settings):
    truth = evaluate(**settings)
    reduced = reduce_steady_state_sample([NoiselessRun(settings)])
    assert set(reduced) == set(truth) - {"objective"}
    for name, (mean, sem) in reduced.items():
        assert mean == pytest.approx(truth[name], rel=1e-9)
        assert sem is None


def test_mean_and_standard_error_over_readings():
    first, second = points(2)
    truth = [evaluate(**values)["sty"] for values in (first, second)]
    mean, sem = reduce_steady_state_sample([NoiselessRun(first, second)])["sty"]
    assert mean == pytest.approx(sum(truth) / 2)
    assert sem == pytest.approx(abs(truth[0] - truth[1]) / 2)
    runs = [NoiselessRun(first), NoiselessRun(second)]
    assert reduce_steady_state_sample(runs)["sty"] == pytest.approx((mean, sem))


def test_no_product_is_no_finite_e_factor():
    run = NoiselessRun(*points(1))
    run["primary"]["hplc_ortho"] = 0.0
    assert math.isinf(reduce_steady_state_sample([run])["e_factor"][0])


def test_declaration_is_an_attribute():
    @outcomes(a="m", b="")
    def reduce_it(runs):
        return {}

    assert reduce_it.outcomes == {"a": "m", "b": ""}
    assert reduce_steady_state_sample.outcomes.keys() == {"sty", "yield_fraction", "e_factor"}
