"""Faults on demand: what goes wrong with which process variable, when, and for how long.

Times are lab seconds. A planned fault counts from the first put of a client, so that a slow start
of the lab shifts none of them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simulators.pv import PutRefused, Pv

FAULT = "LABWRIGHT:FAULT"
"""Takes a fault as JSON, which begins at once; `{}` ends all. Reads what is wrong now."""

Kind = Literal[
    "hang", "slow", "refuse", "limit", "nan", "stuck", "drift", "spike", "invalid", "trip", "lost"
]

NEEDS: Mapping[str, str] = {
    "slow": "by",
    "drift": "by",
    "spike": "by",
    "trip": "to",
    "limit": "limits",
}
"""What a kind must be told beside the process variable and the time."""

ON_PUTS = {"hang", "slow", "refuse", "limit", "trip"}
"""Kinds that need a process variable which clients can put."""

ON_NUMBERS = {"limit", "trip"}
"""Kinds that need a process variable which is no text."""

ON_VALUES = {"nan", "stuck", "drift", "spike"}
"""Kinds that need a process variable which is a real number."""

ON_READS = ON_VALUES | {"invalid"}
"""Kinds that change what clients read, and nothing else."""

MOST_RANDOM = 1000
"""Faults that a random plan has, after which nothing more goes wrong."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class FaultError(ValueError):
    """A fault that cannot be: the message says where, what was found and what would be right."""


class Fault(BaseModel):
    """One thing that goes wrong, once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: Kind
    """hang: puts are not answered; slow: they are, later; refuse: they fail; limit: those outside
    ``limits`` fail, or are for a motor record what is outside its own; nan, stuck, drift, spike:
    what clients read; invalid: they read what they read last, in INVALID alarm; trip: the process
    variable is put ``to`` a value and back at the end; lost: the server cannot be reached."""
    pv: str = ""
    """Name of the process variable; empty for `lost`, which is the whole server."""
    at_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """When it begins, after the first put of a client."""
    for_s: Seconds
    """How long it lasts."""
    by: Finite | None = None
    """slow: seconds more for each put; drift: units per second; spike: units."""
    to: Finite | None = None
    """trip: the value meanwhile."""
    limits: tuple[Finite, Finite] | None = None
    """limit: least and greatest value that is accepted."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        needed = {NEEDS[self.fault]} if self.fault in NEEDS else set[str]()
        given = {name for name in ("by", "to", "limits") if getattr(self, name) is not None}
        if needed - given:
            raise ValueError(f"{self.fault} needs {needed.pop()!r}")
        if given - needed:
            raise ValueError(f"{self.fault} takes no {min(given - needed)!r}")
        if (self.fault == "lost") == bool(self.pv):
            raise ValueError("lost takes no 'pv'" if self.pv else f"{self.fault} needs 'pv'")
        if self.fault == "slow" and self.by is not None and self.by <= 0:
            raise ValueError("slow needs a positive 'by'")
        return self

    def __str__(self) -> str:
        return f"{self.fault} {self.pv}".rstrip()


class RandomFaults(BaseModel):
    """Faults at random times, the same for the same seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: Annotated[int, Field(ge=0)]
    mean_s: Seconds
    """Mean time from the end of one to the next; exponentially distributed."""
    faults: Annotated[list[Fault], Field(min_length=1)]
    """Any of them, with equal chances; their `at_s` does not count."""

    def occurrences(self) -> Iterator[Fault]:
        """The faults with their times, one after another."""
        random, at_s = np.random.default_rng(self.seed), 0.0
        for _ in range(MOST_RANDOM):
            at_s += float(random.exponential(self.mean_s))
            fault = self.faults[int(random.integers(len(self.faults)))]
            yield fault.model_copy(update={"at_s": at_s})
            at_s += fault.for_s


class FaultFile(BaseModel):
    """What a file of faults holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    faults: list[Fault] = []
    random: RandomFaults | None = None


