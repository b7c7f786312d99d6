"""The scans run by a RunEngine on a soft bench, and what their reducers make of the documents."""

import math
import statistics

import pytest

from plans.adaptive_scan import (
    adaptive_scan,
    estimate_adaptive_scan,
    next_positions,
    reduce_adaptive_scan,
)
from plans.fly_scan import fly_scan
from plans.grid_map import estimate_grid_map, grid_map, reduce_grid_map
from plans.scan_peak import estimate_scan_peak, reduce_scan_peak, scan_peak
from plans.scanning import data_key
from plans.time_series import estimate_time_series, reduce_time_series, time_series
from tests.unit.plans.engine import Bench, run


def hill(x, y):
    return 100 * math.exp(-4 * math.log(2) * ((x - 2.0) / 3.0) ** 2) + y


# ------------------------------------------------------------------------- scan_peak


def test_scan_peak_sets_scans_and_fits(tmp_path):
    bench = Bench(hill, noise=0.5)
    plan = scan_peak({bench.y: 5.0}, bench.x, bench.det, -8, 10, points=25, md={"trial_id": 7})
    (found,) = run(plan, tmp_path)
    outcomes = reduce_scan_peak([found])
    for name, truth in {"centre": 2.0, "width": 3.0, "height": 100.0}.items():
        value, sem, _ = outcomes[name]
        assert value == pytest.approx(truth, abs=5 * sem)
        assert 0 < sem < 0.02 * truth
    assert [unit for _, _, unit in outcomes.values()] == ["um", "um", "counts"]
    assert outcomes.keys() == reduce_scan_peak.outcomes.keys()
    assert bench.visited[0] == (-8, 5)
    assert bench.visited[-1] == (10, 5)
    assert len(bench.visited) == 25 == estimate_scan_peak({}, points=25)[1]
    assert (found.start["trial_id"], found.start["signal"]) == (7, "bench_det")


def test_scan_peak_backwards_gives_the_same(tmp_path):
    bench = Bench(hill)
    (found,) = run(scan_peak({}, bench.x, bench.det, 10, -8), tmp_path)
    assert reduce_scan_peak([found])["centre"][0] == pytest.approx(2.0)


def test_scan_peak_of_nothing_is_said(tmp_path):
    bench = Bench(lambda x, y: 1.0)
    (found,) = run(scan_peak({}, bench.x, bench.det, 0, 1), tmp_path)
    with pytest.raises(ValueError, match="no peak: the signal does not change from 0 to 1"):
        reduce_scan_peak([found])


# ------------------------------------------------------------------------- adaptive_scan


def edge(x, y):
    return math.tanh((x - 3.21) / 0.05)


def test_adaptive_scan_finds_a_sharp_edge(tmp_path):
    bench = Bench(edge)
    (found,) = run(adaptive_scan({}, bench.x, bench.det, -10, 10, points=40), tmp_path)
    value, sem, unit = reduce_adaptive_scan([found])["steepest_at"]
    assert value == pytest.approx(3.21, abs=0.05), "40 even points would be 0.5 apart"
    assert abs(value - 3.21) < 2 * sem < 0.1
    assert unit == "um"
    assert len(bench.visited) == 40 == estimate_adaptive_scan({}, points=40)[1]


def test_adaptive_scan_is_denser_where_the_signal_bends(tmp_path):
    bench = Bench(lambda x, y: 1 / (1 + (x / 0.5) ** 2))
    run(adaptive_scan({}, bench.x, bench.det, -10, 10, points=41), tmp_path)
    near = sum(abs(x) <= 2 for x, _ in bench.visited)
    assert near >= 20, "a fifth of the range has half of the points"
    assert {x for x, _ in bench.visited[:11]} == {-10 + 2 * n for n in range(11)}


def test_adaptive_scan_does_not_go_to_and_fro(tmp_path):
    bench = Bench(edge)
    run(adaptive_scan({}, bench.x, bench.det, -10, 10, points=40), tmp_path)
    way = [x for x, _ in bench.visited]
    turns = sum((b - a) * (c - b) < 0 for a, b, c in zip(way, way[1:], way[2:], strict=False))
    assert turns <= 10


