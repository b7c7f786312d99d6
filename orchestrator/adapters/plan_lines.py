"""Which line of a plan an error, or the code that runs now, belongs to."""

import sys
import sysconfig
import traceback
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_OWN = str(Path(__file__).resolve().parents[1])
"""Folder of the package that runs plans; none of its lines is a plan's."""
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")})


def line_of_error(error: BaseException) -> str | None:
    """``file:line`` of the plan's innermost line that an error went through; None when none."""
    link: BaseException | None = error
    while link is not None:
        steps = ((one.f_code, line) for one, line in traceback.walk_tb(link.__traceback__))
        if found := _innermost(steps):
            return found
        link = link.__cause__ or link.__context__
    return None


def line_now() -> str | None:
    """``file:line`` of the plan's innermost line that is being executed; None when none is."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the stack has no public name
    while frame is not None:
        if is_plan_code(frame.f_code.co_filename):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def line_of_plan(plan: Any) -> str | None:
    """``file:line`` where a plan, a generator or its function, is written; None when unknown."""
    code: CodeType | None = getattr(plan, "gi_code", None) or getattr(plan, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else None


@cache
def is_plan_code(file: str) -> bool:
    """True for a file that is neither Labwright's orchestrator nor an installed library."""
    path = str(Path(file).resolve()) if not file.startswith("<") else ""
    return bool(path) and not path.startswith((_OWN, *_INSTALLED))


def _innermost(steps: Iterable[tuple[CodeType, int]]) -> str | None:
    found = None
    for code, line in steps:
        if is_plan_code(code.co_filename):
            found = f"{code.co_filename}:{line}"
    return found
