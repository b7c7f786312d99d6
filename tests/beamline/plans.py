"""The beamline's plan: stage, move, open, count, close, unstage."""

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp


def exposure(settings, shutter, camera, md=None):
    @bpp.stage_decorator([camera])
    @bpp.run_decorator(md=md)
    def inner():
        for device, value in settings.items():
            yield from bps.mv(device, value)
        yield from bps.mv(shutter, 1)
        yield from bps.trigger_and_read([camera])
        yield from bps.mv(shutter, 0)

    yield from inner()


def reduce_exposure(runs):
    return {"counts": runs[0]["primary"]["camera_counts"].iloc[0]}
