"""Reads campaign and instrument files: YAML, safely, with the line of every mistake.

No aliases, no tags, capped size and depth: a file is data and nothing else.
"""

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from orchestrator.domain.errors import Problem, SpecError, Unusable
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.domain.together import near

MOST_BYTES = 256 * 1024
MOST_DEPTH = 20

Model = TypeVar("Model", CampaignSpec, InstrumentSpec)
Lines = Mapping[tuple[str | int, ...], int]


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a date stays the text that was written."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_campaign(file: Path) -> tuple[CampaignSpec, Lines]:
    """The campaign file as a model, and the line of each of its keys.

    Raises:
        SpecError: with every problem found in the file.
    """
    return _read(file, CampaignSpec)


def read_instrument(file: Path) -> tuple[InstrumentSpec, Lines]:
    """The instrument file as a model, and the line of each of its keys.

    Raises:
        SpecError: with every problem found in the file.
    """
    return _read(file, InstrumentSpec)


def line_of(lines: Lines, place: str) -> int | None:
    """Line of a dotted place, or of the nearest key above it; None when there is none."""
    path = tuple(int(part) if part.isdigit() else part for part in place.split(".") if part)
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


def twin_folders() -> dict[str, Path]:
    """Folder of each installed twin, by name."""
    found: dict[str, Path] = {}
    for point in entry_points(group="labwright.twins"):
        package, _, name = point.value.rpartition(".")
        found[point.name] = Path(str(files(package))) / name if package else Path(str(files(name)))
    return found


def find_campaign(name: str) -> Path:
    """The campaign file that a person means: a path, or the name of a shipped twin.

    Raises:
        Unusable: neither a file nor a twin.
    """
    return _find(name, "campaign.yaml", Path())


def find_instrument(name: str, campaign_file: Path) -> Path:
    """The instrument file that a campaign means; paths are relative to the campaign file.

    Raises:
        Unusable: neither a file nor a twin.
    """
    return _find(name, "instrument.yaml", campaign_file.parent)


def _find(name: str, file: str, base: Path) -> Path:
    path = base / name
    if path.is_file():
        return path
    twins = twin_folders()
    if name in twins:
        return twins[name] / file
    raise Unusable(f"there is neither a file {str(path)!r} nor a twin {name!r}{near(name, twins)}")


def _read(file: Path, model: type[Model]) -> tuple[Model, Lines]:
    data, lines = _load(file)
    try:
        return model.from_data(data), lines
    except ValidationError as error:
        problems = [_problem(one, model, data, lines) for one in error.errors()]
    except (TypeError, ValueError) as error:
        problems = [Problem("", f"holds something that is no plain value: {error}")]
    raise SpecError(str(file), problems)


def _load(file: Path) -> tuple[dict[str, Any], Lines]:
    try:
        text = file.read_bytes()
    except OSError as error:
        raise Unusable(f"cannot read {file}: {error.strerror}") from error
    if len(text) > MOST_BYTES:
        raise SpecError(str(file), [Problem("", f"has {len(text)} bytes; at most {MOST_BYTES}")])
    try:
        decoded = text.decode()
        for event in yaml.parse(decoded, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1
                raise SpecError(str(file), [Problem("", "uses an alias (*); write it out", line)])
        node = yaml.compose(decoded, Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error)
        line = mark.line + 1 if mark else None
        raise SpecError(str(file), [Problem("", f"is no valid YAML: {what}", line)]) from error
    if not isinstance(node, yaml.MappingNode):
        raise SpecError(str(file), [Problem("", "must be a mapping of keys to values")])
    lines: dict[tuple[str | int, ...], int] = {}
    problems = list(_walk(node, (), lines))
    if problems:
        raise SpecError(str(file), problems)
    try:
        return _Loader(decoded).construct_document(node), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        message = getattr(error, "problem", None) or str(error)
        raise SpecError(str(file), [Problem("", message, line)]) from error


def _walk(
    node: yaml.Node, path: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int]
) -> Iterator[Problem]:
    """Note the line of each key, and find keys given twice and nesting that is too deep."""
    if len(path) > MOST_DEPTH:
        line = node.start_mark.line + 1
        yield Problem(_dotted(path), f"is nested deeper than {MOST_DEPTH}", line)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, key.value)
            if inner in lines:
                line = key.start_mark.line + 1
                yield Problem(_dotted(inner), f"is given twice, first in line {lines[inner]}", line)
            lines[inner] = key.start_mark.line + 1
            yield from _walk(value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*path, index)] = value.start_mark.line + 1
            yield from _walk(value, (*path, index), lines)


def _dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path))


def _problem(error: Any, model: type[BaseModel], data: Any, lines: Lines) -> Problem:
    """One of pydantic's findings in our words: where, what was found, what would be right."""
    location: tuple[str | int, ...] = tuple(error["loc"])
    place = _dotted(location)
    match error["type"]:
        case "extra_forbidden":
            known = _keys_at(model, location[:-1])
            message = f"unknown key {location[-1]!r}{near(str(location[-1]), known)}"
        case "missing":
            message = f"key {location[-1]!r} is missing"
        case "value_error" | "assertion_error":
            message = str(error["ctx"]["error"])
        case _:
            found = json.dumps(error["input"], default=str)
            message = f"found {found[:80]}; {error['msg'][0].lower()}{error['msg'][1:]}"
    return Problem(place, message, line_of(lines, place))


def _keys_at(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """The keys that the schema allows at a path; empty when they are free."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    at: Any = schema
    for part in path:
        at = _resolved(at, definitions)
        if "properties" in at and part in at["properties"]:
            at = at["properties"][part]
        elif isinstance(at.get("additionalProperties"), dict):
            at = at["additionalProperties"]
        else:
            at = at.get("items", {})
    return list(_resolved(at, definitions).get("properties", {}))


def _resolved(at: Any, definitions: Mapping[str, Any]) -> Any:
    for option in [at, *at.get("anyOf", []), *at.get("allOf", [])]:
        if "$ref" in option:
            return definitions[option["$ref"].rsplit("/", 1)[1]]
    return at
