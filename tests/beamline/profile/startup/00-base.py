from bluesky import RunEngine
from bluesky.callbacks.best_effort import BestEffortCallback
from bluesky.preprocessors import SupplementalData

RE = RunEngine({})

bec = BestEffortCallback()
bec.disable_plots()
RE.subscribe(bec)

sd = SupplementalData()
RE.preprocessors.append(sd)

RE.md["beamline_id"] = "P99"
RE.md["proposal"] = "2026-3-117"
RE.md["sample"] = {"name": "gold grid"}
