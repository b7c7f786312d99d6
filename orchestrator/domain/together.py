"""What a campaign file and an instrument file must agree on."""

import difflib
from collections.abc import Iterable, Iterator

from orchestrator.domain.errors import Problem
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec, ParameterSpec


def near(name: str, known: Iterable[str]) -> str:
    """A closing half-sentence that helps with a wrong name: near names, or all there are."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else f"; there are {names}"


def disagreements(campaign: CampaignSpec, instrument: InstrumentSpec) -> list[Problem]:
    """Every place in the campaign file that does not fit the instrument."""
    problems: list[Problem] = []
    bound: dict[str, str] = {}
    for name, parameter in campaign.parameters.items():
        target = parameter.device or f"argument {parameter.arg}"
        if target in bound:
            message = f"{target!r} is already bound to parameter {bound[target]!r}"
            problems.append(Problem(f"parameters.{name}", message))
        bound[target] = name
        if parameter.device is not None:
            problems += _device_problems(
                f"parameters.{name}", parameter.device, parameter, instrument
            )
    return problems


def _device_problems(
    place: str, path: str, parameter: ParameterSpec, instrument: InstrumentSpec
) -> Iterator[Problem]:
    if path.split(".")[0] not in instrument.devices:
        message = f"{path!r} is no device of instrument {instrument.name!r}"
        yield Problem(f"{place}.device", message + near(path, instrument.devices))
        return
    unit = instrument.unit(path)
    if parameter.unit != unit:
        message = f"is {parameter.unit!r}, but device {path!r} is in {unit!r}; they must be equal"
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
        if not isinstance(choice, (int, float)) or not limits[0] <= choice <= limits[1]:
            message = f"{choice!r} leaves the limits {list(limits)} of device {path!r}"
            yield Problem(f"{place}.choices", message)
