"""What a twin costs: processor seconds of its server for a trial, and how fast its model is."""

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from scipy.stats.qmc import Sobol

from orchestrator.campaign_files import read_files
from simulators.twins import twin_model, twin_module
from tests.benchmarks.campaigns import start, summary_of

SHORT, LONG = 2, 10
"""Trials of two campaigns, whose difference is free of what it costs to start."""
BATCH = 256
BATCHES = 3
LOOK_S = 0.05
"""The server's processor time is looked at so often; it ends with its campaign."""


def cpu_s_per_trial(twin: str) -> float:
    """Processor seconds that the twin's server takes for a trial, at its own time compression.

    The campaign is the shipped one with space-filling trials.
    """
    with tempfile.TemporaryDirectory() as folder:
        costs = [_cpu_s(Path(folder) / str(trials), twin, trials) for trials in (SHORT, LONG)]
    return (costs[1] - costs[0]) / (LONG - SHORT)


def points_per_s(twin: str) -> float:
    """Points that the model evaluates in a second of processor time, in batches of 256.

    The fastest of three batches counts: the first fills caches.
    """
    model = twin_model(twin)
    lower, upper = np.array([*model.BOUNDS.values()]).T
    draw = Sobol(len(lower), seed=0)
    rates = []
    for _ in range(BATCHES):
        points = lower + draw.random(BATCH) * (upper - lower)
        began = time.process_time()
        model.evaluate(**dict(zip(model.BOUNDS, points.T, strict=True)))
        rates.append(BATCH / (time.process_time() - began))
    return max(rates)


def _cpu_s(folder: Path, twin: str, trials: int) -> float:
    folder.mkdir()
    campaign = folder / "campaign.yaml"
    data = read_files(twin).campaign.to_data()
    data["optimizer"] = {**data["optimizer"], "method": "sobol"}
    campaign.write_text(json.dumps({**data, "stop": {}}))
    compression = str(twin_module(twin).TIME_COMPRESSION)
    running = start(campaign, trials, seed=0, LABWRIGHT_TIME_COMPRESSION=compression)
    spent = 0.0
    while running.poll() is None:
        spent = max(spent, _server_s(running.pid))
        time.sleep(LOOK_S)
    summary_of(campaign, running)
    return spent


def _server_s(program: int) -> float:
    """Processor seconds of the twin's server below the program so far; 0 when there is none."""
    try:
        for child in psutil.Process(program).children(recursive=True):
            if {"orchestrator.app", "twin"} <= {*child.cmdline()}:
                times = child.cpu_times()
                return times.user + times.system
    except psutil.NoSuchProcess:
        pass
    return 0.0
