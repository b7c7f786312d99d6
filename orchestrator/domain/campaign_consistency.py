"""What the keys of a campaign file must agree on.

The checks work on plain data, whatever else is wrong with it: so a person sees these mistakes
together with all others.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.domain.errors import near
from orchestrator.domain.expressions import Inequality
from orchestrator.domain.findings import (
    Finding,
    Place,
    as_list,
    as_mapping,
    as_number,
    as_pair,
    as_rule,
    is_mapping,
)
from orchestrator.domain.result_columns import FIRST, after_outcomes


def campaign_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything in a campaign file that contradicts something else in it."""
    for name, parameter in as_mapping(data.get("parameters")).items():
        if is_mapping(parameter):
            yield from _parameter_findings(("parameters", name), parameter)
    yield from _variation_findings(data)
    yield from _column_findings(data)
    yield from _constraint_findings(data)
    yield from _target_findings(data)
    yield from _sentinel_findings(data)


def _parameter_findings(place: Place, parameter: Mapping[str, Any]) -> Iterator[Finding]:
    yield from _one_of(place, parameter, "device", "arg")
    yield from _one_of(place, parameter, "range", "choices")
    edges = as_pair(parameter.get("range"))
    choices = [
        one for one in as_list(parameter.get("choices")) if not isinstance(one, (list, dict))
    ]
    if len({(isinstance(one, bool), one) for one in choices}) < len(choices):
        yield (*place, "choices"), f"has the same choice twice in {choices}"
    if edges and parameter.get("scale") == "log" and edges[0] <= 0:
        yield (*place, "range"), f"has scale log, so the range {list(edges)} must be above 0"
    if edges and parameter.get("type") == "int" and any(edge % 1 for edge in edges):
        yield (*place, "range"), f"has type int, so the range {list(edges)} needs whole numbers"
    if choices:
        if parameter.get("scale") == "log":
            yield (*place, "scale"), "scale log needs a range; choices have no scale"
        if parameter.get("type") == "int":
            yield (*place, "type"), "type int needs a range; choices are taken as they are written"
        if parameter.get("ordered") is True and len(choices) == 1:
            yield (*place, "ordered"), "one choice has no order; remove it"
    elif parameter.get("ordered") is True:
        yield (*place, "ordered"), "only choices can be ordered; a range always is"


def _variation_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """A parameter with one choice is held there; with nothing else, there is nothing to propose."""
    parameters = [as_mapping(one) for one in as_mapping(data.get("parameters")).values()]
    if as_mapping(data.get("optimizer")).get("method") == "sobol" or not parameters:
        return
    if all(len(as_list(one.get("choices"))) == 1 for one in parameters):
        message = "nothing varies: each has one choice; 'optimizer: {method: sobol}' repeats it"
        yield ("parameters",), message


def _one_of(place: Place, given: Mapping[str, Any], one: str, other: str) -> Iterator[Finding]:
    count = (given.get(one) is not None) + (given.get(other) is not None)
    if count != 1:
        found = "both" if count else "neither"
        yield place, f"has {found} of {one!r} and {other!r}; give exactly one of them"


def _column_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Parameters and outcomes that would share a column of the results table."""
    own = (*FIRST, *after_outcomes(has_sentinel=data.get("sentinel") is not None))
    taken: dict[str, str] = dict.fromkeys(own, "the table itself")
    for name in as_mapping(data.get("parameters")):
        if name in taken:
            yield ("parameters", name), f"{name!r} is a column of the results table; rename it"
        taken[name] = f"parameter {name!r}"
    for name, place in _outcome_places(data).items():
        for column in (name, f"{name}_sem"):
            if column in taken:
                yield (
                    place,
                    f"outcome {name!r} and {taken[column]} would share the column {column!r} "
                    "of the results table; rename one",
                )
            taken[column] = f"outcome {name!r}"


def _constraint_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    parameters = data.get("parameters")
    if not is_mapping(parameters):
        return
    for index, rule in _rules(data, "parameters"):
        place = ("constraints", "parameters", index)
        unknown = [name for name in rule.coefficients if name not in parameters]
        for name in unknown:
            yield place, f"{name!r} is no parameter{near(name, parameters)}"
        ranges: dict[str, tuple[float, float]] = {}
        for name in rule.coefficients.keys() - set(unknown):
            parameter = as_mapping(parameters[name])
            if parameter.get("choices") is not None or parameter.get("scale") == "log":
                yield place, f"{name!r} is not on a linear range, so it cannot be constrained"
            elif edges := as_pair(parameter.get("range")):
                ranges[name] = edges
        if len(ranges) == len(rule.coefficients) and not _can_hold(rule, ranges):
            yield place, f"{rule.text!r} holds nowhere in the ranges of its parameters"


def _can_hold(rule: Inequality, ranges: Mapping[str, tuple[float, float]]) -> bool:
    """True when some point of the box satisfies the inequality."""
    sign = 1 if rule.comparison == "<=" else -1
    return rule.holds(
        {name: ranges[name][sign * factor < 0] for name, factor in rule.coefficients.items()}
    )


def _target_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    given = as_list(as_mapping(data.get("constraints")).get("outcomes"))
    if not isinstance(data.get("objectives"), Mapping) or len(given) > len(
        _rules(data, "outcomes")
    ):
        return  # which outcomes there are is not known
    outcomes = _outcome_places(data)
    for name in as_mapping(as_mapping(data.get("stop")).get("target")):
        if name not in outcomes:
            message = f"{name!r} is no objective and no constrained outcome{near(name, outcomes)}"
            yield ("stop", "target", name), message


def _sentinel_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    sentinel, parameters = data.get("sentinel"), data.get("parameters")
    if not is_mapping(sentinel) or not is_mapping(parameters):
        return
    at = as_mapping(sentinel.get("at"))
    for name in at:
        if name not in parameters:
            message = f"{name!r} is no parameter{near(name, parameters)}"
            yield ("sentinel", "at", name), message
    if missing := [name for name in parameters if name not in at]:
        yield ("sentinel", "at"), f"has no value for parameter {missing[0]!r}; give every one"
    for name, value in at.items():
        edges, number = as_pair(as_mapping(parameters.get(name)).get("range")), as_number(value)
        if edges and number is not None and not edges[0] <= number <= edges[1]:
            message = f"{value} is outside the range {list(edges)} of the parameter"
            yield ("sentinel", "at", name), message
    outcomes, watched = _outcome_places(data), sentinel.get("outcome")
    if watched is not None and watched not in outcomes:
        message = f"{watched!r} is no objective and no constrained outcome{near(watched, outcomes)}"
        yield ("sentinel", "outcome"), message


def _outcome_places(data: Mapping[str, Any]) -> dict[str, Place]:
    """Outcomes that the campaign needs, each with the place that names it first."""
    places: dict[str, Place] = {
        name: ("objectives", name) for name in as_mapping(data.get("objectives"))
    }
    for index, rule in _rules(data, "outcomes"):
        for name in rule.coefficients:
            places.setdefault(name, ("constraints", "outcomes", index))
    return places


def _rules(data: Mapping[str, Any], kind: str) -> list[tuple[int, Inequality]]:
    """The constraints of a campaign that can be read, with their positions."""
    texts = as_list(as_mapping(data.get("constraints")).get(kind))
    return [(index, rule) for index, text in enumerate(texts) if (rule := as_rule(text))]
