import inspect

import pytest

from orchestrator.adapters.dry_run.sealed import ENVIRONMENT
from orchestrator.adapters.processes.answering_child import AnsweringChild
from tests.unit.dry_run import bad_plans

HERE = "tests.unit.dry_run.bad_plans"
BENCH = {"class": "simulators.soft.bench.Bench", "limits": [-5, 15], "tolerance": 1e-9}
MOTOR = {"class": "ophyd.EpicsMotor", "prefix": "X:M1", "limits": [-1, 1], "tolerance": 0.01}
STARTUP = """
import epics
from bluesky.plan_stubs import mv
from ophyd import Component, Device, EpicsMotor, EpicsSignal
Camera = type("Camera", (Device,), {"exposure": Component(EpicsSignal, "EXP")})
axis = EpicsMotor("X:M2", name="axis")
camera = Camera("X:CAM:", name="camera")
axis.set(0.5).wait()
axis.user_setpoint.put(0.2)
RE(mv(axis, 0.1))
camera.exposure.put(0.1)
epics.caput("X:M3", 1)
"""
POINT = {"x": 2.0, "y": 3.0}


@pytest.fixture(scope="module")
def child():
    child = AnsweringChild("tests.unit.dry_run.looker_child", environment=ENVIRONMENT)
    yield child
    child.end()


@pytest.fixture
def look(child):
    def look(plan, args=None, reducer="reduce_good", devices=None, before=None, sources=()):
        child.load(60)
        campaign = {
            "name": "test",
            "instrument": "bench",
            "plan": {
                "name": plan if "." in plan else f"{HERE}.{plan}",
                "args": {"detector": "bench.det"} if args is None else args,
            },
            "reduce": {"call": f"{HERE}.{reducer}"},
            "parameters": {
                "x": {"device": "bench.x", "range": [-5, 10]},
                "y": {"device": "bench.y", "range": [0, 15]},
            },
            "objectives": {"branin": {"goal": "minimize"}},
            "budget": {"trials": 30},
        }
        instrument = {"name": "bench", "mode": "twin", "devices": {"bench": BENCH}}
        instrument["devices"] = {"bench": BENCH, **(devices or {})}
        instrument["from"] = sources
        return child.ask((campaign, instrument, POINT, before), 60)

    return look


def line_with(name, text):
    """``file:line`` of the first line of a plan that holds a text."""
    lines, first = inspect.getsourcelines(getattr(bad_plans, name))
    number = next(number for number, line in enumerate(lines) if text in line)
    return f"{bad_plans.__file__}:{first + number}"


@pytest.mark.parametrize(
    ("name", "says", "at"),
    [
        ("never_yields", "never ends: 0.4 s", ("while True", "pass")),
        ("sleeps_itself", "never ends: 0.4 s", ("time.sleep",)),
        ("yields_forever", "never ends: 300 messages", ("while True", "bps.null")),
        ("yields_on_regardless", "never ends: 300 messages", ("def", "bps.null")),
        ("leaves_a_run_open", "leaves a run open", ("def",)),
        ("raises", "ValueError: the plan is wrong", ("raise ValueError",)),
        ("moves_a_stranger", "stranger is no device of this instrument", ("bps.mv",)),
        ("returns_nothing", "gives None and no messages", ("def",)),
        ("yields_no_message", "yields 3, which is no message", ("yield 3",)),
        ("measures_nothing", "without a run", ("def",)),
        ("leaves_the_limits", "bench.x = 16.0 is outside [-5.0, 15.0]", ("bps.mv",)),
        ("leaves_the_limits_and_goes_on", "bench.x = 16.0 is outside", ("bps.mv",)),
        ("sets_by_itself", "itself calls set() of bench.x", ("movable.set",)),
        ("puts_past_all", "itself calls caput() of X:M1", ("epics.caput",)),
        ("calls_home", "a connection to ('127.0.0.1', 9)", ("connection.connect",)),
        ("opens_twice", "opened while it is open", ("again",)),
    ],
)
def test_a_bad_plan_is_found_at_its_line(look, name, says, at):
    (text, line), *_ = look(name)["problems"]
    assert says in text
    assert line in [line_with(name, one) for one in at]


@pytest.mark.parametrize(
    ("name", "at"),
    [("starts_a_program", "subprocess.run"), ("starts_one_and_hides_it", "os.system")],
)
def test_no_program_runs(look, tmp_path, name, at):
    witness = tmp_path / "witness"
    ((text, line),) = look(name, {"detector": "bench.det", "witness": str(witness)})["problems"]
    assert f"'touch {witness}' was to be started" in text
    assert line == line_with(name, at)
    assert not witness.exists()


def test_what_the_standard_library_does_without_is_not_told(look):
    assert look("asks_for_the_platform")["problems"] == []


def test_what_a_startup_orders_is_found_at_its_line(look, tmp_path):
    script = tmp_path / "startup.py"
    script.write_text(STARTUP)
    sources = [{"startup": str(script), "use": ["axis"]}]
    devices = {"axis": {"limits": [-1, 1], "tolerance": 0.01}}
    found = look("good", sources=sources, devices=devices)
    assert [(line, text.partition(" is called")[0]) for text, line in found["problems"]] == [
        (f"{script}:{number}", text)
        for number, text in [
            (8, "set() of axis"),
            (9, "put() of axis_user_setpoint"),
            (10, "RE() of a plan"),
            (12, "caput() of X:M3"),
        ]
    ]
    ((text, line),) = found["warnings"]
    assert (text.partition(" is")[0], line) == ("put() of camera_exposure", f"{script}:11")


