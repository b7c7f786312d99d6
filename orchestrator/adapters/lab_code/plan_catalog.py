"""Plans and reducers by name, and whether a campaign fits them."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from typing import Any

from orchestrator.adapters.lab_code.lab_prints import prints_told
from orchestrator.adapters.lab_code.plan_annotations import annotation_problems
from orchestrator.adapters.lab_code.plan_lines import told_with_line
from orchestrator.domain.errors import PlanFailed, Problem, Unusable, near
from orchestrator.domain.queueserver_rules import PLANS
from orchestrator.domain.realignment import REALIGNMENT, spec_for
from orchestrator.domain.spec import CampaignSpec

GROUP = "labwright.plans"
"""Entry-point group under which packages register plans."""

HOME = Path(__file__).resolve().parents[3]
"""Folder that holds Labwright's own packages."""

GIVEN = ("settings", "md")
"""Arguments of a plan that Labwright fills in."""


STARTUP = "startup:"
"""Before the name of a plan that the lab's startup defines: it is found in the worker alone."""
ELSEWHERE = {STARTUP: "in the worker", PLANS: "to the queueserver"}
"""Where plans are known that cannot be looked up, by how their names begin."""


def find_plan(name: str) -> Callable[..., Any]:
    """The plan registered under a name, or at a dotted path such as ``bluesky.plans.count``.

    Raises:
        Unusable: there is none; the message lists near names.
    """
    if where := _elsewhere(name):
        raise Unusable(
            f"{name!r} is known {where} alone, so name its reducer with "
            "'reduce: {call: mylab.reducers.peak}'"
        )
    registered = _registered()
    for entry in registered.select(name=name):
        return _loaded(name, entry.load)
    if "." in name:
        return _loaded(name, lambda: _by_path(name))
    raise Unusable(str(unknown_plan(name)))


def unknown_plan(name: str) -> str | None:
    """Why there is no plan of this name; None when there may be one, for nothing is imported."""
    if _elsewhere(name) or name in _registered().names:
        return None
    module, _, rest = name.partition(".")
    if not rest:
        return f"{name!r} is no registered plan{near(name, _registered().names)}"
    is_there = module in sys.modules or importlib.util.find_spec(module) is not None
    return None if is_there else _absent(name, module)


def find_reducer(campaign: CampaignSpec) -> Callable[..., Any]:
    """The reducer that the campaign names, else ``reduce_<plan>`` in the module of its plan.

    Raises:
        Unusable: there is none.
    """
    call = campaign.reduce.call
    if call is not None:
        return _loaded(call, lambda: _by_path(call))
    plan = inspect.unwrap(find_plan(campaign.plan.name))
    name = f"reduce_{plan.__name__}"
    reducer = getattr(sys.modules[plan.__module__], name, None)
    if reducer is None:
        raise Unusable(
            f"{plan.__module__} has no {name}; write it, or name one with 'reduce: {{call: …}}'"
        )
    return reducer


def reducer_identity(campaign: CampaignSpec) -> tuple[str, str]:
    """Dotted name of the campaign's reducer, and the SHA-256 of the file that defines it.

    The second is empty when no file defines it. What that file imports is not covered.

    Raises:
        Unusable: there is no such reducer.
    """
    if campaign.reduce.where == "external":
        return campaign.reduce.call or "external", ""
    reducer = inspect.unwrap(find_reducer(campaign))
    name = getattr(reducer, "__qualname__", type(reducer).__name__)
    module = getattr(reducer, "__module__", "")
    file = getattr(sys.modules.get(module), "__file__", None)
    digest = hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
    return campaign.reduce.call or f"{module}.{name}", digest


def find_estimate(plan_name: str) -> Callable[..., Any] | None:
    """``estimate_<plan>`` in the module of a plan; None when there is none.

    It takes ``settings`` (by dotted device name) and the plan's arguments as the campaign file has
    them, and gives two numbers: seconds (of lab time) that the plan itself waits, and how often it
    triggers its detectors.

    Raises:
        Unusable: there is no such plan.
    """
    if _elsewhere(plan_name):
        return None
    plan = inspect.unwrap(find_plan(plan_name))
    return getattr(sys.modules[plan.__module__], f"estimate_{plan.__name__}", None)


def declared_outcomes(reducer: Callable[..., Any]) -> Mapping[str, str | None] | None:
    """Units by outcome as the reducer declares them; None when it declares nothing.

    A unit that is None depends on the instrument.
    """
    return getattr(reducer, "outcomes", None)


def bound(signature: inspect.Signature, values: Mapping[str, Any]) -> inspect.BoundArguments:
    """A plan's arguments from values by name; a list given for ``*args`` is spread.

    Raises:
        PlanFailed: they do not fit the plan.
    """
    problems = list(_argument_problems(signature, set(values)))
    if problems:
        raise PlanFailed("; ".join(problem.message for problem in problems))
    arguments = inspect.BoundArguments(signature, {})  # pyright: ignore[reportArgumentType]
    left = dict(values)
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            arguments.arguments[name] = left
        elif name in left:
            value = left.pop(name)
            spread = parameter.kind is parameter.VAR_POSITIONAL
            arguments.arguments[name] = tuple(value) if spread else value
    return arguments


def plan_problems(campaign: CampaignSpec) -> list[Problem]:
    """Everything in a campaign that does not fit its plans and reducer."""
    found = _of_plan(campaign)
    if not any(one.place == "plan.name" for one in found):
        found += _outcome_problems(campaign)
    if campaign.sentinel is not None and campaign.sentinel.realignment is not None:
        own = _of_plan(spec_for(campaign, REALIGNMENT))
        where = "sentinel.then.realign"
        found += [Problem(where + one.place.removeprefix("plan"), one.message) for one in own]
    return found


