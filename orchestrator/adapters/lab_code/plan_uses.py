"""What a trial spends, as the plan's module says: dose, reagents, sample."""

import inspect
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.domain.envelope import device_settings, plan_arguments
from orchestrator.domain.errors import PlanFailed
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.trial import ParameterValue


def plan_uses(
    campaign: CampaignSpec, parameters: Mapping[str, ParameterValue], written: Callable[..., Any]
) -> Mapping[str, tuple[float, str]]:
    """Amount and unit of each thing that one trial spends; empty when the plan's module is silent.

    ``uses_<plan>`` in the module of the plan says it. It takes ``settings`` (by dotted device
    name) and the plan's arguments as the campaign file has them, and gives a mapping such as
    ``{"dose": (0.4, "Gy"), "ethanol": (2.0, "mL")}``.

    Args:
        campaign: names the plan and its arguments.
        parameters: of the trial.
        written: the plan itself.

    Raises:
        PlanFailed: it raised, or gave something else.
    """
    plan = inspect.unwrap(written)
    uses = getattr(sys.modules.get(plan.__module__), f"uses_{plan.__name__}", None)
    if uses is None:
        return {}
    arguments = {**campaign.plan.args, **plan_arguments(campaign, parameters)}
    try:
        given = uses(device_settings(campaign, parameters), **arguments)
        found = {str(name): (float(amount), str(unit)) for name, (amount, unit) in given.items()}
    except Exception as error:  # a lab's own code may raise anything
        message = f"{uses.__name__} raised {type(error).__name__}: {error}"
        raise PlanFailed(message) from error
    for name, (amount, _) in found.items():
        if not math.isfinite(amount) or amount < 0:
            raise PlanFailed(f"{uses.__name__} gives {amount!r} of {name}; it must be 0 or more")
    return found
