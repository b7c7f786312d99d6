"""Trials that a person measures: where a worker would run a plan, this asks and waits."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.adapters.documents.hand_documents import write_by_hand
from orchestrator.adapters.execution.bluesky_executor import BlueskyExecutor
from orchestrator.domain.errors import ExecutionError, PlanAborted, PlanFailed
from orchestrator.domain.trial import Outcome
from orchestrator.ports import Ask, Evidence, PlanRequest, Traces

POLL_S = 0.5
"""Seconds between two looks at orders while the person measures."""
LONGEST_S = 7 * 24 * 3600.0
"""How long that may take, for whoever looks at the instrument's state."""


class HandExecutor:
    """ports.Executor with a person in the place of plans.

    Args:
        data_dir: the data folder.
        devices: gives what observes the instrument, for when an earlier worker has left it in an
            unknown state; devices are connected only then.
    """

    def __init__(self, data_dir: Path, devices: Callable[[], BlueskyExecutor]) -> None:
        self._data_dir = data_dir
        self._new = devices
        self._observer: BlueskyExecutor | None = None
        self._answered = threading.Event()
        self._answer: Mapping[str, Outcome] | ExecutionError | None = None
        self.asked = threading.Event()
        """Set once a trial is to be measured."""
        self.request: PlanRequest | None = None
        """The trial; None before it is asked for, and after its end."""

    def answer(self, outcomes: Mapping[str, Outcome] | ExecutionError) -> None:
        """What the person has measured, or why nothing."""
        self._answer = outcomes
        self._answered.set()

    @property
    def is_answered(self) -> bool:
        """True once there is an answer, which is for one trial."""
        return self._answered.is_set()

    def load(self) -> None:
        """Nothing is needed."""

    def connect(self) -> None:
        """Nothing is needed, as long as the instrument is in a known state."""

    def deadline_s(self, request: PlanRequest) -> float:
        """A week."""
        return LONGEST_S

    def run(
        self, request: PlanRequest, order: Callable[[], str | None], ask: Ask | None = None
    ) -> Evidence:
        """Wait for the person's answer, and write it down.

        Raises:
            PlanAborted: the campaign was aborted meanwhile.
            ExecutionError: the person says that nothing was measured.
            PlanFailed: the answer could not be saved.
        """
        self.request = request
        self.asked.set()
        try:
            while not self._answered.wait(POLL_S):
                if order() in ("aborting", "halting"):
                    raise PlanAborted("the campaign was aborted")
        finally:
            self.request = None
        answer = self._answer
        if answer is None or isinstance(answer, ExecutionError):
            raise answer or PlanFailed("there is no answer")
        return write_by_hand(self._data_dir, request.documents, request.metadata, answer)

    def tripped(self) -> str | None:
        """None: whether conditions allow to measure is for the person to say."""
        return None

    def quiet(self) -> None:
        """Nothing to do: what a person has moved is a person's business."""

    def park(self) -> None:
        """Nothing is parked."""

    def observe(self) -> str | None:
        """See ports.Executor."""
        return self._devices().observe()

    def traces(self) -> Traces | None:
        """See ports.Executor."""
        return self._new().traces()

    def is_whole(self, traces: Traces) -> bool:
        """See ports.Executor."""
        return self._new().is_whole(traces)

    def restore(self, traces: Traces) -> list[str]:
        """See ports.Executor."""
        return self._devices().restore(traces)

    def accept(self) -> None:
        """See ports.Executor."""
        self._new().accept()

    def differences(self, traces: Traces) -> list[str]:
        """See ports.Executor."""
        return self._devices().differences(traces)

    @property
    def is_connected(self) -> bool:
        """True unless a device that had to be observed has been lost."""
        return self._observer is None or self._observer.is_connected

    @property
    def is_reusable(self) -> bool:
        """True: a person always is."""
        return True

    def _devices(self) -> BlueskyExecutor:
        if self._observer is None:
            observer = self._new()
            observer.connect()
            observer.quiet()  # it is looked at only after a crash
            self._observer = observer
        return self._observer
