"""What the keys of one file must agree on.

The checks work on plain data, whatever else is wrong with it: so a person sees these mistakes
together with all others.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard, cast

from orchestrator.domain.adoption import adoption_findings, with_adopted
from orchestrator.domain.errors import near
from orchestrator.domain.expressions import Inequality, inequality

Place = tuple[str | int, ...]
"""Where in a file: keys, and positions in lists from 0."""
Finding = tuple[Place, str]
"""A place and what is wrong there."""

RESULT_COLUMNS = frozenset(
    "trial_id state attempts source run_uid proposed_at started_at measured_at".split()
)
"""Columns of the results table that no parameter or outcome may be called."""


def campaign_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything in a campaign file that contradicts something else in it."""
    for name, parameter in _mapping(data.get("parameters")).items():
        if _is_mapping(parameter):
            yield from _parameter_findings(("parameters", name), parameter)
    yield from _column_findings(data)
    yield from _constraint_findings(data)
    yield from _target_findings(data)
    yield from _sentinel_findings(data)


def instrument_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything in an instrument file that contradicts something else in it."""
    if data.get("mode") == "real" and data.get("gate") == "none":
        message = "mode real needs a gate that keeps a second driver out, such as 'gate: flock'"
        yield ("gate",), message
    if data.get("gate") == "fence_pv" and (data.get("mode") == "real" or not data.get("twin")):
        message = "fence_pv needs a server that binds fences, as twins have: use 'gate: flock'"
        yield ("gate",), message
    for index, condition in enumerate(_list(data.get("conditions"))):
        if _is_mapping(condition):
            yield from _condition_findings(("conditions", index), condition)
    yield from adoption_findings(data)
    devices = with_adopted(data).get("devices")
    if _is_mapping(devices):
        for place, path in _named_devices(data):
            if path.split(".")[0] not in devices:
                yield place, f"{path!r} is no device of this instrument{near(path, devices)}"
        yield from _set_findings(data, devices)
        yield from _spending_findings(data, devices)
        yield from _twice(devices)


def _parameter_findings(place: Place, parameter: Mapping[str, Any]) -> Iterator[Finding]:
    yield from _one_of(place, parameter, "device", "arg")
    yield from _one_of(place, parameter, "range", "choices")
    edges = _pair(parameter.get("range"))
    choices = [one for one in _list(parameter.get("choices")) if not isinstance(one, (list, dict))]
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
    elif parameter.get("ordered") is True:
        yield (*place, "ordered"), "only choices can be ordered; a range always is"


def _one_of(place: Place, given: Mapping[str, Any], one: str, other: str) -> Iterator[Finding]:
    count = (given.get(one) is not None) + (given.get(other) is not None)
    if count != 1:
        found = "both" if count else "neither"
        yield place, f"has {found} of {one!r} and {other!r}; give exactly one of them"


def _column_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Parameters and outcomes that would share a column of the results table."""
    taken: dict[str, str] = dict.fromkeys(RESULT_COLUMNS, "the table itself")
    for name in _mapping(data.get("parameters")):
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
    if not _is_mapping(parameters):
        return
    for index, rule in _rules(data, "parameters"):
        place = ("constraints", "parameters", index)
        unknown = [name for name in rule.coefficients if name not in parameters]
        for name in unknown:
            yield place, f"{name!r} is no parameter{near(name, parameters)}"
        ranges: dict[str, tuple[float, float]] = {}
        for name in rule.coefficients.keys() - set(unknown):
            parameter = _mapping(parameters[name])
            if parameter.get("choices") is not None or parameter.get("scale") == "log":
                yield place, f"{name!r} is not on a linear range, so it cannot be constrained"
            elif edges := _pair(parameter.get("range")):
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
    given = _list(_mapping(data.get("constraints")).get("outcomes"))
    if not isinstance(data.get("objectives"), Mapping) or len(given) > len(
        _rules(data, "outcomes")
    ):
        return  # which outcomes there are is not known
    outcomes = _outcome_places(data)
    for name in _mapping(_mapping(data.get("stop")).get("target")):
        if name not in outcomes:
            message = f"{name!r} is no objective and no constrained outcome{near(name, outcomes)}"
            yield ("stop", "target", name), message


def _sentinel_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    sentinel, parameters = data.get("sentinel"), data.get("parameters")
    if not _is_mapping(sentinel) or not _is_mapping(parameters):
        return
    at = _mapping(sentinel.get("at"))
    for name in at:
        if name not in parameters:
            message = f"{name!r} is no parameter{near(name, parameters)}"
            yield ("sentinel", "at", name), message
    if missing := [name for name in parameters if name not in at]:
        yield ("sentinel", "at"), f"has no value for parameter {missing[0]!r}; give every one"
    for name, value in at.items():
        edges, number = _pair(_mapping(parameters.get(name)).get("range")), _number(value)
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
        name: ("objectives", name) for name in _mapping(data.get("objectives"))
    }
    for index, rule in _rules(data, "outcomes"):
        for name in rule.coefficients:
            places.setdefault(name, ("constraints", "outcomes", index))
    return places


