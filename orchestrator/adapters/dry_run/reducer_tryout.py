"""A campaign's reducer, tried on what the fakes of its instrument have read.

These readings are made up, so a reducer that makes nothing of them may be sound all the same.
"""

import time
from collections.abc import Sequence

from orchestrator.adapters.documents.run_documents import NoSuchStream, Run
from orchestrator.adapters.dry_run.unknown_columns import asked_in_vain
from orchestrator.adapters.lab_code.plan_catalog import find_reducer
from orchestrator.adapters.lab_code.plan_lines import line_of_error, line_of_plan
from orchestrator.adapters.reduction.reducer import reduced
from orchestrator.adapters.walks.endless import Endless, at_most
from orchestrator.adapters.walks.message_walk import Walked
from orchestrator.domain.errors import ReductionError
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec

REDUCTIONS = 3
"""Trials that the reducer is tried on: a table of data takes longer than a plan."""
REDUCE_S = 20.0
"""Seconds of this computer for one of them; less than the whole answer may take."""

Told = list[tuple[str, str | None]]
"""Texts, each with the ``file:line`` that it is about, or None."""


class ReducerTryout:
    """Tries the reducer on the first few trials. One that reduces elsewhere is not tried."""

    def __init__(self, campaign: CampaignSpec) -> None:
        self._campaign = campaign
        self._left = 0 if campaign.reduce.where == "external" else REDUCTIONS
        self.shortest_s: float | None = None
        """The shortest time that it took; None while it gave no outcomes."""

    def reduce(self, walked: Walked, instrument: InstrumentSpec) -> tuple[Told, Told]:
        """What is wrong with the reducer, and why it could not be tried.

        Both are empty when all is well, and once it was tried ``REDUCTIONS`` times.

        Args:
            walked: a trial, without problems.
            instrument: with what is read beside each run.
        """
        problems: Told = []
        untried: Told = []
        if self._left == 0:
            return problems, untried
        self._left -= 1
        reducer = find_reducer(self._campaign)
        before, began = _content(walked.runs), time.monotonic()
        try:
            with at_most(REDUCE_S):
                reduced(self._campaign, lambda: walked.runs)
            self.shortest_s = min(time.monotonic() - began, self.shortest_s or REDUCE_S)
        except Endless as error:
            self._left = 0  # each further one would take as long
            text = f"{reducer.__name__} has not ended after {REDUCE_S:g} s"
            untried.append((text, line_of_error(error) or line_of_plan(reducer)))
        except ReductionError as error:
            line = line_of_error(error) if error.__cause__ else line_of_plan(reducer)
            if (asked := _asked_in_vain(error.__cause__, walked, instrument)) is not None:
                problems.append((f"{reducer.__name__} asks for what is not there: {asked}", line))
            elif "raised" in str(error) or "not finite" in str(error) or "no mean" in str(error):
                untried.append((str(error), line or line_of_plan(reducer)))
            else:
                problems.append((str(error), line))
        if _content(walked.runs) != before:
            text = "changes the runs that it is given; it must give outcomes and leave them alone"
            problems.append((f"{reducer.__name__} {text}", line_of_plan(reducer)))
        return problems, untried


def _asked_in_vain(
    error: BaseException | None, walked: Walked, instrument: InstrumentSpec
) -> str | None:
    """What no run of this plan has and the reducer asks for; None when that is not certain."""
    if isinstance(error, NoSuchStream):
        beside = instrument.baseline or instrument.monitors or instrument.has_lab_engine
        may_be_there = walked.hides_streams or beside
    else:
        may_be_there = walked.hides_columns
    return None if may_be_there else asked_in_vain(error, walked.runs)


def _content(runs: Sequence[Run]) -> str:
    """All that a reducer could change in its runs, as a text: in one, NaN equals itself."""
    return repr(
        [
            (run.start, run.stop, [(name, run[name].to_dict("list")) for name in run.streams])
            for run in runs
        ]
    )
