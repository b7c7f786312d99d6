"""Where an attempt begins and ends, among the messages of a RunEngine's call that holds many.

Two messages that do nothing mark it. Between them its guard sees everything that reaches the
RunEngine, what the lab's own preprocessors add included.
"""

from dataclasses import dataclass
from typing import Any

from bluesky.utils import Msg

from orchestrator.adapters.engines.left_over import LeftOver
from orchestrator.adapters.engines.run_engine import Execution, Messages


@dataclass(frozen=True, slots=True, eq=False)
class Begin:
    """Marks the first message of an attempt; the answer is its execution when it is watched."""

    execution: Execution


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """Marks the last one; raises ``error``, else what the guard finds wrong at the end."""

    error: Exception | None


def watched(plan: Messages) -> Messages:
    """The same plan; it must be the outermost of all that stand around a plan."""
    response: Any = None
    error: BaseException | None = None
    while True:
        try:
            message = plan.send(response) if error is None else plan.throw(error)
        except StopIteration as end:
            return end.value
        response = error = None
        try:
            if isinstance(begin := _mark(message), Begin):
                watch = begin.execution.watch or (lambda messages: messages)
                response = yield from watch(_section(plan, begin.execution))
            else:
                response = yield message
        except GeneratorExit:
            plan.close()
            raise
        except BaseException as caught:  # noqa: B036 - whatever it is, the plan hears of it
            error = caught


def _section(plan: Messages, execution: Execution) -> Messages:
    """What the plan yields up to the end of the attempt; leaves nothing open or staged."""
    left_over = LeftOver()
    response: Any = execution
    error: BaseException | None = None
    while True:
        message = plan.send(response) if error is None else plan.throw(error)
        response = error = None
        if isinstance(end := _mark(message), End):
            break
        try:
            response = yield message
            left_over.note(message)
        except GeneratorExit:
            plan.close()
            raise
        except BaseException as caught:  # noqa: B036 - whatever it is, the plan hears of it
            error = caught
    yield from left_over.put_away(end.error)
    if end.error is not None:
        raise end.error


def _mark(message: Msg) -> Any:
    return message.args[0] if message.command == "null" and message.args else None
