"""What is wrong in a file, and where; and what reads plain data whatever else is wrong with it.

A value of another kind reads as none at all: the models tell of that.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard, cast

from orchestrator.domain.expressions import Inequality, inequality

Place = tuple[str | int, ...]
"""Where in a file: keys, and positions in lists from 0."""
Finding = tuple[Place, str]
"""A place and what is wrong there."""


def is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    """True for a mapping."""
    return isinstance(value, Mapping)


def as_mapping(value: object) -> Mapping[str, Any]:
    """The mapping; empty for anything else."""
    return value if is_mapping(value) else {}


def as_list(value: object) -> Sequence[Any]:
    """The list; empty for anything else."""
    return cast(Sequence[Any], value) if isinstance(value, (list, tuple)) else []


def as_number(value: object) -> float | int | None:
    """The number; None for anything else, True and False among it."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def as_pair(value: object) -> tuple[float, float] | None:
    """Two numbers in order; None for anything else."""
    numbers = [number for item in as_list(value) if (number := as_number(item)) is not None]
    if len(numbers) != 2 or len(numbers) != len(as_list(value)) or not numbers[0] < numbers[1]:
        return None
    return numbers[0], numbers[1]


def as_rule(text: object) -> Inequality | None:
    """The inequality; None for what cannot be read as one."""
    try:
        return inequality(text) if isinstance(text, str) else None
    except ValueError:
        return None
