"""The plan of one trial: the plan that the campaign names, called with what the request holds."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bluesky.preprocessors import msg_mutator
from bluesky.utils import Msg, MsgGenerator

from orchestrator.adapters.guard.order_of_moves import ordered
from orchestrator.adapters.lab_code.plan_catalog import STARTUP, bound, find_plan
from orchestrator.domain.errors import PlanFailed, Unusable
from orchestrator.domain.spec import InstrumentSpec
from orchestrator.ports import PlanRequest

PlanFinder = Callable[[str], Callable[..., Any]]


def trial_plan(
    request: PlanRequest,
    at: Callable[[str], Any],
    instrument: InstrumentSpec,
    of_startup: PlanFinder | None = None,
) -> MsgGenerator[Any]:
    """A fresh plan, with devices for their names and settings in the order of moves.

    Args:
        request: what the trial asks for.
        at: the device at a dotted path; it raises PlanFailed when there is none.
        instrument: the instrument file.
        of_startup: finds plans of the lab's startup; None when there is none.

    Raises:
        PlanFailed: the campaign does not fit the plan, or names no device.
    """
    plan = plan_function(request.campaign.plan.name, of_startup)
    given = request.campaign.plan.args.items()
    values = {name: _named(value, at, instrument) for name, value in given}
    values |= request.arguments
    settings = {
        at(path): value for path, value in ordered(request.settings, instrument, at).items()
    }
    signature = inspect.signature(plan)
    if "md" in signature.parameters:
        values["md"] = dict(request.metadata)
    if "settings" in signature.parameters:
        values["settings"], settings = settings, {}
    arguments = bound(signature, values)
    if not settings and inspect.isgeneratorfunction(plan):
        # Bluesky formats the stack for each of its stubs: a layer less is worth it.
        return plan(*arguments.args, **arguments.kwargs)
    messages: Any = _trial(plan, arguments, settings)
    messages.__name__ = plan.__name__  # as if there were no layer around it
    return messages


def never_repeated(plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
    """The same plan without checkpoints: after a pause nothing is done twice, the attempt ends."""

    def without(message: Msg) -> Msg | None:
        return None if message.command == "checkpoint" else message

    def messages() -> MsgGenerator[Any]:
        yield Msg("clear_checkpoint")
        return (yield from msg_mutator(plan, without))

    made: Any = messages()
    made.__name__ = getattr(plan, "__name__", "")
    return made


def moves(positions: Iterable[tuple[Any, Any]]) -> MsgGenerator[None]:
    """Set one after another, each waited for."""
    for device, value in positions:
        yield Msg("set", device, value, group="settings")
        yield Msg("wait", None, group="settings")


def actions(steps: Iterable[tuple[Any, float | None]]) -> MsgGenerator[None]:
    """Set (and wait for) or stop (None) one after another."""
    for device, value in steps:
        if value is None:
            yield Msg("stop", device)
        else:
            yield from moves([(device, value)])


def _named(value: Any, at: Callable[[str], Any], instrument: InstrumentSpec) -> Any:
    """The same argument of a plan, with devices in place of the texts that name them."""
    if isinstance(value, str):
        return at(value) if value.split(".")[0] in instrument.devices else value
    if isinstance(value, (list, tuple)):
        return [_named(item, at, instrument) for item in value]
    if isinstance(value, Mapping):
        return {key: _named(item, at, instrument) for key, item in value.items()}
    return value


def _trial(
    plan: Callable[..., Any], arguments: inspect.BoundArguments, settings: Mapping[Any, Any]
) -> MsgGenerator[Any]:
    yield from moves(settings.items())
    given = plan(*arguments.args, **arguments.kwargs)
    if not isinstance(given, Iterable):
        name = getattr(plan, "__name__", "the plan")
        raise PlanFailed(f"{name} gives {given!r} and no messages; a plan yields them")
    return (yield from given)


def plan_function(name: str, of_startup: PlanFinder | None) -> Callable[..., Any]:
    """The plan of this name, of the lab's startup too.

    Raises:
        PlanFailed: there is none.
    """
    if of_startup is not None and name.startswith(STARTUP):
        return of_startup(name.removeprefix(STARTUP))
    try:
        return find_plan(name)
    except Unusable as error:
        raise PlanFailed(str(error)) from error
