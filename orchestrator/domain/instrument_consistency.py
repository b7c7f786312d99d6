"""What the keys of an instrument file must agree on; plain data, as for a campaign file."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.domain.adoption import adoption_findings, with_adopted
from orchestrator.domain.errors import near
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
from orchestrator.domain.queueserver_rules import queueserver_findings

PAIRS = ("devices.SetpointReadback", "devices.FlowPump")
"""Classes that compare a readback with its setpoint by a ``tolerance`` that they must be given."""


def instrument_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything in an instrument file that contradicts something else in it."""
    if data.get("mode") == "real" and data.get("gate") == "none":
        message = "mode real needs a gate that keeps a second driver out, such as 'gate: flock'"
        yield ("gate",), message
    if data.get("gate") == "fence_pv" and (data.get("mode") == "real" or not data.get("twin")):
        message = "fence_pv needs a server that binds fences, as twins have: use 'gate: flock'"
        yield ("gate",), message
    for index, condition in enumerate(as_list(data.get("conditions"))):
        if is_mapping(condition):
            yield from _condition_findings(("conditions", index), condition)
    yield from adoption_findings(data)
    if data.get("queueserver") is not None:
        yield from queueserver_findings(data)
    devices = with_adopted(data).get("devices")
    if is_mapping(devices):
        for place, path in _named_devices(data):
            if path.split(".")[0] not in devices:
                yield place, f"{path!r} is no device of this instrument{near(path, devices)}"
        yield from _set_findings(data, devices)
        yield from _spending_findings(data, devices)
        yield from _twice(devices)
        yield from _without_tolerance(devices)


def _condition_findings(place: Place, condition: Mapping[str, Any]) -> Iterator[Finding]:
    keys = ("suspend_above", "resume_below", "suspend_below", "resume_above")
    high, calm, low, lively = (as_number(condition.get(key)) for key in keys)
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
        for index, step in enumerate(as_list(condition.get(key))):
            yield key, index, as_mapping(step)


def _named_devices(data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Every place that names a device, with the name."""
    for key in ("move_order", "baseline", "monitors"):
        for index, path in enumerate(as_list(data.get(key))):
            yield (key, index), str(path)
    for index, step in enumerate(as_list(data.get("quiet"))):
        for position, path in enumerate(as_list(as_mapping(step).get("stop"))):
            yield ("quiet", index, "stop", position), str(path)
    yield from (
        ((*place, "set", path), path)
        for place, step in _setting_steps(data)
        for path in as_mapping(step.get("set"))
    )
    for place, step in _action_steps(data):
        for position, path in enumerate(as_list(step.get("stop"))):
            yield (*place, "stop", position), str(path)
    for index, text in enumerate(as_list(data.get("constraints"))):
        rule = as_rule(text)
        for name in rule.coefficients if rule else ():
            yield ("constraints", index), name


def _twice(devices: Mapping[str, Any]) -> Iterator[Finding]:
    """Devices that are another one under a second name: each would undo what the other does."""
    owners: dict[str, str] = {}
    for name, device in devices.items():
        about = as_mapping(device)
        if not about.get("prefix"):
            continue
        made = repr((about.get("class"), about["prefix"], as_mapping(about.get("kwargs"))))
        if (owner := owners.setdefault(made, name)) != name:
            message = f"{about['prefix']!r} is device {owner!r} already; give each its own PVs"
            yield ("devices", name, "prefix"), message


def _without_tolerance(devices: Mapping[str, Any]) -> Iterator[Finding]:
    """Pairs of setpoint and readback, without what says when one has reached the other."""
    for name, device in devices.items():
        about = as_mapping(device)
        said = as_mapping(about.get("kwargs")).get("tolerance", about.get("tolerance"))
        if about.get("class") in PAIRS and said is None:
            message = "needs 'tolerance': the largest distance from the setpoint that is there"
            yield ("devices", name), message


def _setting_steps(data: Mapping[str, Any]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Every step that may set devices: of parking, and of conditions."""
    for index, step in enumerate(as_list(data.get("park"))):
        yield ("park", index), as_mapping(step)
    yield from _action_steps(data)


def _action_steps(data: Mapping[str, Any]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    for index, condition in enumerate(as_list(data.get("conditions"))):
        for key, number, step in _actions(as_mapping(condition)):
            yield ("conditions", index, key, number), step


def _set_findings(data: Mapping[str, Any], devices: Mapping[str, Any]) -> Iterator[Finding]:
    for start, step in _setting_steps(data):
        for path, value in as_mapping(step.get("set")).items():
            place = (*start, "set", path)
            device = devices.get(path.split(".")[0])
            position, limits = as_number(value), _limits(as_mapping(device), path)
            edges = as_pair(limits)
            if device is not None and limits is None:
                yield place, f"{path!r} has no limits in this file, so it may not be set"
            elif position is not None and edges and not edges[0] <= position <= edges[1]:
                yield place, f"{value} leaves the limits {list(edges)} of device {path!r}"


def _limits(device: Mapping[str, Any], path: str) -> object:
    """The limits of a part: those of the nearest thing above it that has some."""
    axes, axis = as_mapping(device.get("axes")), path.partition(".")[2]
    while axis and axis not in axes:
        axis = axis.rpartition(".")[0]
    return axes[axis] if axis else device.get("limits")


def _spending_findings(data: Mapping[str, Any], devices: Mapping[str, Any]) -> Iterator[Finding]:
    budgets = as_mapping(data.get("budgets"))
    for device, entry in devices.items():
        for name in as_mapping(as_mapping(entry).get("spends")):
            if name not in budgets:
                place = ("devices", device, "spends", name)
                yield place, f"{name!r} is no budget of this instrument{near(name, budgets)}"
    for name, budget in budgets.items():
        reserve, limit = (as_number(as_mapping(budget).get(key)) for key in ("reserve", "limit"))
        if reserve is not None and limit is not None and reserve > limit:
            yield ("budgets", name, "reserve"), f"{reserve} is above 'limit: {limit}'"
