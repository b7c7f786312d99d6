"""Documents as plain data: what JSON and MessagePack can hold, numpy or not."""

import json
import math
from enum import Enum
from typing import Any


def encode(value: object) -> Any:
    """Plain data for a value that a serializer does not know: arrays, numpy scalars, sets.

    Raises:
        TypeError: there is no plain form.
    """
    if hasattr(value, "tolist"):
        return value.tolist()  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "items"):
        return dict(value)  # pyright: ignore[reportCallIssue, reportArgumentType]
    raise TypeError(f"{value!r} ({type(value).__name__}) cannot be saved")


def to_json(data: object) -> str:
    """Strict JSON on one line; what is not finite becomes the text NaN, Infinity or -Infinity.

    Raises:
        TypeError: something in it has no plain form.
    """
    try:
        return json.dumps(data, default=encode, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_named(data), separators=(",", ":"), allow_nan=False)


def number(value: object) -> object:
    """The inverse for numeric data: text that names a number that is not finite, as that number."""
    if isinstance(value, str):
        return float(value) if value in ("NaN", "Infinity", "-Infinity") else value
    if isinstance(value, list):
        return [number(item) for item in value]
    return value


def _named(value: Any) -> Any:
    """The same plain data, with names in place of numbers that are not finite."""
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, (str, int, bool)) or value is None:
        return value
    if isinstance(value, dict):
        return {key: _named(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_named(item) for item in value]
    return _named(encode(value))