def _condition_findings(place: Place, condition: Mapping[str, Any]) -> Iterator[Finding]:
    keys = ("suspend_above", "resume_below", "suspend_below", "resume_above")
    high, calm, low, lively = (_number(condition.get(key)) for key in keys)
    if condition.get("suspend_above") is None and condition.get("suspend_below") is None:
        yield place, "needs 'suspend_above' or 'suspend_below'"
    for resume, suspend in ((keys[1], keys[0]), (keys[3], keys[2])):
        if condition.get(resume) is not None and condition.get(suspend) is None:
            yield (*place, resume), f"{resume!r} needs {suspend!r}"
    if high is not None and calm is not None and calm > high:
        yield (*place, keys[1]), f"{calm} is above 'suspend_above: {high}'; it must not be"
    if low is not None and lively is not None and lively < low:
        yield (*place, keys[3]), f"{lively} is below 'suspend_below: {low}'; it must not be"
    if high is not None and low is not None and low >= high:
        message = f"{low} is not below 'suspend_above: {high}', so no value would ever be good"
        yield (*place, keys[2]), message
    for key, index, step in _actions(condition):
        if bool(step.get("stop")) == bool(step.get("set")):
            yield (*place, key, index), "needs exactly one of 'stop' and 'set'"


def _actions(condition: Mapping[str, Any]) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    for key in ("on_trip", "on_resume"):
        for index, step in enumerate(_list(condition.get(key))):
            yield key, index, _mapping(step)


def _named_devices(data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Every place that names a device, with the name."""
    for key in ("move_order", "baseline", "monitors"):
        for index, path in enumerate(_list(data.get(key))):
            yield (key, index), str(path)
    for index, step in enumerate(_list(data.get("quiet"))):
        for position, path in enumerate(_list(_mapping(step).get("stop"))):
            yield ("quiet", index, "stop", position), str(path)
    yield from (
        ((*place, "set", path), path)
        for place, step in _setting_steps(data)
        for path in _mapping(step.get("set"))
    )
    for place, step in _action_steps(data):
        for position, path in enumerate(_list(step.get("stop"))):
            yield (*place, "stop", position), str(path)
    for index, text in enumerate(_list(data.get("constraints"))):
        rule = _rule(text)
        for name in rule.coefficients if rule else ():
            yield ("constraints", index), name


def _twice(devices: Mapping[str, Any]) -> Iterator[Finding]:
    """Devices that are another one under a second name: each would undo what the other does."""
    owners: dict[tuple[object, object], str] = {}
    for name, device in devices.items():
        about = _mapping(device)
        if about.get("limits") is None or about.get("prefix") is None:
            continue
        owner = owners.setdefault((about.get("class"), about["prefix"]), name)
        if owner != name:
            message = f"{about['prefix']!r} is device {owner!r} already; give each its own PVs"
            yield ("devices", name, "prefix"), message


def _setting_steps(data: Mapping[str, Any]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Every step that may set devices: of parking, and of conditions."""
    for index, step in enumerate(_list(data.get("park"))):
        yield ("park", index), _mapping(step)
    yield from _action_steps(data)


def _action_steps(data: Mapping[str, Any]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    for index, condition in enumerate(_list(data.get("conditions"))):
        for key, number, step in _actions(_mapping(condition)):
            yield ("conditions", index, key, number), step


def _set_findings(data: Mapping[str, Any], devices: Mapping[str, Any]) -> Iterator[Finding]:
    for start, step in _setting_steps(data):
        for path, value in _mapping(step.get("set")).items():
            place = (*start, "set", path)
            device = devices.get(path.split(".")[0])
            position, limits = _number(value), _limits(_mapping(device), path)
            edges = _pair(limits)
            if device is not None and limits is None:
                yield place, f"{path!r} has no limits in this file, so it may not be set"
            elif position is not None and edges and not edges[0] <= position <= edges[1]:
                yield place, f"{value} leaves the limits {list(edges)} of device {path!r}"


def _limits(device: Mapping[str, Any], path: str) -> object:
    """The limits of a part: those of the nearest thing above it that has some."""
    axes, axis = _mapping(device.get("axes")), path.partition(".")[2]
    while axis and axis not in axes:
        axis = axis.rpartition(".")[0]
    return axes[axis] if axis else device.get("limits")


def _spending_findings(data: Mapping[str, Any], devices: Mapping[str, Any]) -> Iterator[Finding]:
    budgets = _mapping(data.get("budgets"))
    for device, entry in devices.items():
        for name in _mapping(_mapping(entry).get("spends")):
            if name not in budgets:
                place = ("devices", device, "spends", name)
                yield place, f"{name!r} is no budget of this instrument{near(name, budgets)}"
    for name, budget in budgets.items():
        reserve, limit = (_number(_mapping(budget).get(key)) for key in ("reserve", "limit"))
        if reserve is not None and limit is not None and reserve > limit:
            yield ("budgets", name, "reserve"), f"{reserve} is above 'limit: {limit}'"


def _rules(data: Mapping[str, Any], kind: str) -> list[tuple[int, Inequality]]:
    """The constraints of a campaign that can be read, with their positions."""
    texts = _list(_mapping(data.get("constraints")).get(kind))
    return [(index, rule) for index, text in enumerate(texts) if (rule := _rule(text))]


def _rule(text: object) -> Inequality | None:
    try:
        return inequality(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if _is_mapping(value) else {}


def _list(value: object) -> Sequence[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []


def _number(value: object) -> float | int | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _pair(value: object) -> tuple[float, float] | None:
    """Two numbers in order; None for anything else."""
    numbers = [number for item in _list(value) if (number := _number(item)) is not None]
    if len(numbers) != 2 or len(numbers) != len(_list(value)) or not numbers[0] < numbers[1]:
        return None
    return numbers[0], numbers[1]
