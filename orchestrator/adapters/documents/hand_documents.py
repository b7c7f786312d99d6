"""Documents of a trial that a person has measured: one run, whose start document has the outcomes.

So what becomes of it, and how it can be verified, is as with any other trial.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.adapters.documents.recorder import Recorder
from orchestrator.domain.trial import Outcome
from orchestrator.ports import Evidence

if TYPE_CHECKING:
    from orchestrator.adapters.documents.run_documents import Run

KEY = "measured_by_hand"
"""Key of the start document that holds mean, standard error and unit of each outcome."""


def write_by_hand(
    data_dir: Path, documents: str, about: Mapping[str, Any], outcomes: Mapping[str, Outcome]
) -> Evidence:
    """Write the outcomes down; they are safe on disk afterwards.

    Args:
        data_dir: the data folder.
        documents: a new file, relative to it.
        about: further keys of the start document.
        outcomes: what was measured.

    Raises:
        PlanFailed: they could not be saved.
    """
    given = {name: [one.mean, one.sem, one.unit] for name, one in outcomes.items()}
    start, now = str(uuid.uuid4()), time.time()
    with closing(Recorder(data_dir, documents, None)) as recorder:
        recorder("start", {"uid": start, "time": now, "plan_name": KEY, **about, KEY: given})
        stop = {"uid": str(uuid.uuid4()), "time": now, "run_start": start}
        recorder("stop", {**stop, "exit_status": "success", "num_events": {}})
        return recorder.evidence()


def given_by_hand(runs: "Sequence[Run]") -> dict[str, tuple[Any, Any, Any]] | None:
    """Mean, standard error and unit of each outcome; None for runs that a plan has made."""
    if not runs or KEY not in runs[0].start:
        return None
    return {name: (mean, sem, unit) for name, (mean, sem, unit) in runs[0].start[KEY].items()}
