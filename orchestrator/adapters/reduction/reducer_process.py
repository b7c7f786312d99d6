"""Reducers in a child process: one that hangs or crashes costs its trial the outcomes, no more.

A reducer is a lab's own code. In here it cannot hold up the worker, and it cannot end it. The child
also waits for a Dask cluster, where one reduces: so that has its time, too, and no more.
"""

import threading
from collections.abc import Callable
from pathlib import Path

from orchestrator.adapters.processes.answering_child import (
    MOST_DEATHS,
    AnsweringChild,
    ChildDied,
    answer_questions,
)
from orchestrator.adapters.reduction.dask_reducer import reduce_on_cluster
from orchestrator.adapters.reduction.reducer import DocumentReducer
from orchestrator.domain.errors import ReductionError
from orchestrator.domain.events import LONGEST_TEXT
from orchestrator.domain.spec import CampaignSpec
from orchestrator.ports import Reduction

START_S = 60.0
"""Longest time that the child may take to start and to load what every reducer needs."""

_Question = tuple[CampaignSpec, str]


class ReducerProcess:
    """Reduces documents of the data folder in a child that is kept for the next trial.

    It is not kept after a failure: what raised may have left anything behind, and a new child reads
    the mended code.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock = threading.Lock()
        self._child: AnsweringChild | None = None

    def deadline_s(self, campaign: CampaignSpec) -> float:
        """As ports.Reducer."""
        return MOST_DEATHS * (START_S + campaign.reduce.timeout_s)

    def warm_up(self) -> None:
        """As ports.Reducer. Linux ends the child with the thread that calls this."""
        with self._lock:
            self._living_child()

    def reduce(self, campaign: CampaignSpec, documents: str) -> Reduction:
        """As ports.Reducer.

        Raises:
            ReductionError: the reducer raised, its outcomes cannot be used, it took longer than the
                campaign allows, or its process died.
        """
        answer: Reduction | str = ""
        with self._lock:
            try:
                answer = self._answer(campaign, documents)
            finally:
                if not isinstance(answer, Reduction):
                    self._end()
        if isinstance(answer, Reduction):
            return answer
        raise ReductionError(answer[:LONGEST_TEXT])

    def close(self) -> None:
        """End the child. It ends with its parent too, so a worker need not call this."""
        with self._lock:
            self._end()

    def _answer(self, campaign: CampaignSpec, documents: str) -> Reduction | str:
        """The reduction, or in words why there is none.

        A child that was ended from outside says nothing against the reducer: another one is asked.
        """
        reason, timeout_s = "", campaign.reduce.timeout_s
        for _ in range(MOST_DEATHS):
            child = self._living_child()
            try:
                child.load(START_S)
                return child.ask((campaign, documents), timeout_s)
            except TimeoutError:
                if not child.is_loaded:
                    return f"the reducer's process was not ready within {START_S:g} s"
                return f"the reducer took longer than {timeout_s:g} s (reduce.timeout_s): killed"
            except ChildDied as death:
                reason = f"the reducer's process {death}"
                if not death.was_ended_from_outside:
                    break
        return reason

    def _living_child(self) -> AnsweringChild:
        if self._child is None or not self._child.is_alive:
            self._child = AnsweringChild(__name__, str(self._data_dir.resolve()))
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()


def serve() -> None:
    """What the child does: reduce until the parent ends."""
    answer_questions(_loaded)


def _loaded(data_dir: str) -> Callable[[_Question], Reduction | str]:
    import pandas  # noqa: F401  # every reducer is given its tables

    reducer = DocumentReducer(Path(data_dir))

    def reduce(question: _Question) -> Reduction | str:
        campaign, documents = question
        try:
            if campaign.reduce.cluster is not None:
                return reduce_on_cluster(campaign.reduce.cluster, campaign, data_dir, documents)
            return reducer.reduce(campaign, documents)
        except ReductionError as error:
            return str(error)

    return reduce
