"""The header of a table: which columns are parameters, which are outcomes, and their units."""

import keyword
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from simulators.table.errors import BadTable

MOST_BYTES = 64 * 1024

MOST_UNIT = 7
"""Longest unit that Channel Access can carry, in characters."""

MOST_CHOICES = 16
"""Most names that an EPICS enumeration has."""

MOST_NAME = 25
"""Longest of these names, in characters."""

PLAINLY = {
    "string_type": "write a text, in quotes if YAML takes it for something else",
    "tuple_type": "write a list, such as [a, b]",
}
"""What pydantic says in words of Python."""

EXAMPLE = """parameters:
  temperature: {column: "T (C)", unit: degC}
outcomes:
  yield_: {column: "yield", unit: "%", goal: maximize}"""


def _a_name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", text):
        raise ValueError("a name has 1 to 40 of a-z, 0-9 and _, and starts with a letter")
    if keyword.iskeyword(text):
        raise ValueError(f"Python uses this word; try '{text}_'")
    return text


def _a_unit(text: str) -> str:
    if len(text) > MOST_UNIT or not text.isascii():
        raise ValueError(f"a unit has at most {MOST_UNIT} ASCII characters")
    return text


def _a_slug(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,29}", text):
        raise ValueError("the name of an instrument has 1 to 30 of a-z, 0-9 and '-'")
    return text


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if not bounds[0] < bounds[1]:
        raise ValueError("limits are [lower, upper] with lower < upper")
    return bounds


def _choosable(names: tuple[str, ...]) -> tuple[str, ...]:
    if not 2 <= len(names) <= MOST_CHOICES or len(set(names)) < len(names):
        raise ValueError(f"choices are 2 to {MOST_CHOICES} names, each of them once")
    for name in names:
        plain = name.isascii() and name.isprintable() and name == name.strip()
        if not plain or not 1 <= len(name) <= MOST_NAME:
            raise ValueError(f"choice {name!r}: a name has 1 to {MOST_NAME} ASCII characters")
    return names


Name = Annotated[str, AfterValidator(_a_name)]
Unit = Annotated[str, AfterValidator(_a_unit)]
Seconds = Annotated[float, Field(gt=0, le=86400)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Parameter(_Strict):
    """A column that becomes a setpoint with its readback."""

    column: str | None = None
    """Title of the column; None when it is the parameter's own name."""
    unit: Unit = ""
    limits: Annotated[tuple[float, float], AfterValidator(_ordered)] | None = None
    """Of the setpoint, inside the values of the column; None for all of them."""
    settle_s: Seconds = 10.0
    """Lab seconds from one end of the limits to the other, or from one choice to another."""
    choices: Annotated[tuple[str, ...], AfterValidator(_choosable)] | None = None
    """Names that the column holds, in the order of a selector's positions; None for numbers."""

    @model_validator(mode="after")
    def _choices_alone(self) -> "Parameter":
        if self.choices and (self.unit or self.limits):
            raise ValueError("choices have neither unit nor limits")
        return self


class Outcome(_Strict):
    """A column that becomes a channel of the detector."""

    column: str | None = None
    """Title of the column; None when it is the outcome's own name."""
    unit: Unit = ""
    goal: Literal["maximize", "minimize"] = "maximize"
    """What a written campaign does with it, when it is the first."""


class Header(_Strict):
    """What a table's columns are."""

    name: Annotated[str, AfterValidator(_a_slug)]
    """Of the instrument; the start of its PV names is the same in upper case."""
    titles: tuple[str, ...] | None = None
    """Titles of the columns of a CSV file that has none; None when its first row has them.

    A Parquet file always has titles, and these are not looked at.
    """
    emulator: Literal["gaussian-process", "nearest"] = "gaussian-process"
    run_time_s: Seconds = 10.0
    """Lab seconds from a trigger to its result."""
    parameters: dict[Name, Parameter] = Field(min_length=1)
    outcomes: dict[Name, Outcome] = Field(min_length=1)

    @property
    def columns(self) -> dict[str, str]:
        """Title of the column of each parameter and outcome, by name, parameters first."""
        named = {**self.parameters, **self.outcomes}
        return {name: about.column or name for name, about in named.items()}

    @property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """Names of the positions of each parameter that is a choice."""
        return {name: one.choices for name, one in self.parameters.items() if one.choices}

    @property
    def names(self) -> list[int]:
        """How many names each parameter has; 0 for a number."""
        return [len(one.choices or ()) for one in self.parameters.values()]

    @property
    def prefix(self) -> str:
        """Start of all PV names."""
        return self.name.upper().replace("-", "_")


def read_header(file: Path, table: Path) -> Header:
    """The header in a file, for a table, whose file name is the default of its name.

    Raises:
        BadTable: with every mistake found.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise BadTable(
            f"there is no header {file}; write one that says what the columns are, such as\n"
            f"{EXAMPLE}"
        ) from None
    except OSError as error:
        raise BadTable(f"cannot read {file}: {error.strerror}") from error
    data = _parsed(file, content)
    data.setdefault("name", re.sub(r"[^a-z0-9]+", "-", table.stem.lower()).strip("-")[:30])
    try:
        header = Header.model_validate(data)
    except ValidationError as error:
        raise BadTable("\n".join(_said(file, one) for one in error.errors())) from error
    _check_names(file, header)
    return header


def _check_names(file: Path, header: Header) -> None:
    both = sorted(header.parameters.keys() & header.outcomes.keys())
    if both:
        raise BadTable(f"{file}: {', '.join(both)} cannot be both parameter and outcome")
    if "detector" in header.parameters:
        raise BadTable(f"{file}: parameters.detector: the detector has this name; choose another")
    taken: dict[str, str] = {}
    for name, title in header.columns.items():
        if title in taken:
            raise BadTable(f"{file}: column {title!r} is given to both {taken[title]} and {name}")
        taken[title] = name


def _said(file: Path, error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"] if part != "[key]")
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] in ("missing", "extra_forbidden"):
        return f"{file}: {place}: {'missing' if error['type'] == 'missing' else 'unknown key'}"
    return f"{file}: {place}: found {error['input']!r}: {PLAINLY.get(error['type'], message)}"


def _parsed(file: Path, content: bytes) -> dict[str, Any]:
    if len(content) > MOST_BYTES:
        raise BadTable(f"{file} is larger than {MOST_BYTES // 1024} kB; is it the table itself?")
    try:
        data = yaml.load(content.decode("utf-8-sig"), _Plain)
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        words = " ".join(str(error).split())
        raise BadTable(f"{file} is no valid YAML: {words}") from error
    if not isinstance(data, dict):
        raise BadTable(f"{file} holds no keys and values; a header is such as\n{EXAMPLE}")
    return data


class _Plain(yaml.SafeLoader):
    """Refuses aliases, and the same key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"line {self.peek_event().start_mark.line + 1} uses an alias")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if keys.count(key.value) > 1:
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"key {key.value!r} is there twice, one in line {line}")
        return super().construct_mapping(node, deep)
