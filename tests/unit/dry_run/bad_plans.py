"""Plans and reducers that are wrong, each in its own way, and some that are not."""

import math
import os
import platform
import socket
import subprocess
import threading
import time

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
from ophyd import Component, Device, Signal

COUNT_DOWN = 3
BLOCKED = threading.Event()


class AsyncAxis:
    """Speaks as ophyd-async does: everything is awaited, and connecting has a mock."""

    parent = None

    def __init__(self, name):
        self.name = name
        self.is_mock = False

    async def connect(self, mock=False):
        self.is_mock = mock

    async def read(self):
        assert self.is_mock
        return {self.name: {"value": 0.0, "timestamp": 0.0}}

    async def describe(self):
        return {self.name: {"source": "mock", "dtype": "number", "shape": []}}

    def set(self, value):
        raise AssertionError("a dry run moves nothing")


class Filing(Device):
    """A detector whose server decides what it writes, and so what it reads."""

    counts = Component(Signal, value=0.0)

    def collect_asset_docs(self):
        return iter(())


def good(settings, detector, md=None):
    yield from bps.open_run(md=md)
    for movable, value in settings.items():
        yield from bps.mv(movable, value)
    yield from bps.trigger_and_read([detector, *settings])
    yield from bps.close_run()


def moves_another(settings, detector, axis):
    yield from bps.open_run()
    yield from bps.mv(axis, 0.25)
    at = yield from bps.rd(axis)
    assert at == 0.25
    yield from bps.trigger_and_read([detector, axis])
    yield from bps.close_run()


def stock(detectors, num):
    return (yield from bp.count(detectors, num))


def steps_on(settings, detector):
    """Goes where its readings lead: past the limits in the end, unless it looks at them."""

    @bpp.run_decorator()
    def inner():
        for movable in settings:
            at = yield from bps.rd(movable)
            for _ in range(COUNT_DOWN):
                yield from bps.mvr(movable, 0.1)
            now = yield from bps.rd(movable)
            assert abs(now - at - 0.1 * COUNT_DOWN) < 1e-9
        yield from bps.trigger_and_read([detector])

    yield from inner()


def never_yields(settings, detector):
    while True:
        pass
    yield


def sleeps_itself(settings, detector):
    time.sleep(1e6)
    yield


def blocks(settings, detector):
    BLOCKED.wait(20)
    yield


def yields_forever(settings, detector):
    while True:
        yield from bps.null()


def yields_on_regardless(settings, detector):
    while True:
        try:
            yield from bps.null()
        except BaseException:
            pass


def leaves_a_run_open(settings, detector):
    yield from bps.open_run()
    yield from bps.trigger_and_read([detector])


def raises(settings, detector):
    yield from bps.null()
    raise ValueError("the plan is wrong")


def moves_a_stranger(settings, detector):
    from ophyd.sim import SynAxis

    yield from bps.mv(SynAxis(name="stranger"), 1.0)


def returns_nothing(settings, detector):
    return None


def yields_no_message(settings, detector):
    yield 3


def measures_nothing(settings, detector):
    for movable, value in settings.items():
        yield from bps.mv(movable, value)


def leaves_the_limits_and_goes_on(settings, detector):
    try:
        yield from bps.mv(next(iter(settings)), 16.0)
    except Exception:
        pass
    yield from bp.count([detector])


def leaves_the_limits(settings, detector):
    yield from bps.open_run()
    for movable, value in settings.items():
        yield from bps.mv(movable, value + 14.0)
    yield from bps.close_run()


def sets_by_itself(settings, detector):
    for movable, value in settings.items():
        movable.set(value)
    yield from good(settings, detector)


def puts_by_itself(settings, detector, motor):
    motor.user_setpoint.put(1.0)
    yield from good(settings, detector)


def puts_past_all(settings, detector):
    import epics

    epics.caput("X:M1", 1.0)
    yield from good(settings, detector)


def calls_home(settings, detector):
    with socket.socket() as connection:
        connection.connect(("127.0.0.1", 9))
    yield


def forgets(settings, detector):
    for movable, value in settings.items():
        bps.mv(movable, value)
    yield from good({}, detector)


def starts_a_program(settings, detector, witness):
    subprocess.run(["touch", witness], check=True)
    yield from good(settings, detector)


def asks_for_the_platform(settings, detector):
    platform._uname_cache = None
    assert platform.uname().processor == ""
    yield from good(settings, detector)


def starts_one_and_hides_it(settings, detector, witness):
    try:
        os.system(f"touch {witness}")
    except OSError:
        pass
    yield from good(settings, detector)


def opens_twice(settings, detector):
    yield from bps.open_run()
    yield from bps.open_run(md={"again": True})


def reduce_good(runs):
    return {"branin": float(runs[0]["primary"]["bench_det"].iloc[-1])}


def reduce_nan(runs):
    return {"branin": math.nan}


def reduce_wrong_name(runs):
    return {"brannin": 1.0}


def reduce_changing(runs):
    table = runs[0]["primary"]
    table["bench_det"] = table["bench_det"] + 1
    return {"branin": 1.0}


def reduce_text(runs):
    return {"branin": "low"}


def reduce_strange_column(runs):
    return {"branin": runs[0]["primary"]["bench_dett"].iloc[-1]}


def reduce_strange_attribute(runs):
    return {"branin": runs[0]["primary"].bench_dett.iloc[-1]}


def reduce_strange_stream(runs):
    return {"branin": runs[0]["primry"]["bench_det"].iloc[-1]}


def reduce_other_stream(runs):
    return {"branin": runs[0]["when_it_is_bright"]["bench_det"].iloc[-1]}


def reduce_by_value(runs):
    return {"branin": {0.125: 1.0}[float(runs[0]["primary"]["bench_det"].iloc[-1])]}


def reduce_by_metadata(runs):
    return {"branin": runs[0].start["dose"]}


def reduce_by_parameters(runs):
    return {"branin": runs[0].start["parameters"]["x"] / runs[0].start["fence"]}


def reduce_slowly(runs):
    time.sleep(60.0)
