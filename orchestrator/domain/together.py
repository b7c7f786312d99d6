"""What a campaign file and an instrument file must agree on."""

from collections.abc import Iterator, Mapping

from orchestrator.domain.errors import Problem, near
from orchestrator.domain.queueserver_rules import PLANS
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec, ParameterSpec


def disagreements(campaign: CampaignSpec, instrument: InstrumentSpec) -> list[Problem]:
    """Every place in the campaign file that does not fit the instrument."""
    problems = list(_plan_problems(campaign, instrument))
    bound: dict[str, ParameterSpec] = {}
    for name, parameter in campaign.parameters.items():
        problems += _shared(name, parameter, bound)
        bound[name] = parameter
        if parameter.device is not None:
            problems += _device_problems(
                f"parameters.{name}", parameter.device, parameter, instrument
            )
    return problems


def _plan_problems(campaign: CampaignSpec, instrument: InstrumentSpec) -> Iterator[Problem]:
    has_startup = any(source.startup for source in instrument.sources)
    realignment = campaign.sentinel and campaign.sentinel.realignment
    for place, plan in (("plan", campaign.plan), ("sentinel.then.realign", realignment)):
        if plan is None:
            continue
        if plan.name.startswith("startup:") and not has_startup:
            message = f"instrument {instrument.name!r} has no startup under 'from'"
            yield Problem(f"{place}.name", message)
        is_theirs = plan.name.startswith(PLANS)
        if instrument.queueserver is not None and not is_theirs:
            message = f"instrument {instrument.name!r} has a queueserver, which runs its own plans"
            yield Problem(f"{place}.name", f"{message}: write {PLANS}NAME")
        if instrument.queueserver is None and is_theirs:
            message = f"instrument {instrument.name!r} has no 'queueserver'"
            yield Problem(f"{place}.name", message)


def _shared(
    name: str, parameter: ParameterSpec, before: Mapping[str, ParameterSpec]
) -> Iterator[Problem]:
    """A parameter before it that sets the same thing: ``stage`` and ``stage.x`` are not two."""
    for other, one in before.items():
        if parameter.arg is not None and parameter.arg == one.arg:
            message = f"argument {one.arg!r} is already bound to parameter {other!r}"
            yield Problem(f"parameters.{name}.arg", message)
            return
        elif parameter.device is not None and one.device is not None:
            parts, others = parameter.device.split("."), one.device.split(".")
            shared = min(len(parts), len(others))
            if parts[:shared] == others[:shared]:
                through = "" if parts == others else f" through {one.device!r}"
                message = f"{parameter.device!r} is already bound to parameter {other!r}{through}"
                yield Problem(f"parameters.{name}.device", message)
                return


def _device_problems(
    place: str, path: str, parameter: ParameterSpec, instrument: InstrumentSpec
) -> Iterator[Problem]:
    if path.split(".")[0] not in instrument.devices:
        message = f"{path!r} is no device of instrument {instrument.name!r}"
        yield Problem(f"{place}.device", message + near(path, instrument.devices))
        return
    unit = instrument.unit(path)
    if parameter.unit != unit:
        found = repr(parameter.unit) if parameter.unit else "no unit"
        right = f"is in {unit!r}" if unit else "has no unit"
        message = f"found {found}, but device {path!r} {right}; the two must agree"
        yield Problem(f"{place}.unit", message)
    limits = instrument.limits(path)
    if limits is None:
        message = (
            f"device {path!r} has no limits in the instrument file; give it 'limits: [low, high]'"
        )
        yield Problem(f"{place}.device", message)
        return
    if parameter.range is not None and not (
        limits[0] <= parameter.range[0] and parameter.range[1] <= limits[1]
    ):
        message = f"{list(parameter.range)} leaves the limits {list(limits)} of device {path!r}"
        yield Problem(f"{place}.range", message)
    for choice in parameter.choices or ():
        if isinstance(choice, (bool, str)):
            message = f"{choice!r} is no number, and a device is set to numbers only"
            yield Problem(f"{place}.choices", message)
        elif not limits[0] <= choice <= limits[1]:
            message = f"{choice!r} leaves the limits {list(limits)} of device {path!r}"
            yield Problem(f"{place}.choices", message)
