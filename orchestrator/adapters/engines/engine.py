"""RunEngines that can be used where nobody sits at a terminal."""

from collections.abc import Iterable, Sequence
from typing import Any

from bluesky.preprocessors import SupplementalData
from bluesky.run_engine import RunEngine
from bluesky.utils import DuringTask


def new_engine() -> RunEngine:
    """A RunEngine for a worker, without metadata."""
    return RunEngine({}, context_managers=[], during_task=None, call_returns_result=True)


def make_unattended(engine: RunEngine) -> None:
    """Let a lab's RunEngine run in any thread, and ask nobody.

    Its metadata, preprocessors, subscriptions and validators are kept. What belongs to a terminal
    goes: handlers of Ctrl-C, which work in a main thread only, the loop of a plot window, and
    progress bars.
    """
    engine.context_managers = []
    engine.waiting_hook = None
    engine.pause_msg = ""
    if type(engine._during_task) is not DuringTask:  # noqa: SLF001 - there is no other way in
        engine._during_task = DuringTask()  # noqa: SLF001


def record(engine: RunEngine, baseline: Sequence[Any], monitors: Sequence[Any]) -> None:
    """Have devices read before and after each run, and signals recorded during it.

    They are added to what the lab's own `SupplementalData` lists: a run has one baseline.
    """
    if not (baseline or monitors):
        return
    supplement = supplemental(engine)
    if supplement is None:
        supplement = SupplementalData()
        engine.preprocessors.append(supplement)
    for have, wanted in ((supplement.baseline, baseline), (supplement.monitors, monitors)):
        have.extend(one for one in wanted if not any(one is other for other in have))


def supplemental(engine: RunEngine) -> SupplementalData | None:
    """The first `SupplementalData` among the RunEngine's preprocessors; None for none."""
    return next((one for one in engine.preprocessors if isinstance(one, SupplementalData)), None)


def read_beside(engine: RunEngine) -> Iterable[Any]:
    """Devices that the RunEngine reads with each run, whatever the plan."""
    supplement = supplemental(engine)
    return [] if supplement is None else [*supplement.baseline, *supplement.monitors]
