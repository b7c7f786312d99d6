"""Inequalities as people write them in campaign files, read without ever running them."""

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

MOST_CHARACTERS = 1000
"""Longest inequality that is read."""

Comparison = Literal["<=", ">="]
_COMPARE: Mapping[Comparison, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Inequality:
    """``sum(coefficient * name) <= bound``, or ``>=``."""

    coefficients: Mapping[str, float]
    comparison: Comparison
    bound: float
    text: str
    """As the person wrote it."""

    def holds(self, values: Mapping[str, float]) -> bool:
        """True when the values satisfy it; a NaN among them never does.

        Raises:
            KeyError: a name has no value.
        """
        return _COMPARE[self.comparison](self.left(values), self.bound)

    def left(self, values: Mapping[str, float]) -> float:
        """The left side's value."""
        return sum(factor * values[name] for name, factor in self.coefficients.items())


@lru_cache  # the rules of a campaign are asked for again with every event
def inequality(text: str) -> Inequality:
    """Read a linear inequality such as ``residence_time * 30 + temperature <= 170``.

    Names may be dotted. Both sides may hold terms; they are brought to the left.

    Raises:
        ValueError: not a linear inequality; the message says what is wrong with it.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(
            f"'{text[:40]}…' has {len(text)} characters; an inequality may have {MOST_CHARACTERS}"
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # Python's, about texts such as '1if x'
            tree = ast.parse(text.strip(), mode="eval").body
        return _inequality(tree, text)
    except (SyntaxError, RecursionError, MemoryError, OverflowError) as error:
        raise ValueError(
            f"{text!r} is no inequality; write for example 'a + 2 * b <= 5'"
        ) from error


def bound_on(name: str, text: str) -> Inequality:
    """Read a bound such as ``>= 11400`` on the quantity ``name``.

    Raises:
        ValueError: not a bound.
    """
    match text.strip()[:2]:
        case "<=" | ">=" as comparison:
            bound = _number(text.strip()[2:])
        case _:
            raise ValueError(f"{text!r} must begin with '>=' or '<=', for example '>= 10'")
    if bound is None:
        raise ValueError(f"{text!r} must compare with one number, for example '>= 10'")
    return Inequality({name: 1.0}, comparison, bound, f"{name} {text}")


def _number(text: str) -> float | None:
    """The finite number that is written here; None for anything else."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _inequality(tree: ast.expr, text: str) -> Inequality:
    if not (isinstance(tree, ast.Compare) and len(tree.ops) == 1):
        raise ValueError(f"{text!r} needs exactly one '<=' or '>='")
    match tree.ops[0]:
        case ast.LtE():
            comparison: Comparison = "<="
        case ast.GtE():
            comparison = ">="
        case _:
            raise ValueError(f"{text!r} must compare with '<=' or '>='")
    left, left_constant = _linear(tree.left, text)
    right, right_constant = _linear(tree.comparators[0], text)
    for name, factor in right.items():
        left[name] = left.get(name, 0.0) - factor
    bound = right_constant - left_constant
    if not all(map(math.isfinite, (*left.values(), bound))):
        raise ValueError(f"{text!r} holds a number that is too large")
    coefficients = {name: factor for name, factor in left.items() if factor}
    if not coefficients:
        raise ValueError(f"{text!r} names nothing that can vary")
    return Inequality(coefficients, comparison, bound, text)


def _linear(node: ast.expr, text: str) -> tuple[dict[str, float], float]:
    """Coefficients by name, and the constant, of a linear expression."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return {}, float(value)
        case ast.Name() | ast.Attribute() if name := _dotted(node):
            return {name: 1.0}, 0.0
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            return _scaled(_linear(operand, text), -1.0 if isinstance(sign, ast.USub) else 1.0)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            sign = -1.0 if isinstance(op, ast.Sub) else 1.0
            return _added(_linear(left, text), _scaled(_linear(right, text), sign))
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            terms, other = _linear(left, text), _linear(right, text)
            if not terms[0]:
                return _scaled(other, terms[1])
            if not other[0]:
                return _scaled(terms, other[1])
            raise ValueError(f"{text!r} is not linear: it multiplies names with each other")
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            terms, divisor = _linear(left, text), _linear(right, text)
            if divisor[0] or divisor[1] == 0:
                raise ValueError(f"{text!r} is not linear: divide by a number other than 0")
            return _scaled(terms, 1.0 / divisor[1])
        case _:
            raise ValueError(f"{text!r}: {ast.unparse(node)!r} is neither a name nor a number")


def _dotted(node: ast.expr) -> str | None:
    """A name such as ``stage.x``; None for an attribute of anything but a name."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=owner, attr=name):
            before = _dotted(owner)
            return None if before is None else f"{before}.{name}"
        case _:
            return None


def _scaled(part: tuple[dict[str, float], float], factor: float) -> tuple[dict[str, float], float]:
    return {name: factor * value for name, value in part[0].items()}, factor * part[1]


def _added(
    one: tuple[dict[str, float], float], other: tuple[dict[str, float], float]
) -> tuple[dict[str, float], float]:
    terms = dict(one[0])
    for name, value in other[0].items():
        terms[name] = terms.get(name, 0.0) + value
    return terms, one[1] + other[1]