async def _text_only(_: float) -> None:
    raise PutRefused(f"{FAULT} takes a text")


def fault_pv() -> Pv:
    """The process variable `FAULT`; nothing is wrong yet."""
    what = "twin only: a fault as JSON begins at once; {} ends all"
    return Pv(FAULT, "", "", what, put=_text_only)


def read_faults(file: Path, pvs: Sequence[Pv]) -> list[Fault]:
    """The faults that a file plans for a twin with these process variables.

    Raises:
        FaultError: the file cannot be read, or plans what cannot be.
    """
    try:
        content: Any = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FaultError(f"{file}: {error}") from None
    if not isinstance(content, dict):
        raise FaultError(f"{file}: holds {type(content).__name__}, not 'faults:' or 'random:'")
    try:
        found = FaultFile.model_validate(content)
    except ValidationError as error:
        raise FaultError("\n".join(f"{file}: {line}" for line in _lines(error))) from None
    random = found.random.faults if found.random else []
    for part, faults in (("faults", found.faults), ("random.faults", random)):
        for number, fault in enumerate(faults):
            check(fault, pvs, f"{file}: {part}.{number}")
    return [*found.faults, *(found.random.occurrences() if found.random else ())]


def fault_from(text: str, pvs: Sequence[Pv] | None) -> Fault:
    """A fault given as JSON; without process variables it is not compared with them.

    Raises:
        FaultError: it is none.
    """
    try:
        fault = Fault.model_validate_json(text)
    except ValidationError as error:
        raise FaultError("; ".join(_lines(error))) from None
    if pvs is not None:
        check(fault, pvs, FAULT)
    return fault


def check(fault: Fault, pvs: Sequence[Pv], place: str) -> None:
    """Pass when the twin can have the fault.

    Raises:
        FaultError: it has no such process variable, or not one that can do this.
    """
    if not fault.pv:
        return
    names = {pv.name: pv for pv in pvs}
    pv = names.get(fault.pv)
    if pv is None:
        near = get_close_matches(fault.pv, names, 3) or sorted(names)[:5]
        raise FaultError(f"{place}.pv: there is no {fault.pv!r}; near are {', '.join(near)}")
    if fault.fault in ON_PUTS and not pv.is_writable:
        raise FaultError(f"{place}.pv: {fault.pv} is read-only, so {fault.fault} would do nothing")
    if fault.fault in ON_NUMBERS and isinstance(pv.value, str):
        raise FaultError(f"{place}.pv: {fault.pv} is a text, so it cannot {fault.fault}")
    if fault.to is not None:
        _check_target(fault.to, pv, f"{place}.to")
    if fault.fault in ON_VALUES and not isinstance(pv.value, float):
        raise FaultError(f"{place}.pv: {fault.pv} is no real number, so it cannot {fault.fault}")


def _check_target(to: float, pv: Pv, place: str) -> None:
    """Pass when a trip can put the process variable to this."""
    if pv.choices and to not in range(len(pv.choices)):
        known = ", ".join(f"{number} {text}" for number, text in enumerate(pv.choices))
        raise FaultError(f"{place}: {to:g} is none of {known}, the choices of {pv.name}")
    if isinstance(pv.value, int) and not to.is_integer():
        raise FaultError(f"{place}: {to:g} is no integer, as {pv.name} is")
    low, high = pv.limits or (-math.inf, math.inf)
    if not low <= to <= high:
        raise FaultError(f"{place}: {to:g} is outside {low:g} to {high:g} of {pv.name}")


def _lines(error: ValidationError) -> Iterator[str]:
    for one in error.errors():
        place = ".".join(map(str, one["loc"]))
        message = one["msg"].removeprefix("Value error, ")
        if one["type"] == "literal_error":
            message = f"is {one['input']!r}; the faults are {', '.join(get_args(Kind))}"
        elif one["type"] == "extra_forbidden":
            message = "is not known here"
        yield f"{place}: {message}" if place else message
