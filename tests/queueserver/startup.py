"""The startup script of a queueserver: nothing in it knows of Labwright.

Each command that the stage is given goes into a file, so that a test can count what was really
done.
"""

import json
import os
import time
from datetime import datetime
from pathlib import Path

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky import RunEngine
from bluesky.callbacks.zmq import Publisher
from bluesky.plans import count
from ophyd.sim import NullStatus, SynAxis, SynSignal

WITNESS = Path(os.environ["WITNESS"])

RE = RunEngine({"beamline": "testing"})
if "PUBLISH_TO" in os.environ:
    RE.subscribe(Publisher(os.environ["PUBLISH_TO"]))


def note(command, value):
    with WITNESS.open("a") as file:
        file.write(json.dumps([command, value]) + "\n")


class WitnessedAxis(SynAxis):
    def set(self, value):
        note(f"set {self.name}", value)
        return super().set(value)

    def stop(self, *, success=False):
        note(f"stop {self.name}", None)
        return NullStatus()


x = WitnessedAxis(name="x")
y = WitnessedAxis(name="y")
axes = {"x": x, "y": y}
det = SynSignal(
    func=lambda: (x.position - 1.2) ** 2 + (y.position - 0.4) ** 2, name="det", labels={"detectors"}
)


@bpp.run_decorator()
def _one_reading(dwell):
    yield from bps.checkpoint()
    left = dwell
    while left > 0:
        yield from bps.sleep(min(left, 0.1))
        yield from bps.checkpoint()
        left -= 0.1
    yield from bps.trigger_and_read([det, x, y])


def _go(settings):
    """By names from a queueserver's client, by devices from a worker that has them."""
    for axis, value in settings.items():
        yield from bps.mv(axes.get(axis, axis), value)


def measure(settings: dict, dwell: float = 0.0):
    """Go where ``settings`` say, wait, read."""
    yield from _go(settings)
    yield from _one_reading(dwell)


def measure_at(x_position: float, y_position: float, dwell: float = 0.0):
    """The same with arguments in the place of a mapping."""
    yield from measure({"x": x_position, "y": y_position}, dwell)


def three_runs(settings: dict):
    """A dark, a reference and a sample."""
    for _ in range(3):
        yield from measure(settings)


def dated(settings: dict):
    """Has something in its start document that is no plain data."""
    yield from count([det], md={"begun": datetime(2026, 1, 1)})


def moves_only(settings: dict):
    """Leaves no run."""
    yield from _go(settings)


def raises_in_the_run(settings: dict):
    """Fails in the middle of its run."""
    yield from bps.open_run()
    yield from _go(settings)
    raise RuntimeError("the shutter is stuck")


def blocks(settings: dict):
    """Holds the RunEngine's thread for a while where no order reaches it."""
    yield from bps.open_run()
    yield from _go(settings)
    time.sleep(12)
    yield from bps.close_run()
