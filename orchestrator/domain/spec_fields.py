"""What the keys of the files that a user writes are made of: names, paths, bounds, times."""

import json
import keyword
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from orchestrator.domain.expressions import bound_on, inequality
from orchestrator.domain.findings import Finding

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""Names of campaigns, instruments and trials: they become keys and folder names."""

INCONSISTENT = "inconsistent"
"""Type of pydantic's errors about keys that contradict each other."""


def _a_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError(
            f"{text!r} is no name: use letters, digits and _, not starting with a digit"
        )
    if keyword.iskeyword(text):
        raise ValueError(f"{text!r} cannot be a name, because Python uses it; try '{text}_'")
    return text


def _a_path(text: str) -> str:
    for part in text.split("."):
        _a_name(part)
    return text


def _a_slug(text: str) -> str:
    if not re.fullmatch(NAME_PATTERN, text):
        raise ValueError(
            f"{text!r} must be 1 to 64 of a-z, 0-9, '-' and '_', starting with a letter or digit"
        )
    return text


def _an_inequality(text: str) -> str:
    inequality(text)
    return text


def _a_reference(text: str) -> str:
    if text.count(":") > 1:
        raise ValueError(f"{text!r} has more than one ':'; write module:name")
    _a_path(text.replace(":", "."))
    return text


def _a_bound(text: str) -> str:
    bound_on("x", text)
    return text


def time_of(text: str) -> datetime:
    """The time that an ISO text with an offset names.

    Raises:
        ValueError: it names none, or has no offset from UTC.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no ISO time; write for example 2026-12-24T08:00:00+01:00"
        ) from None
    if time.tzinfo is None:
        raise ValueError(f"{text!r} needs an offset from UTC, such as {time.isoformat()}+01:00")
    return time


def _a_time(text: str) -> str:
    time_of(text)
    return text


Name = Annotated[str, AfterValidator(_a_name)]
DottedPath = Annotated[str, AfterValidator(_a_path)]
Slug = Annotated[str, AfterValidator(_a_slug)]
Reference = Annotated[str, AfterValidator(_a_reference)]
"""``module:name``, ``module.name``, or a name of the startup."""
InequalityText = Annotated[str, AfterValidator(_an_inequality)]
BoundText = Annotated[str, AfterValidator(_a_bound)]
TimeText = Annotated[str, AfterValidator(_a_time)]
PositiveInt = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]


class Strict(BaseModel):
    """Unknown keys are refused, types are not guessed, NaN and infinity are no numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The model of plain data, as YAML or the ledger gives it.

        Raises:
            pydantic.ValidationError: with every problem found.
        """
        return cls.model_validate_json(json.dumps(data))

    def to_data(self) -> dict[str, Any]:
        """Plain data that ``from_data`` reads back to an equal model."""
        return json.loads(self.model_dump_json(by_alias=True))


def refuse(title: str, findings: Iterable[Finding]) -> None:
    """Raise pydantic's error with each finding at its own place; pass when there is none."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError(INCONSISTENT, "{what}", {"what": message}),
            loc=place,
            input=None,
        )
        for place, message in findings
    ]
    if details:
        raise ValidationError.from_exception_data(title, details)


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if not bounds[0] < bounds[1]:
        raise ValueError(f"{list(bounds)} must be [lower, upper] with lower < upper")
    return bounds


Bounds = Annotated[tuple[float, float], AfterValidator(_ordered)]
