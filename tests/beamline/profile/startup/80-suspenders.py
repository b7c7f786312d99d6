import bluesky.plan_stubs as bps
from bluesky.suspenders import SuspendFloor


def close_shutter():
    yield from bps.mv(shutter, 0)


def open_shutter():
    yield from bps.mv(shutter, 1)


beam_dump = SuspendFloor(
    ring_current,
    100,
    resume_thresh=250,
    pre_plan=close_shutter,
    post_plan=open_shutter,
    tripped_message="beam dump",
)
RE.install_suspender(beam_dump)
