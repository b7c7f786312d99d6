"""Files of ophyd-async: what its own detector says of its file is checked and read."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.adapters.documents.recorder import Recorder
from orchestrator.adapters.documents.run_documents import read_runs
from orchestrator.domain.errors import PlanFailed

pytestmark = pytest.mark.integration


def test_a_detector_of_ophyd_async(tmp_path: Path) -> None:
    core = pytest.importorskip("ophyd_async.core")
    sim = pytest.importorskip("ophyd_async.sim")
    from bluesky import RunEngine
    from bluesky.plans import count

    folder = tmp_path / "frames"
    folder.mkdir()
    provider = core.StaticPathProvider(core.StaticFilenameProvider("blob"), folder)
    engine = RunEngine({})
    recorder = Recorder(tmp_path, "runs/campaign/1.jsonl", None)
    detector = sim.SimBlobDetector(provider, name="blob")
    asyncio.run_coroutine_threadsafe(detector.connect(), engine.loop).result(10)
    engine(count([detector], 2), recorder)
    (file,) = folder.glob("*.h5")
    evidence = recorder.evidence()
    (run,) = read_runs(tmp_path / evidence.documents)
    column: Any = run["primary"]["blob"]
    first, second = (np.asarray(frames) for frames in column)
    assert first.ndim == 3
    assert first.shape == second.shape
    assert first.max() > 0
    images = run.dataset("primary")["blob"]
    assert images.shape == (2, *first.shape)
    assert (images[1].values == second).all()
    file.unlink()
    with pytest.raises(PlanFailed, match=r"detector file .*blob\.h5 is missing"):
        recorder.evidence()
