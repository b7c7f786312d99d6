"""The safety envelope: what the instrument may be told to do, whoever asks.

It guards against software's mistakes. It is no safety system: interlocks stay in PLC and IOC.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from orchestrator.domain.errors import EnvelopeError
from orchestrator.domain.expressions import inequality
from orchestrator.domain.trial import ParameterValue

if TYPE_CHECKING:
    from orchestrator.domain.spec import CampaignSpec, InstrumentSpec


@dataclass(frozen=True, slots=True)
class Limit:
    """Lowest and highest setting of one device, both allowed."""

    low: float
    high: float
    unit: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """Limits by dotted device name, and joint constraints over those names."""

    instrument: str
    limits: Mapping[str, Limit]
    constraints: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the envelope, hexadecimal: two envelopes are the same when it is equal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """The envelope as canonical JSON: the same text for the same envelope."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Envelope:
        """The envelope that ``to_json`` wrote."""
        data = json.loads(text)
        limits = {name: Limit(**limit) for name, limit in data["limits"].items()}
        return cls(data["instrument"], limits, tuple(data["constraints"]))

    def breach(self, path: str, value: object) -> str | None:
        """One sentence when this single setting is not allowed, else None."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return f"{path} = {value!r} is no number"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{path} = {value!r} is not finite"
        limit = self.limit(path)
        if limit is None:
            return f"{path} has no limits in the instrument file, so it may not be set"
        if not limit.low <= value <= limit.high:
            return (
                f"{path} = {value!r} is outside [{limit.low}, {limit.high}] {limit.unit}".rstrip()
            )
        return None

    def limit(self, path: str) -> Limit | None:
        """Limit of a dotted path, or of the nearest thing above it that has one."""
        while (limit := self.limits.get(path)) is None and "." in path:
            path = path.rpartition(".")[0]
        return limit

    def check(self, settings: Mapping[str, object]) -> None:
        """Pass when all settings together are allowed.

        Raises:
            EnvelopeError: with one sentence for each breach.
        """
        violations = [
            text for path, value in settings.items() if (text := self.breach(path, value))
        ]
        if not violations:
            violations = list(self._joint_breaches(settings))
        if violations:
            raise EnvelopeError(violations)

    def _joint_breaches(self, settings: Mapping[str, object]) -> Iterator[str]:
        numbers = {name: float(value) for name, value in settings.items()}  # type: ignore[arg-type]
        for text in self.constraints:
            rule = inequality(text)
            if set(rule.coefficients) <= set(numbers) and not rule.holds(numbers):
                yield f"{text!r} does not hold"


def envelope_of(instrument: InstrumentSpec) -> Envelope:
    """The envelope that an instrument file states."""
    limits: dict[str, Limit] = {}
    for name, device in instrument.devices.items():
        parts = {f"{name}.{axis}": bounds for axis, bounds in device.axes.items()}
        for path, bounds in ({name: device.limits} | parts).items():
            if bounds is not None:
                limits[path] = Limit(bounds[0], bounds[1], device.unit)
    return Envelope(instrument.name, limits, instrument.constraints)


def admit(
    campaign: CampaignSpec, envelope: Envelope | None, parameters: Mapping[str, ParameterValue]
) -> None:
    """Pass when a proposal is complete, typed, in range and inside the envelope.

    ``envelope`` is the copy that the worker published; None when no worker has started yet, and
    then the worker's own check before the first motion is the first one.

    Raises:
        EnvelopeError: with one sentence for each breach.
    """
    missing = set(campaign.parameters) ^ set(parameters)
    if missing:
        raise EnvelopeError([f"parameters missing or unknown: {sorted(missing)}"])
    violations = [
        f"{name} = {value!r} is not what the campaign allows"
        for name, value in parameters.items()
        if not campaign.parameters[name].admits(value)
    ]
    if not violations:
        violations = [
            f"{rule.text!r} does not hold"
            for rule in campaign.parameter_constraints
            if not rule.holds({name: float(parameters[name]) for name in rule.coefficients})
        ]
    if violations:
        raise EnvelopeError(violations)
    if envelope is not None:
        envelope.check(device_settings(campaign, parameters))


def device_settings(
    campaign: CampaignSpec, parameters: Mapping[str, ParameterValue]
) -> dict[str, ParameterValue]:
    """The settings of a proposal by dotted device name; plan arguments are left out."""
    return {
        parameter.device: parameters[name]
        for name, parameter in campaign.parameters.items()
        if parameter.device is not None
    }


def plan_arguments(
    campaign: CampaignSpec, parameters: Mapping[str, ParameterValue]
) -> dict[str, ParameterValue]:
    """The parameters of a proposal that go to the plan, by argument; settings are left out."""
    return {
        parameter.arg: parameters[name]
        for name, parameter in campaign.parameters.items()
        if parameter.arg is not None
    }
