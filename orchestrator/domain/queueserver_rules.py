"""What changes when a queueserver runs the plans: what a file may not ask, and what is not held.

Its devices live in the queueserver's own process, so whatever the worker would do with devices
nobody can do. A file that asks for that is refused, for else somebody might rely on it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.domain.findings import Finding, as_mapping

PLANS = "queueserver:"
"""Before the name of a plan that the queueserver runs: it alone knows its plans."""

_UNHEEDED = {
    "twin": "the plans run where the queueserver has its devices",
    "from": "the devices are those of the queueserver's own startup",
    "run_engine": "the plans run on the queueserver's RunEngine",
    "baseline": "subscribe it in the queueserver's own startup",
    "monitors": "subscribe them in the queueserver's own startup",
    "suspenders": "install them on the RunEngine in the queueserver's own startup",
    "md": "put it into RE.md in the queueserver's own startup",
    "move_order": "the plan itself says in which order it moves",
    "conditions": "install suspenders in the queueserver's own startup",
    "budgets": "what a plan uses up is not seen from here",
    "quiet": "a plan that is aborted cleans up by itself",
    "park": "let a plan of the queueserver do it",
    "files": "the queueserver's own startup says where detectors write",
}
"""By key of the instrument file: why it means nothing, or where it belongs."""
_KNOWN = ("unit", "limits", "axes", "takeover")
"""What may be said of a device."""

_HELD = (
    "limits and joint constraints of what a trial sets, looked at before each submission",
    "one plan at a time, and no second item while one is running: the manager refuses it",
)
_NOT_HELD = (
    "what the plan commands beside that, real axes, steps, rates and the way between two points",
    "budgets of dose or reagent",
    "that a device is where it was sent, and that the limits of its IOC are no wider",
    "that nothing is done twice when somebody pauses a plan and resumes it",
    "that no reading is in INVALID alarm, which no document tells",
    "conditions, quiet and park: the queueserver's own suspenders and the plan's own clean-up",
)
ENVELOPE: Mapping[str, Sequence[str]] = {"held": _HELD, "not_held": _NOT_HELD}
"""What of the safety envelope holds on a queueserver and what does not, for scripts."""


def envelope_lines() -> list[str]:
    """What of the safety envelope holds on a queueserver and what does not, for people."""
    return [
        "of the safety envelope holds on a queueserver:",
        *(f"  {one}" for one in _HELD),
        "does not hold:",
        *(f"  {one}" for one in _NOT_HELD),
    ]


def queueserver_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything in an instrument file that a queueserver would not see to."""
    if data.get("mode") == "twin":
        message = "nobody here knows what a queueserver drives, so write 'mode: real'"
        yield ("mode",), message
    for key, instead in _UNHEEDED.items():
        if data.get(key):
            yield (key,), f"means nothing with 'queueserver': {instead}"
    for name, device in as_mapping(data.get("devices")).items():
        for key, value in as_mapping(device).items():
            # The ledger's copy of a file says each default, which asks for nothing.
            is_default = not value or (key, value) == ("readback", "encoder")
            if key not in _KNOWN and not is_default:
                known = ", ".join(_KNOWN)
                message = f"the device is the queueserver's own, so give its {known} and no more"
                yield ("devices", name, key), message
