"""Reducers of the beamline's own, for plans that have none beside them."""


def net_intensity(runs):
    """Light less dark of a plan with these two runs."""
    dark, light = (float(run["primary"]["i0"].mean()) for run in runs)
    return {"intensity": light - dark}


def mean_det(runs):
    return {"counts": float(runs[0]["primary"]["det"].iloc[-1])}


def channel_value(runs):
    return {"counts": float(runs[0]["primary"]["det-channel-1-value"].iloc[-1])}
