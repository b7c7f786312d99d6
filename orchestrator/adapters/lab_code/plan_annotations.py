"""Whether values in a campaign file have the types that the plan's annotations ask for.

Only annotations that plain data can meet are looked at: numbers, texts, literals, and lists and
mappings of them. An argument that wants a device, or has no annotation, takes anything here.
"""

import inspect
import json
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from orchestrator.domain.errors import Problem
from orchestrator.domain.spec import ParameterSpec


def annotation_problems(
    plan: Callable[..., Any],
    args: Mapping[str, Any],
    parameters: Mapping[str, ParameterSpec],
) -> Iterator[Problem]:
    """Each value that is not of the annotated type: the key, the annotation, and what was found.

    Args:
        plan: whose annotations hold.
        args: the campaign's ``plan.args``.
        parameters: those of the campaign, by name; of interest are the ones that have an ``arg``.
    """
    known = inspect.signature(plan).parameters
    for name, value in args.items():
        if name in known and not _is_of_type(plan, known[name], value):
            yield Problem(f"plan.args.{name}", f"is {_shown(value)}, {_but(plan, known[name])}")
    bound = {name: one for name, one in parameters.items() if one.arg in known}
    for name, parameter in bound.items():
        argument = known[str(parameter.arg)]
        wrong = [value for value in _examples(parameter) if not _is_of_type(plan, argument, value)]
        if wrong:
            message = f"may be {_shown(wrong[0])}, {_but(plan, argument)}"
            hint = " ('type: int' makes it a whole number)" if parameter.range else ""
            yield Problem(f"parameters.{name}.arg", message + hint)


def _examples(parameter: ParameterSpec) -> list[Any]:
    """What the plan may be given: every choice, or a value in the range."""
    if parameter.choices is not None:
        return list(parameter.choices)
    low, high = parameter.range or (0.0, 0.0)
    return [int(low) if parameter.type == "int" else (float(low) + float(high)) / 2.0]


def _is_of_type(plan: Callable[..., Any], argument: inspect.Parameter, value: Any) -> bool:
    """False when an annotation rules the value out; a list given for ``*args`` goes by its items.

    It is looked at as JSON: there a list may stand for a tuple, but no text for a number.
    """
    from pydantic import ValidationError

    adapter = _adapter(plan, argument)
    if adapter is None:
        return True
    spread = argument.kind is argument.VAR_POSITIONAL and isinstance(value, list)
    try:
        for each in value if spread else [value]:
            adapter.validate_json(json.dumps(each), strict=True)
    except ValidationError:
        return False
    return True


def _adapter(plan: Callable[..., Any], argument: inspect.Parameter) -> Any:
    """What checks values of an argument; None where its annotation is beyond plain data."""
    from pydantic import TypeAdapter

    if argument.annotation is argument.empty or argument.kind is argument.VAR_KEYWORD:
        return None
    try:
        return TypeAdapter(_hint(plan, argument))
    except Exception:  # names that only a type checker knows, protocols, devices, plain words
        return None


def _hint(plan: Callable[..., Any], argument: inspect.Parameter) -> Any:
    """The annotation itself, also where it was written or postponed as text."""
    module = sys.modules.get(inspect.unwrap(plan).__module__)
    holder = type("Annotated", (), {"__annotations__": {"value": argument.annotation}})
    return typing.get_type_hints(holder, vars(module) if module else {})["value"]


def _but(plan: Callable[..., Any], argument: inspect.Parameter) -> str:
    name = getattr(plan, "__name__", "the plan")
    return f"but {name} takes {inspect.formatannotation(_hint(plan, argument))}"


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
