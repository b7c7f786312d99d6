"""A RunEngine in a thread of its own, which can be interrupted and never hangs its owner."""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from bluesky.run_engine import (
    RunEngine,
    TransitionError,  # pyright: ignore[reportPrivateImportUsage]
)
from bluesky.utils import Msg

from orchestrator.adapters.documents.document_validation import compile_validators
from orchestrator.adapters.engines.engine import make_unattended, new_engine
from orchestrator.domain.errors import PlanFailed

Sink = Callable[[str, Mapping[str, Any]], None]

Messages = Generator[Msg, Any, Any]

Watch = Callable[[Messages], Messages]
"""What stands between all messages and the RunEngine, those of its preprocessors included."""

_RETRY_S = 0.02


class Execution:
    """One plan on its way through the RunEngine."""

    def __init__(self, plan: Messages, sink: Sink, watch: Watch | None = None) -> None:
        self.plan = plan
        self.sink = sink
        self.watch = watch
        self.done = threading.Event()
        """Set when the RunEngine has let go of the plan, clean-up included."""
        self.error: BaseException | None = None
        """Why it failed; None once it is done and has succeeded."""


class EngineThread:
    """Runs one plan at a time.

    ``stop`` of the RunEngine is never used: it records an unfinished run as a success.

    Args:
        engine: the lab's RunEngine, which must be idle; None for a plain one.
    """

    def __init__(self, engine: RunEngine | None = None) -> None:
        compile_validators()
        self._queue: SimpleQueue[Execution] = SimpleQueue()
        self._engine = engine or new_engine()
        make_unattended(self._engine)
        self._engine.subscribe(self._emit)
        self._current: Execution | None = None
        self._thread = threading.Thread(target=self._work, name="RunEngine", daemon=True)
        self._thread.start()

    @property
    def is_idle(self) -> bool:
        """True when it can take a plan."""
        return self._current is None and self._thread.is_alive() and self._engine.state == "idle"

    @property
    def is_held(self) -> bool:
        """False: nobody pauses it."""
        return False

    @property
    def loop(self) -> Any:
        """The event loop in which devices that need one live."""
        return self._engine.loop

    def start(self, plan: Messages, sink: Sink, watch: Watch | None = None) -> Execution:
        """Begin to run a plan; its documents go to ``sink``.

        ``watch`` sees each message before the RunEngine does, also those that the lab's own
        preprocessors add.

        Raises:
            PlanFailed: an earlier plan has not ended.
        """
        if not self.is_idle:
            raise PlanFailed(f"the RunEngine is not free: it is {self._engine.state}")
        self._current = execution = Execution(plan, sink, watch)
        self._queue.put(execution)
        return execution

    def interrupt(self, execution: Execution, *, halt: bool) -> None:
        """Abort the plan, or halt it (without its clean-up); returns at once.

        It may take long: a device that blocks cannot be interrupted by anything.
        """
        order = self._engine.halt if halt else self._engine.abort
        threading.Thread(target=insist, args=(execution, order), daemon=True).start()

    def _work(self) -> None:
        while True:
            execution = self._queue.get()
            try:
                with self._watched(execution.watch):
                    self._engine(execution.plan)
            except BaseException as error:  # noqa: B036 - it goes to whoever waits for the plan
                execution.error = error
            if self._engine.state == "paused":  # nobody is there to resume
                self._engine.abort("paused")
            self._current = None
            execution.done.set()

    @contextmanager
    def _watched(self, watch: Watch | None) -> Iterator[None]:
        """Make it the last preprocessor, which is the outermost, for one plan."""
        before = self._engine.preprocessors
        self._engine.preprocessors = [*before, *([] if watch is None else [watch])]
        try:
            yield
        finally:
            self._engine.preprocessors = before

    def _emit(self, name: str, document: Mapping[str, Any]) -> None:
        execution = self._current
        if execution is None:
            return
        try:
            execution.sink(name, document)
        except Exception:
            if self._engine.ignore_callback_exceptions:  # as a lab's RunEngine may be told to
                self.interrupt(execution, halt=False)
            raise


def insist(execution: Execution, order: Callable[[], Any]) -> None:
    """Give the order once. It is refused when the plan has not begun or has just ended."""
    while not execution.done.wait(_RETRY_S):
        try:
            order()
        except TransitionError:
            continue
        return
