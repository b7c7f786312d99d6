"""Looks, without moving anything, whether a campaign could run on its queueserver."""

from collections.abc import Iterator
from contextlib import closing

from orchestrator.adapters.queueserver.client import NoAnswer, QueueserverClient, Refused
from orchestrator.adapters.queueserver.documents import silence
from orchestrator.adapters.queueserver.plans import allowed, misfits
from orchestrator.adapters.queueserver.worker import OPENING
from orchestrator.domain.errors import Problem, near
from orchestrator.domain.spec import CampaignSpec, QueueserverSpec


def look(campaign: CampaignSpec, where: QueueserverSpec) -> tuple[list[Problem], list[Problem]]:
    """What is wrong, and what should be known before the start.

    Only questions are asked that any client may ask at any time.
    """
    warnings: list[Problem] = []
    with closing(QueueserverClient(where)) as client:
        try:
            problems = list(_problems(client, campaign, where))
            warnings += _warnings(client, campaign, where)
        except (NoAnswer, Refused) as error:
            problems = [Problem("queueserver", str(error))]
    if (why := silence(where.documents)) is not None:
        problems.append(Problem("queueserver.documents", why))
    return problems, warnings


def _problems(
    client: QueueserverClient, campaign: CampaignSpec, where: QueueserverSpec
) -> Iterator[Problem]:
    status = client.status()
    if not status["worker_environment_exists"]:
        if not where.restart_environment:
            yield Problem("queueserver", f"it has no RE worker environment; {OPENING}")
        return  # what is allowed is known once there is one
    yield from misfits(campaign, allowed(client, "plans", where.user_group))


def _warnings(
    client: QueueserverClient, campaign: CampaignSpec, where: QueueserverSpec
) -> Iterator[Problem]:
    status = client.status()
    if not status["worker_environment_exists"]:
        text = "it has no environment yet: whether the plan is allowed is known once it is open"
        yield Problem("queueserver", text)
        return
    if status["manager_state"] != "idle":
        yield Problem("queueserver", f"it is busy: {status['manager_state']}; trials would wait")
    if status["items_in_queue"]:
        count = status["items_in_queue"]
        started = "goes on by itself between" if status["queue_autostart_enabled"] else "waits for"
        text = f"{count} items of others are in the queue, which {started} trials"
        yield Problem("queueserver", text)
    if status["lock"]["environment"]:
        yield Problem("queueserver", "its environment is locked; trials would wait")
    devices = allowed(client, "devices", where.user_group)
    for name, parameter in campaign.parameters.items():
        path = parameter.device
        if path is not None and path.split(".")[0] not in devices:
            text = f"{path!r} is no device that the queueserver allows{near(path, devices)}"
            yield Problem(f"parameters.{name}.device", text)
    try:
        client.ask("re_metadata")
    except Refused as error:
        text = f"whether its RE worker lives cannot be asked ({error}), so a death goes unnoticed"
        yield Problem("queueserver", f"{text} until the plan takes too long")