def _of_plan(campaign: CampaignSpec) -> list[Problem]:
    """What does not fit the plan; nothing of one that cannot be looked up here."""
    if _elsewhere(campaign.plan.name):
        return []
    try:
        plan = find_plan(campaign.plan.name)
    except Unusable as error:
        return [Problem("plan.name", str(error))]
    return [
        *call_problems(campaign, inspect.signature(plan)),
        *annotation_problems(plan, campaign.plan.args, campaign.parameters),
    ]


def call_problems(campaign: CampaignSpec, signature: inspect.Signature) -> list[Problem]:
    """Every argument that a plan with this signature lacks, or does not know."""
    return list(_given_problems(campaign, signature))


def refuse_shadows() -> None:
    """Pass when ``plans`` and ``devices`` are the packages that came with this Labwright.

    Raises:
        Unusable: another folder of that name is found first; the message names both.
    """
    for name in ("plans", "devices"):
        found = importlib.util.find_spec(name)
        places = list(found.submodule_search_locations or [found.origin]) if found else []
        if not any(place and Path(place).resolve() == HOME / name for place in places):
            raise Unusable(
                f"{places[0] if places else 'nothing'} hides Labwright's own {HOME / name}; give "
                f"your package another name than {name!r}"
            )


def _elsewhere(name: str) -> str | None:
    """Where alone a plan of this name is known; None when it can be looked up."""
    return next((where for start, where in ELSEWHERE.items() if name.startswith(start)), None)


def _given_problems(campaign: CampaignSpec, signature: inspect.Signature) -> Iterator[Problem]:
    parameters = {
        parameter.arg: f"parameters.{name}.arg"
        for name, parameter in campaign.parameters.items()
        if parameter.arg is not None
    }
    for name in campaign.plan.args:
        place = f"plan.args.{name}"
        if name in GIVEN:
            yield Problem(place, f"{name!r} is filled in by Labwright; remove it")
        elif name in parameters:
            yield Problem(place, f"{name!r} is also bound to a parameter; give it in one place")
    places = {name: f"plan.args.{name}" for name in campaign.plan.args} | parameters
    yield from _argument_problems(signature, {*places, *GIVEN}, places)


def _argument_problems(
    signature: inspect.Signature, given: set[str], places: Mapping[str, str] | None = None
) -> Iterator[Problem]:
    """Arguments that the plan does not know, then those it lacks."""
    known = signature.parameters
    places = places or {}
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        for name in sorted(given - set(known) - set(GIVEN)):
            message = f"the plan has no argument {name!r}{near(name, set(known) - set(GIVEN))}"
            yield Problem(places.get(name, "plan.args"), message)
    for name, parameter in known.items():
        optional = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if not optional and parameter.default is parameter.empty and name not in given:
            yield Problem("plan.args", f"the plan needs the argument {name!r}")


def _outcome_problems(campaign: CampaignSpec) -> Iterator[Problem]:
    try:
        if campaign.reduce.where == "external":
            return
        declared = declared_outcomes(find_reducer(campaign))
    except Unusable as error:
        yield Problem("reduce.call" if campaign.reduce.call else "plan.name", str(error))
        return
    if declared is None:
        return
    for name in campaign.outcome_names:
        objective = campaign.objectives.get(name)
        place = f"objectives.{name}" if objective else "constraints.outcomes"
        if name not in declared:
            yield Problem(place, f"the reducer gives no outcome {name!r}{near(name, declared)}")
        elif (
            objective
            and None not in (objective.unit, declared[name])
            and (objective.unit != declared[name])
        ):
            message = f"is {objective.unit!r}, but the reducer gives {declared[name]!r}"
            yield Problem(f"{place}.unit", message)


@cache
def _registered() -> EntryPoints:
    """What is installed: it does not change while a process runs, and takes long to look up."""
    return entry_points(group=GROUP)


def _loaded(name: str, load: Callable[[], Any]) -> Callable[..., Any]:
    try:
        with prints_told():
            found = load()
    except Unusable:
        raise
    except Exception as error:  # a lab's module may raise anything when it is imported
        raise Unusable(f"{name!r} cannot be loaded: {told_with_line(error)}") from error
    if not callable(found):
        raise Unusable(f"{name!r} is a {type(found).__name__}, not a function")
    return found


def _by_path(path: str) -> Any:
    module_name, _, attribute = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there; something that it imports is not
        raise Unusable(_absent(path, error.name)) from error
    if not hasattr(module, attribute):
        names = [name for name in vars(module) if not name.startswith("_")]
        raise Unusable(
            f"{module_name} has no {attribute!r}{near(attribute, _few(attribute, names))}"
        )
    return getattr(module, attribute)


def _absent(path: str, module: str) -> str:
    """Why a module is not found, and what makes Python find one of a lab's own."""
    text = f"{path!r}: there is no module {module!r}"
    if "." in module:  # the package is found, and it has no such part
        return text
    if Path(module).is_dir() or Path(f"{module}.py").is_file():
        return f"{text} where Python looks, but one in this folder: export PYTHONPATH=$PWD"
    return f"{text}; install it, or name its folder in PYTHONPATH"


def _few(name: str, names: Sequence[str]) -> list[str]:
    """The names that share a beginning, else the first few: a module may hold hundreds."""
    alike = [other for other in names if other[:3] == name[:3]]
    return alike or sorted(names)[:10]
