"""How a reducer says which outcomes it gives, and in which units."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def outcomes(**units: str | None) -> Callable[[Function], Function]:
    """Declare the outcomes of a reducer by name, each with its unit.

    A unit is ``""`` for none, and None where the devices of the instrument decide. The
    declaration is a dictionary in the attribute ``outcomes`` of the reducer. Code that would
    rather not import this module sets that attribute itself.
    """

    def declare(reducer: Function) -> Function:
        cast(Any, reducer).outcomes = dict(units)
        return reducer

    return declare
