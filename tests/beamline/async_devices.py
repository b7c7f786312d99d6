"""Devices of ophyd-async, as it ships them for trials without hardware."""

from typing import Any

from ophyd_async.sim import PatternGenerator, SimPointDetector, SimStage


def make_all() -> dict[str, Any]:
    pattern = PatternGenerator()
    return {
        "stage": SimStage(pattern, name="stage"),
        "det": SimPointDetector(pattern, num_channels=1, name="det"),
    }