def test_adaptive_scan_keeps_the_smallest_step(tmp_path):
    bench = Bench(edge)
    plan = adaptive_scan({}, bench.x, bench.det, 0, 10, points=100, smallest_step=0.5)
    run(plan, tmp_path)
    at = sorted(x for x, _ in bench.visited)
    assert min(b - a for a, b in zip(at, at[1:], strict=False)) >= 0.5
    assert len(at) == 21, "it ends when no step may be halved"


def test_a_straight_line_is_filled_evenly():
    seen = [(float(n), 2.0 * n) for n in range(5)]
    for most in (1, 1, 1, 1):
        seen += [(x, 2.0 * x) for x in next_positions(seen, most)]
    assert sorted(x for x, _ in seen) == [n / 2 for n in range(9)]


def test_adaptive_outcomes_are_readings(tmp_path):
    bench = Bench(lambda x, y: -((x - 4.0) ** 2))
    (found,) = run(adaptive_scan({}, bench.x, bench.det, 0, 10, points=11), tmp_path)
    outcomes = reduce_adaptive_scan([found])
    assert outcomes["maximum"] == (0.0, None, "counts")
    assert outcomes["maximum_at"] == (4.0, None, "um")
    assert outcomes["minimum"] == (-36.0, None, "counts")
    assert outcomes["minimum_at"] == (10.0, None, "um")
    assert outcomes.keys() == reduce_adaptive_scan.outcomes.keys()


def test_adaptive_first_pass_is_checked():
    bench = Bench(edge)
    for first in (2, 41):
        with pytest.raises(ValueError, match=f"first is {first}: it must be from 3 to the 40"):
            list(adaptive_scan({}, bench.x, bench.det, 0, 1, first=first))


# ------------------------------------------------------------------------- grid_map


@pytest.mark.parametrize("snake", [True, False])
def test_grid_map_goes_row_by_row(tmp_path, snake):
    bench = Bench(lambda x, y: 10 * y + x)
    plan = grid_map({}, bench.y, (0, 2), 3, bench.x, (0, 3), 4, bench.det, snake=snake)
    (found,) = run(plan, tmp_path)
    rows = [bench.visited[4 * n : 4 * n + 4] for n in range(3)]
    assert [{y for _, y in row} for row in rows] == [{0}, {1}, {2}]
    assert [x for x, _ in rows[1]] == ([3, 2, 1, 0] if snake else [0, 1, 2, 3])
    outcomes = reduce_grid_map([found])
    spread = statistics.stdev(10 * y + x for y in range(3) for x in range(4))
    assert outcomes["mean"] == (11.5, pytest.approx(spread / 12**0.5), "counts")
    assert outcomes["spread"] == (pytest.approx(spread), None, "counts")
    assert outcomes["maximum"] == (23.0, None, "counts")
    assert outcomes["maximum_slow"] == (2.0, None, "mm")
    assert outcomes["maximum_fast"] == (3.0, None, "um")
    assert outcomes.keys() == reduce_grid_map.outcomes.keys()
    assert estimate_grid_map({}, slow_points=3, fast_points=4) == (0.0, 12)


# ------------------------------------------------------------------------- time_series


class Warming(Bench):
    """A detector that comes to 5 with half of the distance at each reading."""

    def __init__(self) -> None:
        super().__init__(lambda x, y: 5 - 4 * 0.5 ** len(self.visited))


def test_time_series_ends_when_stable(tmp_path):
    bench = Warming()
    plan = time_series({bench.x: 1}, bench.det, interval_s=1e-4, timeout_s=1, window=4)
    (found,) = run(plan, tmp_path)
    outcomes = reduce_time_series([found])
    value, sem, unit = outcomes["value"]
    assert value == pytest.approx(5.0, rel=0.02)
    assert 0 < sem < 0.05
    assert unit == "counts"
    assert outcomes["settling_s"] == (pytest.approx((len(bench.visited) - 4) * 1e-4), None, "s")
    assert outcomes.keys() == reduce_time_series.outcomes.keys()
    assert len(bench.visited) <= 12


