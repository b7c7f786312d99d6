"""Which line of a plan an error, or the code that runs now, belongs to."""

import inspect
import sys
import sysconfig
import threading
import traceback
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from orchestrator.domain.errors import EnvelopeError, LabError, PlanFailed

_OWN = str(Path(__file__).resolve().parents[2])
"""Folder of the package that runs plans; none of its lines is a plan's."""
_ENGINE = str(Path("bluesky", "run_engine.py"))
_STANDARD = sysconfig.get_path("stdlib")
_LIBRARIES = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
_INSTALLED = (_STANDARD, *_LIBRARIES)
_CURIOUS = tuple(str(Path(_STANDARD, name)) for name in ("platform.py", "uuid.py", "ctypes"))
"""What asks the computer about itself, by a program if need be, and does without an answer."""


def line_of_error(error: BaseException) -> str | None:
    """``file:line`` of the plan's innermost line that an error went through; None when none."""
    link: BaseException | None = error
    while link is not None:
        steps = ((one.f_code, line) for one, line in traceback.walk_tb(link.__traceback__))
        if found := _innermost(steps):
            return found
        link = link.__cause__ or link.__context__
    return None


def told_with_line(error: BaseException) -> str:
    """An error of a lab's code in words, with ``(file:line)`` where one of its lines is known."""
    line = line_of_error(error)
    return f"{type(error).__name__}: {error}" + (f" ({line})" if line else "")


def line_now() -> str | None:
    """``file:line`` of the plan's innermost line that is being executed; None when none is."""
    return _line_of(sys._getframe(1))  # noqa: SLF001 - the stack has no public name


def line_of_caller() -> str | None:
    """``file:line`` that called the standard library just now; None when no plan's line did.

    What an installed library does on its own, while it is imported say, is no line of a plan.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as above
    while frame is not None and _is_between(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None or not is_plan_code(frame.f_code.co_filename):
        return None
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def line_in_thread(name: str) -> str | None:
    """``file:line`` of the plan that a thread is executing; None when it executes none."""
    frames = sys._current_frames()  # noqa: SLF001 - nor have the stacks of the other threads
    found = (frames.get(one.ident or 0) for one in threading.enumerate() if one.name == name)
    return next((line for frame in found if (line := _line_of(frame))), None)


def located(error: LabError, cause: BaseException | None, plan: Any) -> LabError:
    """The same failure of a plan with ``(file:line)`` in its words, where one is known.

    Args:
        error: what the attempt failed with.
        cause: what the RunEngine gave; None when it gave nothing.
        plan: generator or function, for a failure that has no line of its own.
    """
    line = line_of_error(error) or (line_of_error(cause) if cause else None)
    if line is None and isinstance(error, PlanFailed) and error.reason == "plan_failed":
        line = line_of_plan(plan)
    if line is None or not is_plan_code(line.rpartition(":")[0]):
        return error
    if isinstance(error, EnvelopeError):
        return EnvelopeError([f"{one} ({line})" for one in error.violations])
    if isinstance(error, PlanFailed):
        return PlanFailed(f"{error} ({line})", error.reason)
    return error


def _line_of(frame: FrameType | None) -> str | None:
    while frame is not None:
        if is_plan_code(frame.f_code.co_filename):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def line_of_plan(plan: Any) -> str | None:
    """``file:line`` where a plan, a generator or its function, is written; None when unknown."""
    written = inspect.unwrap(plan) if callable(plan) else plan
    code: CodeType | None = getattr(written, "gi_code", None) or getattr(written, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else None


@cache
def _is_between(file: str) -> bool:
    """True for Labwright's own watch and the standard library."""
    if file.startswith(("<frozen", _OWN)):
        return True
    return file.startswith(_STANDARD) and not file.startswith((*_LIBRARIES, *_CURIOUS))


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
        elif found and (code.co_filename.startswith(_OWN) or code.co_filename.endswith(_ENGINE)):
            break  # here begins where an error arose that was thrown into the plan: a device's code
    return found
