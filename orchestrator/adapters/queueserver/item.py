"""One item that a queueserver executes at once: submitted, followed to its end, or ended.

It is never queued: the manager refuses it while anything else runs, and puts nothing back into its
queue when the plan fails, so nothing runs a second time unasked.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.adapters.queueserver.client import NoAnswer, QueueserverClient, Refused
from orchestrator.adapters.queueserver.intake import IDENTITY
from orchestrator.adapters.queueserver.watch import GONE, MANAGER_S, Watch
from orchestrator.adapters.queueserver.worker import POLL_S
from orchestrator.domain.errors import PlanFailed
from orchestrator.domain.spec import QueueserverSpec

log = logging.getLogger(__name__)

RESULT_S = 10.0
"""How long the manager's history may take to have an item that has ended."""


def running_item(client: QueueserverClient) -> dict[str, Any] | None:
    """The item that the manager runs, whoever has submitted it.

    Raises:
        NoAnswer: the manager does not answer.
    """
    return client.ask("queue_get")["running_item"] or None


def identity_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """Which attempt an item is of, by IDENTITY; each None for an item of others."""
    meta = item.get("meta")  # others may give a list of mappings
    return {name: meta.get(name) if isinstance(meta, Mapping) else None for name in IDENTITY}


class Item:
    """An item that the manager has taken.

    Args:
        client: of the manager.
        uid: the manager's own name for it.
    """

    def __init__(self, client: QueueserverClient, uid: str) -> None:
        self._client = client
        self._uid = uid

    @classmethod
    def submit(
        cls, client: QueueserverClient, item: Mapping[str, Any], where: QueueserverSpec
    ) -> "Item":
        """Have it executed.

        Raises:
            PlanFailed: it was refused, so nothing has moved; or whether it was taken cannot be
                told.
        """
        who = {"user": where.user, "user_group": where.user_group}
        try:
            answer = client.ask("queue_item_execute", item=item, **who)
            return cls(client, str(answer["item"]["item_uid"]))
        except Refused as error:
            # Between the look whether it is idle and this, somebody else may have been faster.
            reason = "interrupted" if _is_busy(client) else "plan_failed"
            raise PlanFailed(f"the queueserver refused the item: {error}", reason) from error
        except NoAnswer as error:
            return cls(client, _uid_after_all(client, item, error))

    def follow(
        self,
        deadline_s: float,
        look: Callable[[], bool],
        obey: Callable[[], None],
        announce: Callable[[float], None] = lambda _: None,
    ) -> Mapping[str, Any]:
        """Wait until the manager has done with it; gives the result that its history has.

        Args:
            deadline_s: seconds that the plan may take; while it is paused they do not pass.
            look: takes documents; True when some came.
            obey: raises when a person wants the plan to end.
            announce: told how many seconds are left, again and again while the plan is paused:
                waiting is not hanging.

        Raises:
            WorkerDied: the RE worker died.
            ManagerStuck: the plan is over, and the manager does not get there.
            PlanFailed: the plan takes too long, or the manager stays away.
        """
        watch = Watch(self._client)
        before = time.monotonic()
        deadline = before + deadline_s
        while True:
            if look():
                watch.hear_documents()
            now, status = time.monotonic(), self._status()
            if status is not None:
                if self._is_over(status):
                    return self._result()
                watch.hear_status(status["worker_environment_state"])
                if status["manager_state"] == "paused":  # whoever has paused it has all the time
                    deadline += now - before
                    announce(deadline - now)
            before = now
            watch.look()
            if now > deadline:
                raise PlanFailed(f"the plan took longer than {deadline_s:g} s", "deadline")
            obey()
            time.sleep(POLL_S)

    def end(self, *, halt: bool, grace_s: float) -> str | None:
        """Abort it, or ``halt`` it without its own clean-up; why it runs on, None once it is over.

        Only a plan that is paused can be ended; the RunEngine aborts one that cannot be paused.
        """
        give_up = time.monotonic() + 2 * grace_s  # half to pause, half to clean up
        taken: set[str] = set()
        why = "it has been told, and does not obey in time"
        while time.monotonic() < give_up:
            try:
                status = self._client.status()
                if self._is_over(status):
                    return None
                if status["manager_state"] != "paused":
                    order, how = "re_pause", {"option": "immediate"}
                else:
                    order, how = "re_halt" if halt else "re_abort", {}
                if order not in taken:
                    self._client.ask(order, **how)
                    taken.add(order)
            except (NoAnswer, Refused) as error:  # it has not begun yet, or others have locked it
                why = str(error)
            time.sleep(POLL_S)
        log.warning("the item could not be ended: %s", why)
        return why

    def _is_over(self, status: Mapping[str, Any]) -> bool:
        """Also when the manager runs something else since, as it does by itself on autostart."""
        running = status["running_item_uid"]
        is_at_rest = status["manager_state"] == "idle"
        return running != self._uid and (running is not None or is_at_rest)

    def _status(self) -> dict[str, Any] | None:
        """The manager's status; None while it does not answer: a plan goes on without it."""
        try:
            return self._client.status()
        except NoAnswer as error:
            log.warning("%s", error)
            return None

    def _result(self) -> dict[str, Any]:
        give_up = time.monotonic() + RESULT_S
        while time.monotonic() < give_up:
            with contextlib.suppress(NoAnswer, Refused):
                for item in reversed(self._client.history()):
                    if item["item_uid"] == self._uid:
                        return dict(item["result"])
            time.sleep(POLL_S)
        raise PlanFailed("the queueserver's history lacks the item: was it cleared?", GONE)


def _is_busy(client: QueueserverClient) -> bool:
    try:
        return client.status()["manager_state"] != "idle"
    except NoAnswer:
        return False


def _uid_after_all(client: QueueserverClient, item: Mapping[str, Any], why: NoAnswer) -> str:
    """The uid of an item that may have been taken before the answer was lost.

    Raises:
        PlanFailed: it was not, or that cannot be told.
    """
    wanted = identity_of(item)
    give_up = time.monotonic() + MANAGER_S
    while time.monotonic() < give_up:
        try:
            known = [*client.history(), running_item(client) or {}]
        except (NoAnswer, Refused):
            time.sleep(POLL_S)
            continue
        for one in reversed(known):
            if identity_of(one) == wanted:
                return str(one["item_uid"])
        raise PlanFailed(f"the item was not taken: {why}", GONE)
    raise PlanFailed(f"whether the item was taken is not known: {why}", GONE)
