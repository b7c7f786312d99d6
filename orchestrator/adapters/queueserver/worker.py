"""The RE worker of a queueserver: whether it is there, whether it lives, and how to start it anew.

The manager does not notice that its worker has died. But it passes the question for the RunEngine's
metadata on, which takes nothing from a plan that runs, and only a live worker answers.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.adapters.queueserver.client import NoAnswer, QueueserverClient, Refused

log = logging.getLogger(__name__)

POLL_S = 0.1
"""Seconds between two looks at the manager, which looks at its worker every 0.5."""
DEAD_S = 10.0
"""Without an answer for so long, a worker counts as dead."""
ENVIRONMENT_S = 120.0
"""Longest time that an environment may take to open or to be destroyed."""
OPENING = "'qserver environment open' opens one"
"""What an operator does when there is no worker."""
RENEWAL = "'qserver environment destroy', then 'qserver environment open', start a new one"
"""What an operator does about a worker that is dead."""


def answers(client: QueueserverClient) -> bool:
    """True unless the worker is asked and does not answer.

    A manager that cannot pass the question on tells nothing either way.

    Raises:
        NoAnswer: the manager itself does not answer.
    """
    try:
        client.ask("re_metadata")
    except Refused as error:
        return "timeout" not in str(error).lower()
    return True


def is_dead(client: QueueserverClient) -> bool:
    """True when there is an environment whose worker gives no answer for DEAD_S.

    Raises:
        NoAnswer: the manager itself does not answer.
    """
    if not client.status()["worker_environment_exists"]:
        return False
    give_up = time.monotonic() + DEAD_S
    while not answers(client):
        if time.monotonic() >= give_up:
            return True
    return False


def renew(client: QueueserverClient) -> None:
    """Kill a worker that is dead, and open an environment when there is none.

    Raises:
        NoAnswer: the manager does not answer, or not what it should, in time.
        Refused: it will not, as when somebody has locked it.
    """
    if is_dead(client):
        log.warning("the RE worker is dead: its environment is destroyed")
        client.ask("environment_destroy")
    await_status(client, lambda status: "environment" not in status["manager_state"], ENVIRONMENT_S)
    if not client.status()["worker_environment_exists"]:
        log.warning("an environment is opened")
        client.ask("environment_open")
        await_status(client, lambda status: status["manager_state"] == "idle", ENVIRONMENT_S)


def await_status(
    client: QueueserverClient, is_reached: Callable[[Mapping[str, Any]], bool], longest_s: float
) -> None:
    """Until the manager's status is as wanted, however often it does not answer meanwhile.

    Raises:
        NoAnswer: it is not within ``longest_s``.
    """
    give_up, why = time.monotonic() + longest_s, "it is not where it should be"
    while True:
        try:
            if is_reached(client.status()):
                return
        except NoAnswer as error:
            why = str(error)
        if time.monotonic() >= give_up:
            raise NoAnswer(f"{why} ({longest_s:g} s)")
        time.sleep(POLL_S)
