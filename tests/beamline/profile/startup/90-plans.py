import bluesky.plans as bp


def dark_and_light(detector, num=1, md=None):
    """Two runs: one with the shutter closed, one with it open."""
    md = md or {}
    yield from bps.mv(shutter, 0)
    yield from bp.count([detector], num, md={"kind": "dark", **md})
    yield from bps.mv(shutter, 1)
    yield from bp.count([detector], num, md={"kind": "light", **md})
