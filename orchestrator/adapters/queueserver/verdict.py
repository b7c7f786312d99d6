"""What became of an item that has ended: a measurement, or why it is none."""

import re
import time
from collections.abc import Mapping
from typing import Any

from orchestrator.adapters.queueserver.documents import DocumentListener
from orchestrator.adapters.queueserver.intake import Intake
from orchestrator.adapters.queueserver.watch import GONE
from orchestrator.adapters.queueserver.worker import POLL_S
from orchestrator.domain.errors import PlanFailed, PlanStopped

DOCUMENTS_S = 5.0
"""How long the last documents may take after the manager says that the plan has ended."""
DESTROYED = "environment was destroyed"
"""What the manager's history says of a plan whose environment somebody has destroyed."""


def judge(result: Mapping[str, Any], intake: Intake, listener: DocumentListener) -> None:
    """Pass when the plan was completed and all its documents are here.

    Args:
        result: of the item, as the manager's history has it.
        intake: of its documents; those that are on their way are waited for.
        listener: that the documents come by.

    Raises:
        PlanStopped: somebody has ended it.
        PlanFailed: it was not completed, or documents are missing.
    """
    status, message = result["exit_status"], str(result.get("msg") or "it does not say why")
    if status == "failed" and DESTROYED in message:
        raise PlanStopped("somebody has destroyed the environment in which the plan ran")
    if status == "failed":
        raise PlanFailed(message.removeprefix("Plan failed: ") + _line(result.get("traceback")))
    if status == "unknown":
        message = "the queueserver was restarted meanwhile and knows not how the plan ended"
        raise PlanFailed(message, GONE)
    if status != "completed":
        raise PlanStopped(f"somebody has ended the plan at the queueserver: {status}")
    if lack := _lack(result["run_uids"], intake):
        raise PlanFailed(f"{lack} from {listener.address}; {_cause(listener)}", _NOT_RECEIVED)


_NOT_RECEIVED = "documents_not_received"


def _lack(runs: list[str], intake: Intake) -> str | None:
    give_up = time.monotonic() + DOCUMENTS_S
    while (lack := intake.lack(runs)) and time.monotonic() < give_up:
        time.sleep(POLL_S)
        intake.take()
    return lack


def _cause(listener: DocumentListener) -> str:
    if listener.refused is not None:
        return f"a message that came was thrown away: {listener.refused}"
    return "does the queueserver's startup publish them there with RE.subscribe(Publisher(...))?"


def _line(traceback: object) -> str:
    """The last line of the lab's own code that a traceback names, in brackets."""
    lines = re.findall(r'File "([^"]+)", line (\d+)', str(traceback))
    own = [(file, line) for file, line in lines if "site-packages" not in file]
    return f" ({own[-1][0]}:{own[-1][1]})" if own else ""
