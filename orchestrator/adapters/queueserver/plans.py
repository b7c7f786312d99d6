"""What a queueserver says of its plans: whether a campaign fits, and the item that runs a trial."""

import inspect
from collections.abc import Mapping
from typing import Any

from orchestrator.adapters.documents.plain import encode
from orchestrator.adapters.lab_code.plan_catalog import bound, call_problems
from orchestrator.adapters.queueserver.client import QueueserverClient
from orchestrator.domain.errors import PlanFailed, Problem, near
from orchestrator.domain.queueserver_rules import PLANS
from orchestrator.domain.spec import CampaignSpec
from orchestrator.ports import PlanRequest

SETTINGS = "settings"
"""Argument of a plan that takes what is bound to devices: a mapping of names to numbers."""


def allowed(client: QueueserverClient, kind: str, user_group: str) -> Mapping[str, Any]:
    """What a group of users may use, by name; ``kind`` is plans or devices.

    Raises:
        NoAnswer: the manager does not answer.
        Refused: it does not know the group.
    """
    answer = client.ask(f"{kind}_allowed", user_group=user_group)
    return answer[f"{kind}_allowed"]


def misfits(campaign: CampaignSpec, plans: Mapping[str, Any]) -> list[Problem]:
    """Why a campaign cannot be measured with the plans that are allowed; empty when it can."""
    name = campaign.plan.name.removeprefix(PLANS)
    if name not in plans:
        message = f"the queueserver allows no plan {name!r}{near(name, plans)}"
        return [Problem("plan.name", message)]
    signature = _signature(plans[name])
    problems = call_problems(campaign, signature)
    bound_to_devices = [one for one, p in campaign.parameters.items() if p.device is not None]
    if bound_to_devices and SETTINGS not in signature.parameters:
        message = (
            f"plan {name!r} has no argument '{SETTINGS}', which takes what is bound to devices "
            "(a mapping of names to numbers); bind the parameter with 'arg' instead"
        )
        problems.append(Problem(f"parameters.{bound_to_devices[0]}.device", message))
    return problems


def item_of(request: PlanRequest, plans: Mapping[str, Any]) -> dict[str, Any]:
    """The item that runs one attempt; its start documents say which one it is.

    Raises:
        PlanFailed: the plan is not allowed, or not with these arguments.
    """
    if problems := misfits(request.campaign, plans):
        raise PlanFailed("; ".join(problem.message for problem in problems))
    name = request.campaign.plan.name.removeprefix(PLANS)
    values = {**request.campaign.plan.args, **request.arguments}
    signature = _signature(plans[name])
    if SETTINGS in signature.parameters:
        values[SETTINGS] = dict(request.settings)
    arguments = bound(signature, values)
    return _plain(
        {
            "item_type": "plan",
            "name": name,
            "args": list(arguments.args),
            "kwargs": arguments.kwargs,
            "meta": dict(request.metadata),
        }
    )


def _plain(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_plain(value) for value in data]
    return data if isinstance(data, (str, int, float, bool)) or data is None else encode(data)


def _signature(plan: Mapping[str, Any]) -> inspect.Signature:
    """The plan's signature as far as its description tells."""
    return inspect.Signature(
        [
            inspect.Parameter(
                one["name"],
                getattr(inspect.Parameter, one["kind"]["name"]),
                default=one.get("default", inspect.Parameter.empty),
            )
            for one in plan.get("parameters", ())
        ]
    )
