"""Proposals with a deadline: the model lives in a child process, so that nobody waits for it.

The child imports Ax and torch; the parent never does. A suggestion is a pure function of what is
known, so a child that dies is replaced and asked again, and an answer that comes too late is
kept in case the same question is asked once more.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, field, replace

from orchestrator.adapters.optimizers.optimizer_identity import (
    optimizer_code,
    registered,
    with_code,
)
from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer
from orchestrator.adapters.processes.answering_child import (
    MOST_DEATHS,
    AnsweringChild,
    ChildDied,
    answer_questions,
)
from orchestrator.domain.errors import OptimizerError, SuggestionLate
from orchestrator.domain.proposal import Knowledge, Suggestion
from orchestrator.domain.spec import CampaignSpec
from orchestrator.ports import Optimizer

HANGS = 20.0
"""A suggestion that takes so many times longer than the slowest before it hangs."""
LEAST_DEADLINE_S = 60.0
"""Below this none is taken for hanging."""
NICENESS = 5
"""How far the child gives way to the processes of the instrument."""


@dataclass
class _Question:
    known: Knowledge
    answer: "Future[Suggestion]" = field(default_factory=Future)

    def fits(self, known: Knowledge) -> bool:
        """True when its answer will do. The basis only says where the knowledge was read."""
        failed = self.answer.done() and self.answer.exception() is not None
        return not failed and replace(self.known, basis=known.basis) == known


class OptimizerProcess:
    """Asks the optimizer that is registered under a name, and stops waiting at the deadline.

    Space-filling proposals are made at once, in this process. Of the questions to the model one
    is worked on, and one waits, which is always the latest.
    """

    def __init__(self, method: str, deadline_s: float | None = None) -> None:
        """``auto`` means ax; sobol needs no child.

        ``deadline_s`` is the longest time that one suggestion, or loading, may take: then the
        child is killed, and the next question gets another one. Once there was an answer, a
        suggestion that takes 20 times longer, and a minute at least, ends like that too: of the
        points that stand in meanwhile none is worth much. None lets it take any time.

        Raises:
            OptimizerError: no optimizer is registered under this name.
        """
        self._deadline_s = deadline_s
        self._entry = None if method == "sobol" else registered(method)
        self._changed = threading.Condition()
        self._waiting: _Question | None = None
        self._latest: _Question | None = None
        """The question that is worked on or, when none is, was the last."""
        self._child: AnsweringChild | None = None
        self._thread: threading.Thread | None = None
        self._slowest_s: float | None = None
        self._is_closed = False

    def suggest(self, known: Knowledge, timeout_s: float | None = None) -> Suggestion:
        """As ports.PatientOptimizer.

        Raises:
            SuggestionLate: not ready within ``timeout_s``, or a newer question took its place.
            OptimizerError: there is none, three children died over it, or it took too long.
        """
        if self._entry is None or known.trial_id <= known.spec.initial_trials:
            return space_filling(known)
        question = self._ask(known)
        try:
            return question.answer.result(timeout_s)
        except TimeoutError:
            text = f"no proposal for trial {known.trial_id} within {timeout_s} s"
            raise SuggestionLate(text) from None
        except CancelledError:
            text = f"the question for trial {known.trial_id} gave way to a newer one"
            raise SuggestionLate(text) from None

    def fallback(self, known: Knowledge, reason: str) -> Suggestion:
        """A space-filling point, at once; ``reason`` is kept in its details.

        Raises:
            OptimizerError: the constraints leave no room for one.
        """
        point = space_filling(known)
        source = "initial" if known.trial_id <= known.spec.initial_trials else "fallback"
        return replace(point, source=source, details={**point.details, "reason": reason})

    def warm_up(self, spec: CampaignSpec) -> None:
        """Start the child, which imports what a model needs, if the budget goes as far as that."""
        if self._entry is not None and spec.budget.trials > spec.initial_trials:
            with self._changed:
                self._start()

    def close(self) -> None:
        """End the child at once, even in the midst of a fit. Nothing can be asked afterwards."""
        with self._changed:
            self._is_closed = True
            if self._waiting is not None:
                self._waiting.answer.cancel()
            self._changed.notify_all()
            child, thread = self._child, self._thread
        if child is not None:
            child.end()
        if thread is not None:
            thread.join()

    def _ask(self, known: Knowledge) -> _Question:
        with self._changed:
            for question in (self._latest, self._waiting):
                if question is not None and question.fits(known):
                    return question
            if self._waiting is not None:
                self._waiting.answer.cancel()
            self._waiting = _Question(known)
            self._start()
            self._changed.notify_all()
            return self._waiting

    def _start(self) -> None:
        if self._is_closed:
            raise OptimizerError("the optimizer was closed")
        if self._thread is None:
            # Linux ends the child when the thread that started it ends, so it has one of its own.
            self._thread = threading.Thread(target=self._work, name="optimizer", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        with suppress(OptimizerError, ChildDied, TimeoutError):
            self._living_child().load(self._deadline_s)
        while (question := self._next()) is not None:
            try:
                question.answer.set_result(self._answered(question.known))
            except Exception as error:  # the edge of this thread: the one who asked gets it
                question.answer.set_exception(
                    error if isinstance(error, OptimizerError) else OptimizerError(str(error))
                )

    def _next(self) -> _Question | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._is_closed)
            if self._is_closed or self._waiting is None:
                return None
            self._latest, self._waiting = self._waiting, None
            self._latest.answer.set_running_or_notify_cancel()
            return self._latest

    def _answered(self, known: Knowledge) -> Suggestion:
        for _ in range(MOST_DEATHS):
            child = self._living_child()
            with suppress(ChildDied):
                answer = self._heard(child, known)
                if isinstance(answer, Suggestion):
                    return answer
                raise OptimizerError(answer)
        raise OptimizerError(
            f"the optimizer's process died {MOST_DEATHS} times over trial {known.trial_id}"
        )

    def _heard(self, child: AnsweringChild, known: Knowledge) -> Suggestion | str:
        longest_s = self._deadline_s
        if longest_s is not None and self._slowest_s is not None:
            longest_s = min(longest_s, max(LEAST_DEADLINE_S, HANGS * self._slowest_s))
        try:
            child.load(self._deadline_s)
            begin = time.monotonic()
            answer = child.ask(known, longest_s)
        except TimeoutError:
            raise OptimizerError(
                f"thinking about trial {known.trial_id} took longer than {longest_s} s"
            ) from None
        self._slowest_s = max(self._slowest_s or 0.0, time.monotonic() - begin)
        return answer

    def _living_child(self) -> AnsweringChild:
        with self._changed:
            if self._is_closed or self._entry is None:
                raise OptimizerError("the optimizer was closed")
            if self._child is None or not self._child.is_alive:
                one_thread = {"OMP_NUM_THREADS": "1"}
                self._child = AnsweringChild(__name__, self._entry.name, environment=one_thread)
            return self._child


def space_filling(known: Knowledge) -> Suggestion:
    """The trial's point of the campaign's Sobol sequence, with the code that gives it.

    Raises:
        OptimizerError: the constraints leave no room for one.
    """
    return with_code(SobolOptimizer().suggest(known), "sobol")


class OptimizerHere:
    """The same points in this very process, for who can wait and reads no details.

    Raises:
        OptimizerError: no optimizer is registered under this name.
    """

    def __init__(self, method: str) -> None:
        self._optimizer: Optimizer | None = None
        if method != "sobol":
            full = registered(method).load()()
            self._optimizer = getattr(full, "without_quality", lambda: full)()
            getattr(self._optimizer, "warm_up", lambda: None)()

    def suggest(self, known: Knowledge) -> Suggestion:
        """Parameters as OptimizerProcess.suggest gives them, however long it takes.

        Raises:
            OptimizerError: there is none.
        """
        if self._optimizer is None or known.trial_id <= known.spec.initial_trials:
            return SobolOptimizer().suggest(known)
        return self._optimizer.suggest(known)


def serve() -> None:
    """What the child does: suggest until the parent ends."""
    answer_questions(_loaded, NICENESS)


def _loaded(method: str) -> Callable[[Knowledge], Suggestion | str]:
    """The optimizer's ``suggest``, which says in words what goes wrong."""
    value = method
    try:
        entry = registered(method)
        value = entry.value
        optimizer = entry.load()()
        getattr(optimizer, "warm_up", lambda: None)()
        for one in (method, "sobol"):
            optimizer_code(one)  # of what was loaded, whatever becomes of its files
    except Exception as error:  # the edge of the process
        message = f"{value} cannot be used: {type(error).__name__}: {error}"
        return lambda known: message

    def suggest(known: Knowledge) -> Suggestion | str:
        try:
            found = optimizer.suggest(known)
            is_spread = found.details.get("method") == "sobol"
            return with_code(found, "sobol" if is_spread else method)
        except OptimizerError as error:
            return str(error)
        except Exception as error:  # the edge of the process
            return f"{value} failed: {type(error).__name__}: {error}"

    return suggest
