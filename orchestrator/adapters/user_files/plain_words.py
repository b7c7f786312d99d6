"""What pydantic found wrong with a file, said in the words of the person who wrote it."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel

from orchestrator.domain.errors import near
from orchestrator.domain.findings import Place


def is_consequence(error: Any) -> bool:
    """True for a list that is too short only because its items are wrong."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def finding_of(error: Any, model: type[BaseModel], data: Any) -> tuple[Place, str]:
    """Where it is, what was found, and what would be right, in plain words."""
    location = _in_the_file(tuple(error["loc"]), data)
    match error["type"]:
        case "extra_forbidden":
            known = _keys(_schemas(model, location[:-1]))
            return location, f"unknown key {location[-1]!r}{near(str(location[-1]), known)}"
        case "missing" if isinstance(location[-1], str):
            return location, f"key {location[-1]!r} is missing"
        case "value_error":
            return _existing(location, data)[0], str(error["ctx"]["error"])
        case _:
            at, found = _existing(location, data)
            right = _words(_schemas(model, at))
            return at, f"found {_shown(found)}; must be {right}"


def _in_the_file(location: Place, data: Any) -> Place:
    """A location without pydantic's labels of alternatives; its last part may be missing."""
    kept: list[str | int] = []
    for part in location[:-1]:
        found, inside = _existing((part,), data)
        if found:
            kept.append(part)
            data = inside
    return (*kept, *location[-1:])


def _existing(location: Place, data: Any) -> tuple[Place, Any]:
    """The part of pydantic's location that is in the data, and what stands there."""
    for length, part in enumerate(location):
        inside = dict(enumerate(data)) if isinstance(data, list) else data
        if not isinstance(inside, dict) or part not in inside:
            return location[:length], data
        data = inside[part]  # pyright: ignore[reportArgumentType]
    return location, data


def _shown(value: Any) -> str:
    """What was found, as it may stand in the file."""
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _schemas(model: type[BaseModel], path: Place) -> list[dict[str, Any]]:
    """The alternatives that the schema has for a place; empty when anything may stand there."""
    root = _schema(model)
    found = _alternatives(root, root)
    for part in path:
        inner = [inside for one in found for inside in _inside(one, part)]
        found = [option for one in inner for option in _alternatives(one, root)]
    return found


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True)


def _alternatives(schema: dict[str, Any], root: dict[str, Any]) -> list[dict[str, Any]]:
    """A schema without references, split where it says 'or'; null is left out."""
    if "$ref" in schema:
        return _alternatives(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return [option for one in several for option in _alternatives(one, root)]
    return [] if schema.get("type") == "null" else [schema]


def _inside(schema: dict[str, Any], part: str | int) -> Iterator[dict[str, Any]]:
    if isinstance(part, int):
        items = [*schema.get("prefixItems", [])[part : part + 1], schema.get("items")]
    else:
        free = schema.get("additionalProperties")
        items = [schema.get("properties", {}).get(part), free]
    yield from [item for item in items if isinstance(item, dict)][:1]


def _keys(schemas: list[dict[str, Any]]) -> list[str]:
    return [key for schema in schemas for key in schema.get("properties", {})]


def _words(schemas: list[dict[str, Any]]) -> str:
    """What the schema allows, in words."""
    kinds = {schema.get("type") for schema in schemas}
    words = [_word(one) for one in schemas if one.get("type") != "integer" or "number" not in kinds]
    return " or ".join(dict.fromkeys(words)) or "something else"


def _word(schema: dict[str, Any]) -> str:
    if "enum" in schema or "const" in schema:
        values = schema.get("enum") or [schema["const"]]
        return " or ".join(map(repr, values))
    match schema.get("type"):
        case "number":
            return f"a number{_bounds(schema)}"
        case "integer":
            return f"a whole number{_bounds(schema)}"
        case "string":
            return "text in quotes"
        case "boolean":
            return "true or false"
        case "array" if "prefixItems" in schema:
            return "a list of two numbers, such as [1, 5]"
        case "array":
            least = schema.get("minItems")
            values = "value" if least == 1 else "values"
            return f"a list of at least {least} {values}" if least else "a list"
        case "object":
            return "a mapping of keys to values" + (
                ", at least one" if schema.get("minProperties") else ""
            )
        case _:
            return "something else"


def _bounds(schema: dict[str, Any]) -> str:
    words = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "of at most",
        "exclusiveMaximum": "below",
    }
    bounds = [f" {word} {schema[key]}" for key, word in words.items() if key in schema]
    return " and".join(bounds)
