"""Finds stubs of plans that are called and never iterated: a ``yield from`` has been forgotten.

Bluesky warns of them, with a formatted stack for each stub, which takes most of the time of a plan
that is only walked. Here a stub keeps the line of its caller instead.
"""

import sys
from collections.abc import Callable
from typing import Any

from bluesky import utils

from orchestrator.adapters.lab_code.plan_lines import is_plan_code

Forgotten = Callable[[str, str], None]
"""Is told the name of the stub, and ``file:line`` of where it was called."""


def watch_stubs(tell: Forgotten) -> None:
    """From now on, in this process, tell of each stub that is dropped before it was iterated."""

    class Watched(utils.Plan):
        __slots__ = ()

        def __init__(self, f: Any, *args: Any, **kwargs: Any) -> None:
            self._stack: Any = None
            self._iter = f(*args, **kwargs)
            caller = sys._getframe(2)  # noqa: SLF001 - 1 is Bluesky's decorator
            self._stack = (f.__name__, caller.f_code.co_filename, caller.f_lineno)

        def __del__(self) -> None:
            stack, self._stack = self._stack, None
            if stack is not None and is_plan_code(stack[1]):
                tell(stack[0], f"{stack[1]}:{stack[2]}")

    utils.Plan = Watched  # pyright: ignore[reportAttributeAccessIssue]
