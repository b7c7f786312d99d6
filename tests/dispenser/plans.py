"""The lab's plans."""

import random

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import Msg


def drop(settings, camera, md=None):
    """Dispense, then look."""

    @bpp.run_decorator(md=md)
    def inner():
        for device, value in settings.items():
            yield from bps.mv(device, value)
        yield from bps.trigger_and_read([camera])

    yield from inner()


def reduce_drop(runs):
    return {"counts": runs[0]["primary"]["camera_counts"].iloc[0]}


def wander(x, y, camera, seed):
    """Moves anywhere, also where it may not; errors do not keep it from going on."""
    rng = random.Random(seed)

    @bpp.run_decorator()
    def inner():
        for _ in range(8):
            device = rng.choice([x, y, x.setpoint])
            value = rng.choice([rng.uniform(-2, 12), rng.uniform(0, 8), float("nan")])
            try:
                if rng.random() < 0.5:
                    yield Msg("set", device, value, group="together")
                else:
                    yield from bps.abs_set(device, value, wait=True)
            except Exception:
                continue
        yield from bps.trigger_and_read([camera])

    yield from inner()


def reduce_wander(runs):
    return reduce_drop(runs)