def test_a_program_that_a_startup_starts_is_told_once(look, tmp_path):
    script = tmp_path / "startup.py"
    script.write_text("import subprocess\nsubprocess.run(['git', '--version'])\n")
    sources = [{"startup": str(script), "use": ["axis"]}]
    ((text, _),) = look("good", sources=sources, devices={"axis": {}})["problems"]
    assert f"{script}:2: Sealed: 'git --version' was to be started" in text


def test_a_put_to_a_part_of_a_device_is_found(look):
    args = {"detector": "bench.det", "motor": "m"}
    (found,) = look("puts_by_itself", args, devices={"m": MOTOR})["problems"]
    assert found == (
        "the plan itself calls put() of m.user_setpoint; only messages may move anything",
        line_with("puts_by_itself", "put("),
    )


@pytest.mark.parametrize(
    ("plan", "args"),
    [
        ("good", None),
        ("steps_on", None),
        ("stock", {"detectors": ["bench.det"], "num": 3}),
        ("bluesky.plans.count", {"detectors": ["bench.det"], "num": 3}),
        ("bluesky.plans.rel_scan", {"detectors": ["bench.det"], "args": ["bench.x", -1, 1, 5]}),
        ("bluesky.plans.grid_scan", {
            "detectors": ["bench.det"], "args": ["bench.x", 0, 1, 3, "bench.y", 0, 1, 3]
        }),
        ("steady_state", None),
    ],
)  # fmt: skip
def test_a_good_plan_passes(look, plan, args):
    plan = "plans.steady_state_sample.steady_state_sample" if plan == "steady_state" else plan
    found = look(plan, args)
    assert found["problems"] == found["warnings"] == []
    assert found["moves"]["bench.y"][1] >= 1.0
    assert found["triggers"]["bench.det"] >= 1


def test_a_device_of_ophyd_async_is_connected_as_a_mock(look):
    entry = {"class": f"{HERE}.AsyncAxis", "limits": [-1, 1], "tolerance": 0.01}
    args = {"detector": "bench.det", "axis": "axis"}
    found = look("moves_another", args, devices={"axis": entry})
    assert found["problems"] == []
    assert found["moves"]["axis"] == (0.25, 0.25)


def test_a_forgotten_yield_from_is_told(look):
    found = look("forgets")
    assert found["warnings"] == [
        (
            "mv() is called and its messages are never obeyed: 'yield from' is missing",
            line_with("forgets", "bps.mv"),
        )
    ]


def test_moves_take_as_long_as_speeds_say(look):
    devices = {"bench": {**BENCH, "speed": 2.0, "acquire_s": 7.0, "settle_s": 0.5}}
    found = look("good", devices=devices, before={"bench.x": 0.0, "bench.y": 0.0})
    assert found["lab_s"] == pytest.approx(2.0 / 2 + 0.5 + 3.0 / 2 + 0.5 + 7.0)
    assert found["unknown"] == []


@pytest.mark.parametrize(
    ("reducer", "says"),
    [
        ("reduce_wrong_name", "outcome 'branin' is missing; did you mean 'brannin'?"),
        ("reduce_changing", "reduce_changing changes the runs that it is given"),
        ("reduce_text", "outcome 'branin' is 'low', no number"),
    ],
)
def test_a_bad_reducer_is_found(look, reducer, says):
    (text, line), *_ = look("good", reducer=reducer)["problems"]
    assert text.startswith(says)
    assert line == line_with(reducer, "def")


@pytest.mark.parametrize(
    ("reducer", "says"),
    [
        ("reduce_strange_column", "'bench_dett' is no column of these runs; did you mean"),
        ("reduce_strange_attribute", "'bench_dett' is no column of these runs; did you mean"),
        ("reduce_strange_stream", "'primry' is no stream of this run"),
    ],
)
def test_a_reducer_that_asks_for_what_no_run_has_is_wrong(look, reducer, says):
    ((text, line),) = look("good", reducer=reducer)["problems"]
    assert text.startswith(f"{reducer} asks for what is not there: {says}")
    assert line == line_with(reducer, "return")


@pytest.mark.parametrize(
    "reducer", ["reduce_by_value", "reduce_by_metadata", "reduce_other_stream"]
)
def test_a_key_that_made_up_values_lack_is_no_problem(look, reducer):
    found = look("good", reducer=reducer)
    assert found["problems"] == []
    ((text, line),) = found["untried"]
    assert "raised" in text
    assert line == line_with(reducer, "return")


def test_a_reducer_finds_the_metadata_of_a_trial(look):
    found = look("good", reducer="reduce_by_parameters")
    assert (found["problems"], found["untried"]) == ([], [])


def test_columns_of_a_detector_that_writes_files_are_not_known(look):
    entry = {"class": f"{HERE}.Filing"}
    found = look("good", {"detector": "filing"}, "reduce_strange_column", {"filing": entry})
    assert found["problems"] == []
    assert "bench_dett" in found["untried"][0][0]


def test_a_reducer_that_does_not_end_is_told(look):
    found = look("good", reducer="reduce_slowly")
    assert found["problems"] == []
    assert found["untried"] == [
        ("reduce_slowly has not ended after 2 s", line_with("reduce_slowly", "sleep"))
    ]


def test_nan_of_a_reducer_on_made_up_readings_is_told_and_is_no_problem(look):
    found = look("good", reducer="reduce_nan")
    assert found["problems"] == []
    assert found["untried"] == [
        ("outcome 'branin' is nan, not finite", line_with("reduce_nan", "def"))
    ]


def test_two_devices_with_one_pv_are_found(look):
    other = {"class": "ophyd.EpicsSignal", "prefix": "X:M1.VAL", "limits": [0, 1]}
    (problem,) = look("good", devices={"m": MOTOR, "other": other})["problems"]
    assert "'other' sets the PV 'X:M1', and so does 'm'" in problem[0]
