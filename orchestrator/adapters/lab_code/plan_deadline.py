"""By when a plan must be done: its own estimate, and the time-outs of the devices it uses."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator.adapters.lab_code.plan_catalog import find_estimate
from orchestrator.domain.errors import PlanFailed
from orchestrator.domain.spec import DeviceSpec, InstrumentSpec, PlanSpec
from orchestrator.ports import PlanRequest

SLACK = 1.5
"""How much longer than estimated a plan may wait."""
MARGIN_S = 30.0
"""Added for everything that no estimate knows: reading, writing, a busy computer."""

UNSTATED_S = 300.0
"""For a device whose time-out the instrument file leaves to its class."""


def plan_deadline(request: PlanRequest, instrument: InstrumentSpec, time_scale: float) -> float:
    """Seconds after which the plan counts as hung; never more than ``request.deadline_s``.

    A plan whose module has ``estimate_<plan>`` is given 1.5 times what it means to wait, the
    time-outs of all that it moves, and of its detectors for each reading. Any other plan is given
    ``request.deadline_s``.

    Args:
        request: the attempt.
        instrument: the instrument file, for the time-outs.
        time_scale: seconds of lab time in one second.

    Raises:
        PlanFailed: the estimate raised.
    """
    known = plan_estimate(request.campaign.plan, request.settings, request.arguments)
    if known is None:
        return request.deadline_s
    waits, readings = known
    moved = sum(_timeouts(request.settings, instrument))
    read = sum(_timeouts(texts(request.campaign.plan.args), instrument))
    return min(request.deadline_s, SLACK * waits / time_scale + moved + readings * read + MARGIN_S)


def plan_estimate(
    plan: PlanSpec, settings: Mapping[str, Any], arguments: Mapping[str, Any]
) -> tuple[float, int] | None:
    """What ``estimate_<plan>`` says; None when the plan's module has none.

    Args:
        plan: with its arguments, as the campaign file has it.
        settings: by dotted device name.
        arguments: of the trial, beside those of the campaign file.

    Returns:
        Seconds of lab time that the plan itself waits, and how often it triggers its detectors.

    Raises:
        PlanFailed: the estimate raised.
    """
    estimate = find_estimate(plan.name)
    if estimate is None:
        return None
    try:
        waits, readings = estimate(dict(settings), **{**plan.args, **arguments})
        return float(waits), int(readings)
    except Exception as error:  # a lab's own code may raise anything
        message = f"{estimate.__name__} raised {type(error).__name__}: {error}"
        raise PlanFailed(message) from error


def steps_s(paths: Iterable[str], instrument: InstrumentSpec, time_scale: float) -> float:
    """Seconds that steps may add to moves across the whole limits of each device."""
    total = 0.0
    for path in paths:
        device, limits = instrument.device(path), instrument.limits(path)
        step = device and (device.max_step or device.max_rate)
        if device is None or limits is None or step is None:
            continue
        span = limits[1] - limits[0]
        total += math.ceil(span / step) * (_timeout_s(device) + device.settle_s / time_scale)
        total += span / device.max_rate / time_scale if device.max_rate else 0.0
    return total


def _timeouts(paths: Any, instrument: InstrumentSpec) -> Iterator[float]:
    """Time-out of each device in a collection of dotted names; other texts count nothing."""
    for path in paths:
        if (device := instrument.device(path)) is not None:
            yield _timeout_s(device)


def _timeout_s(device: DeviceSpec) -> float:
    return UNSTATED_S if device.timeout_s is None else device.timeout_s


def texts(value: Any) -> Iterator[str]:
    """Every text in plain data: some may name devices."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from texts(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from texts(one)
