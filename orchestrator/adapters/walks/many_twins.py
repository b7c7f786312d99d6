"""Measures on many twins at once: in this process, or in a few that are kept meanwhile."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator.adapters.processes.answering_child import (
    AnsweringChild,
    ChildDied,
    answer_questions,
)
from orchestrator.adapters.processes.run_processes import ONE_THREAD
from orchestrator.adapters.walks.twin_in_process import Found, Twin, found_by, twins_in_process
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.domain.trial import ParameterValue

Asked = Mapping[int, Mapping[str, ParameterValue]]
"""The parameters of a trial, by the number of the twin that carries it out."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Twins, numbered from 0 as their seeds are."""

    campaign: CampaignSpec
    """Its seed does not count."""
    instrument: InstrumentSpec
    seeds: Sequence[int]
    """Of the twins' noise."""


class Twins(Protocol):
    """Twins that measure at once. What a twin gives depends on its own seed and trials alone."""

    def make(self, wanted: Wanted) -> None:
        """Have these twins, as new, in the place of those that there were.

        Raises:
            Unusable: as ``twins_in_process`` says.
        """
        ...

    def measure(self, asked: Asked) -> dict[int, Found | ChildDied]:
        """Carry out a trial on each of these twins."""
        ...


class TwinsHere:
    """Twins in this process, one after another."""

    def __init__(self) -> None:
        self._twins: Sequence[Twin] = ()

    def make(self, wanted: Wanted) -> None:
        """See Twins."""
        self._twins = twins_in_process(wanted.campaign, wanted.instrument, wanted.seeds)

    def measure(self, asked: Asked) -> dict[int, Found | ChildDied]:
        """See Twins."""
        return {number: found_by(self._twins[number], at) for number, at in asked.items()}


class TwinsInProcesses:
    """Twins dealt out to processes, in turn; each keeps its own."""

    def __init__(self, children: Sequence[AnsweringChild], ask: ThreadPoolExecutor) -> None:
        self._children = children
        self._ask = ask

    def make(self, wanted: Wanted) -> None:
        """See Twins. A process that ends over it is told by ``measure``."""
        count = len(self._children)
        self._answers(
            [
                Wanted(wanted.campaign, wanted.instrument, wanted.seeds[place::count])
                for place in range(count)
            ]
        )

    def measure(self, asked: Asked) -> dict[int, Found | ChildDied]:
        """See Twins."""
        count = len(self._children)
        shares: list[Asked] = [
            {number // count: at for number, at in asked.items() if number % count == place}
            for place in range(count)
        ]
        answers = self._answers(shares)
        found: dict[int, Found | ChildDied] = {}
        for number in asked:
            answer = answers[number % count]
            found[number] = answer if isinstance(answer, ChildDied) else answer[number // count]
        return found

    def _answers(self, questions: Sequence[Any]) -> list[Any]:
        """What each process says to its question, at the same time."""
        return list(self._ask.map(_answer, self._children, questions))


@contextmanager
def many_twins(processes: int) -> Iterator[Twins]:
    """Twins in so many processes, at least 1, which end with the block; 1 stands for this one."""
    if processes == 1:
        yield TwinsHere()
        return
    with ThreadPoolExecutor(processes) as threads:
        children = [AnsweringChild(__name__, environment=ONE_THREAD) for _ in range(processes)]
        try:
            yield TwinsInProcesses(children, threads)
        finally:
            for child in children:  # a thread that waits for its answer goes on then
                child.end()


def _answer(child: AnsweringChild, question: Any) -> Any:
    try:
        child.load()
        return child.ask(question)
    except ChildDied as death:
        return death


def serve() -> None:
    """What a process of ``many_twins`` does."""
    answer_questions(_loaded)


def _loaded() -> Callable[[Wanted | Asked], Any]:
    twins = TwinsHere()

    def answer(question: Wanted | Asked) -> Any:
        return twins.make(question) if isinstance(question, Wanted) else twins.measure(question)

    return answer