def test_time_series_that_never_is_stable_fails(tmp_path):
    bench = Bench(lambda x, y: float(len(bench.visited)))
    plan = time_series({}, bench.det, interval_s=1e-4, timeout_s=7e-4, window=3)
    with pytest.raises(
        TimeoutError, match=r"bench_det did not .* within 0.0007 s: .* were 6, 7, 8"
    ):
        run(plan, tmp_path)
    waits, readings = estimate_time_series({}, interval_s=1e-4, timeout_s=7e-4, window=3)
    assert (waits, readings) == (pytest.approx(7e-4), len(bench.visited))


@pytest.mark.parametrize("wrong", [{"interval_s": 0}, {"window": 1}])
def test_time_series_that_cannot_be(wrong):
    bench = Bench(edge)
    with pytest.raises(ValueError, match="above 0 and at least 2 are needed"):
        list(time_series({}, bench.det, **{"interval_s": 1, "timeout_s": 9, **wrong}))


# ------------------------------------------------------------------------- fly_scan


class StubFlyer:
    """Can be looked at; the real one flies in tests/integration/test_kit_ioc.py."""

    name = "flyer"
    parent = None

    def __init__(self):
        bench = Bench(edge)
        self.axis, self.stop_at, self.signal = bench.x, bench.y, bench.det

    def kickoff(self):
        raise NotImplementedError

    def complete(self):
        raise NotImplementedError

    def collect(self):
        raise NotImplementedError


def test_fly_scan_goes_to_the_start_at_the_motors_own_speed():
    flyer = StubFlyer()
    plan = fly_scan({}, flyer, -4, 8)
    done = [(one.command, *one.args) for one in plan if one.command != "wait"]
    assert [command for command, *_ in done] == [
        "open_run",
        "set",
        "stage",
        "set",
        "kickoff",
        "complete",
        "collect",
        "unstage",
        "set",
        "close_run",
    ]
    assert [value for command, *value in done if command == "set"] == [[-4], [8], [8]]
    with pytest.raises(ValueError, match="a flight from 3 to 3 is none"):
        list(fly_scan({}, flyer, 3, 3))


# ------------------------------------------------------------------------- all of them


def test_all_can_be_looked_at_without_running():
    bench = Bench(edge)
    x, y, det = bench.x, bench.y, bench.det
    plans = {
        21: scan_peak({y: 1}, x, det, 0, 1),
        30: adaptive_scan({y: 1}, x, det, 0, 1, points=30),
        6: grid_map({}, y, (0, 1), 2, x, (0, 1), 3, det),
        5: time_series({x: 1}, det, 1, 9),
    }
    for readings, plan in plans.items():
        commands = [message.command for message in plan]
        assert commands.count("save") == readings
        assert (commands[0], commands[-1]) == ("stage", "unstage")


class Hinted:
    name = "cam"

    def __init__(self, *fields):
        self.hints = {"fields": list(fields)}


def test_signals_by_channel_by_key_and_by_hint():
    assert data_key(Hinted("cam_a", "cam_b"), "a") == "cam_a"
    assert data_key(Hinted("cam_a", "cam_b"), "cam_b") == "cam_b"
    assert data_key(Hinted("cam_a"), None) == "cam_a"
    assert data_key(Hinted(), None) == "cam"
    with pytest.raises(ValueError, match=r"cam has the signals \['cam_a', 'cam_b'\]"):
        data_key(Hinted("cam_a", "cam_b"), None)


def test_a_range_that_is_none_is_refused():
    bench = Bench(edge)
    with pytest.raises(ValueError, match="21 points from 1 to 1 are no scan"):
        list(scan_peak({}, bench.x, bench.det, 1, 1))
