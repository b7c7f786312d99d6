"""A lab's RunEngine in the lab's own session, where somebody has called it with a plan of ours.

That plan waits for attempts and yields their messages. Attempts come from a thread beside it, to
which this is what an ``EngineThread`` is to a worker. Between two of them the plan only waits, so
that the RunEngine can be paused and ended as with any other plan.
"""

import asyncio
import logging
import threading
from collections import ChainMap
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from bluesky.preprocessors import SupplementalData, msg_mutator
from bluesky.run_engine import RunEngine
from bluesky.utils import FailedPause, Msg, RunEngineControlException

from orchestrator.adapters.engines.attempt_marks import Begin, End, watched
from orchestrator.adapters.engines.engine import supplemental
from orchestrator.adapters.engines.run_engine import Execution, Messages, Sink, Watch, insist
from orchestrator.domain.errors import PlanAborted, PlanFailed, Unusable

if TYPE_CHECKING:
    from orchestrator.adapters.engines.lab_suspenders import Suspensions

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""Longest wait without a checkpoint, at which the RunEngine pauses when it was asked to."""
NOT_GUARDED = (
    "the plan must be run by the RunEngine that the campaign was given, and nothing may be added "
    "to that one's preprocessors meanwhile"
)
END_S = 60.0
"""Longest time in which the thread beside a plan that was ended may write down how."""


class HostedEngine:
    """The RunEngine of a session.

    Args:
        engine: of the lab; nothing of it is changed for good.
        names: what the session has defined, by name: devices, plans, suspenders.
    """

    def __init__(self, engine: RunEngine, names: MutableMapping[str, Any]) -> None:
        self.engine = engine
        self.made: dict[str, Any] = {}
        """Devices that the session did not have, by name."""
        self.names = ChainMap[str, Any](names, self.made)
        self._news = asyncio.Event()
        self._lock = threading.Lock()
        self._is_open = False
        self._is_busy = False
        """True until the thread has ended."""
        self._is_odd = False
        self._error: BaseException | None = None
        """What the thread raised."""
        self._current: Execution | None = None
        self._hosted: Execution | None = None
        """The attempt whose messages are being yielded."""
        self._afterwards: Callable[[], None] = lambda: None
        self._suspensions: Suspensions | None = None
        self._supplement = SupplementalData()
        self._added: list[tuple[list[Any], Any]] = []

    # As seen by the session

    def guard(self) -> None:
        """Stand last among the RunEngine's preprocessors, for the plan that is called next."""
        if self.engine.state != "idle":
            return  # whoever stands last for the present plan is decided already
        self.unguard()
        self.engine.preprocessors.append(self._watch)

    def unguard(self) -> None:
        """Leave the RunEngine's preprocessors as they were."""
        if self._watch in self.engine.preprocessors:
            self.engine.preprocessors.remove(self._watch)

    def serve(self, work: Callable[[], None]) -> Messages:
        """A plan that obeys what ``work``, in a thread beside it, starts here, until that ends.

        Raises:
            Unusable: the thread of an earlier plan has not ended.
            BaseException: what ``work`` raised, or what has ended the RunEngine's call.
        """
        from ophyd import get_cl

        if self.is_at_work:
            raise Unusable("the last plan of this campaign has not come to its end yet")
        self._is_open, self._is_busy, self._is_odd, self._error = True, True, False, None
        new_thread = get_cl().thread_class  # one that can speak Channel Access
        new_thread(target=self._work, args=(work,), name="campaign", daemon=True).start()
        try:
            while self._is_busy:
                yield from self._next()
        except Exception:
            self._close()
            yield from self._awaited_end()
            raise
        finally:
            self._close()
            self.restore()
        if self._error is not None:
            raise self._error

    @property
    def goes_on(self) -> bool:
        """False once the plan has ended, or is being ended."""
        return self._is_open

    @property
    def is_at_work(self) -> bool:
        """True until the thread beside the last plan has ended, and its attempt is let go of."""
        return self._is_busy or self._hosted is not None

    def afterwards(self, do: Callable[[], None]) -> None:
        """Do this as soon as it is not at work: a paused plan, for example, may go on later."""
        self._afterwards = do
        self._come_to_rest()

    # As seen by the executor

    @property
    def is_idle(self) -> bool:
        """True when it can take a plan, and the last one came to an orderly end."""
        return self._current is None and not self._is_odd

    @property
    def is_held(self) -> bool:
        """True while a person has paused the RunEngine."""
        return self.engine.state == "paused"

    @property
    def loop(self) -> Any:
        """The event loop in which devices that need one live."""
        return self.engine.loop

    def start(self, plan: Messages, sink: Sink, watch: Watch | None = None) -> Execution:
        """See EngineThread.

        Raises:
            PlanFailed: an earlier plan has not ended, or the RunEngine obeys us no more.
        """
        with self._lock:
            if not self._is_open or self._current is not None:
                raise PlanFailed("the RunEngine is not free for a trial", "interrupted")
            self._current = execution = Execution(plan, sink, watch)
        self._tell()
        return execution

    def interrupt(self, execution: Execution, *, halt: bool) -> None:
        """End one attempt; a halt, which runs no clean-up, ends the RunEngine's call with it.

        While the RunEngine is paused that waits until somebody resumes or ends it.
        """
        if halt and not self.is_held:
            order = self.engine.halt
            threading.Thread(target=insist, args=(execution, order), daemon=True).start()
        else:
            self.loop.call_soon_threadsafe(self._throw, execution)

    def rule(self, suspensions: "Suspensions") -> None:
        """Until ``restore``, this decides what a suspender does; afterwards the lab again."""
        self._suspensions = suspensions

    def record(self, baseline: Sequence[Any], monitors: Sequence[Any]) -> None:
        """Until ``restore``, have devices read beside each run.

        A run has one baseline: the lab's own, when it has one, is added to.
        """
        lab = supplemental(self.engine)
        have = [] if lab is None else lab.baseline
        more = [one for one in baseline if not any(one is other for other in have)]
        self._supplement = SupplementalData(baseline=[] if have else more, monitors=list(monitors))
        if have:
            have.extend(more)
            self._added += [(have, one) for one in more]

    # The plan

    def _next(self) -> Messages:
        """Yield the messages of an attempt, if there is one by now."""
        self._news.clear()
        try:
            if self._current is None and self._is_busy:
                yield Msg("wait_for", None, [self._heard])
            yield Msg("checkpoint")  # between two attempts is the best place for a pause
        except Exception as error:
            if not self._obeys(error):
                raise
            log.warning("after an attempt: %s", error)  # such as a move that has failed since
        if (execution := self._current) is not None:
            yield from self._host(execution)

    def _host(self, execution: Execution) -> Messages:
        """One attempt, with its recorder subscribed; raises what ends the RunEngine's call."""
        self._hosted, error, token = execution, None, None
        try:
            try:
                token = yield Msg("subscribe", None, execution.sink, "all")
                is_last = self.engine.preprocessors[-1:] == [self._watch]
                if (yield Msg("null", None, Begin(execution))) is not execution or not is_last:
                    raise Unusable(NOT_GUARDED)
                yield from self._supplement(_named(execution.plan))
            except Exception as raised:
                error = raised
            try:
                yield Msg("null", None, End(error))
            except Exception as raised:  # the same, or what the guard has found at the end
                error = error or raised
            if token is not None:
                with suppress(Exception):  # it would be unsubscribed with the RunEngine's call
                    yield Msg("unsubscribe", None, token)
        except BaseException as raised:  # a halt, above all: nothing can be yielded any more
            self._is_odd, error = True, raised
            raise
        finally:
            execution.plan.close()
            self._hosted = None
            self._let_go(execution, error)
            self._come_to_rest()
        if error is not None and not self._obeys(error):
            raise error

    def _watch(self, plan: Messages) -> Messages:
        """A preprocessor; each campaign has its own."""
        return watched(plan)

    def _let_go(self, execution: Execution, error: BaseException | None) -> None:
        if isinstance(error, (RunEngineControlException, FailedPause, GeneratorExit)):
            text = f"the attempt was ended in the lab's session ({type(error).__name__})"
            execution.error = PlanAborted(text)
        else:
            execution.error = error
        with self._lock:
            self._current = None
        execution.done.set()

    def _throw(self, execution: Execution) -> None:
        """End the attempt as an error of the message that is being obeyed; in the event loop.

        The RunEngine has no call for this. It is how it hears of a failed status.
        """
        if execution.done.is_set():
            return
        if self._hosted is not execution:
            self.loop.call_later(LOOK_S, self._throw, execution)
            return
        engine: Any = self.engine
        with engine._state_lock:  # noqa: SLF001
            engine._exception = PlanAborted("the attempt was ended")  # noqa: SLF001
        if engine.state == "running":
            engine._task.cancel()  # noqa: SLF001

    # The thread beside it

    def _work(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: B036 - whoever runs the plan gets it
            self._error = error
        self._is_busy = False
        self._come_to_rest()
        self._tell()

    def _come_to_rest(self) -> None:
        if not self.is_at_work:
            do, self._afterwards = self._afterwards, lambda: None
            do()

    def _tell(self) -> None:
        self.loop.call_soon_threadsafe(self._news.set)

    async def _heard(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), LOOK_S)

    def _awaited_end(self) -> Messages:
        for _ in range(round(END_S / LOOK_S)):
            if not self._is_busy:
                return
            self._news.clear()
            with suppress(Exception):  # the call is being ended already
                yield Msg("wait_for", None, [self._heard])
        log.error("the campaign's thread has not ended within %g s", END_S)

    def _close(self) -> None:
        """Take no further attempt; one that was not begun may be made another time."""
        with self._lock:
            self._is_open = False
            waiting = self._current
        if waiting is not None:
            self._let_go(waiting, PlanFailed("the plan of the session was ended", "interrupted"))

    def restore(self) -> None:
        """Give the lab its RunEngine back as it was."""
        for devices, one in self._added:
            devices.remove(one)
        self._added = []
        if self._suspensions is not None:
            self._suspensions.release()
            self._suspensions = None

    def _obeys(self, error: BaseException) -> bool:
        """False when an error came because the RunEngine ends its call."""
        ends = isinstance(error, (RunEngineControlException, FailedPause))
        return not ends and self.engine.state == "running"


def _named(plan: Messages) -> Messages:
    """The same plan; its runs have its name, as if the RunEngine had been called with it alone."""
    about = {"plan_name": getattr(plan, "__name__", ""), "plan_type": "generator"}

    def named(message: Msg) -> Msg:
        if message.command != "open_run":
            return message
        return message._replace(kwargs={**about, **message.kwargs})

    return msg_mutator(plan, named)
