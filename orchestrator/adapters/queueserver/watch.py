"""Who was heard when while a queueserver runs a plan, and what their silence means."""

import time

from orchestrator.adapters.queueserver.client import NoAnswer, QueueserverClient
from orchestrator.adapters.queueserver.worker import DEAD_S, answers
from orchestrator.domain.errors import PlanFailed

ASK_S = 1.0
"""Seconds between two questions to the RE worker while it sends no documents."""
MANAGER_S = 60.0
"""How long the manager may stay silent while a plan runs; its watchdog restarts it in about 5."""
STUCK_S = 30.0
"""How long the RE worker may be idle while the manager says that it runs the plan."""
GONE = "device_disconnected"
"""The reason of an attempt that ended because something was out of reach."""


class WorkerDied(PlanFailed):
    """The RE worker died while the plan ran."""


class ManagerStuck(PlanFailed):
    """The RE worker has done with the plan, and the manager takes no note of it."""


class Watch:
    """Watches the manager and its RE worker, from now until the plan is over."""

    def __init__(self, client: QueueserverClient) -> None:
        self._client = client
        now = time.monotonic()
        self._manager_heard = now
        self._worker_heard = now
        self._worker_asked = now
        self._worker_busy = now

    def hear_documents(self) -> None:
        """Documents came, so the RE worker lives."""
        self._worker_heard = time.monotonic()

    def hear_status(self, worker_state: str) -> None:
        """The manager has answered; ``worker_state`` is what it says of its worker.

        A worker that is silent is asked: the manager itself does not notice that it has died.
        """
        now = time.monotonic()
        self._manager_heard = now
        if worker_state != "idle":
            self._worker_busy = now
        if now - max(self._worker_heard, self._worker_asked) > ASK_S:
            self._worker_asked = now
            if self._worker_answers():
                self._worker_heard = now

    def look(self) -> None:
        """Pass while all that is needed is there.

        Raises:
            WorkerDied: the RE worker has died.
            ManagerStuck: the plan is over, and the manager does not get there.
            PlanFailed: the manager stays away.
        """
        if time.monotonic() - self._manager_heard > MANAGER_S:
            message = f"the queueserver has not answered for {MANAGER_S:g} s while a plan ran"
            raise PlanFailed(message, GONE)
        # Of the worker nothing can be known while the manager is silent.
        if self._manager_heard - self._worker_heard > DEAD_S:
            raise WorkerDied("the RE worker of the queueserver died while the plan ran", GONE)
        if self._manager_heard - self._worker_busy > STUCK_S:
            message = "the queueserver's worker is idle, but its manager says that the plan runs"
            raise ManagerStuck(f"{message}: look at the manager and its Redis", GONE)

    def _worker_answers(self) -> bool:
        try:
            return answers(self._client)
        except NoAnswer:
            return False
