"""The ledger's server is away, or cannot save: the words for people, while it lasts and after."""

from dataclasses import dataclass
from enum import IntEnum

from orchestrator.domain.state import CampaignState
from orchestrator.domain.trial import TrialState

NOT_STARTING = "Not starting: "
"""How each sentence begins that tells of a disk without room."""
SELF_FENCE = 0.8
"""Part of a lease without an answer after which a worker that can be replaced stops by itself."""


class Cause(IntEnum):
    """What is wrong; the greater one explains more."""

    SILENT = 1
    """It does not answer: frozen, stopped elsewhere, or the link is cut."""
    DIED = 2
    """The server inside the data folder ended."""
    FULL = 3
    """There is no room for the log."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A time without the ledger."""

    since: float
    """Unix time in seconds."""
    cause: Cause
    detail: str
    """What was seen, as a sentence without its full stop."""

    def widened(self, cause: Cause, detail: str) -> "Outage":
        """The same outage when more is known of it."""
        return Outage(self.since, cause, detail) if cause > self.cause else self


def alarm(outage: Outage, now: float, advice: str, *, yields: bool, lease_s: float) -> str:
    """What is wrong at ``now`` (Unix seconds), what happens meanwhile, and what to do.

    Args:
        outage: what is wrong.
        now: Unix time in seconds.
        advice: what a person can do, as a sentence without its full stop.
        yields: True under a gate that lets others take over from a worker that lives.
        lease_s: seconds that a lease lasts.
    """
    lasted = span(now - outage.since)
    meanwhile = _meanwhile(yields, lease_s)
    if outage.cause is Cause.FULL:
        return (
            f"{NOT_STARTING}{outage.detail} (for {lasted}). A trial that was running may fail for "
            "want of room and is then tried again; it goes on by itself when there is room"
        )
    return (
        f"control link lost for {lasted}: {outage.detail.rstrip('.')}. {meanwhile}; "
        f"it goes on by itself when the server answers. {advice}"
    )


def note(outage: Outage, ended: float, state: CampaignState, lease_s: float) -> str:
    """What to write into a campaign's log once the server is back.

    Args:
        outage: what was wrong.
        ended: when it was over, Unix time in seconds.
        state: the campaign's state then.
        lease_s: seconds that a lease lasts.
    """
    what = {
        Cause.FULL: "the log could not be saved",
        Cause.DIED: "the ledger's server was away",
        Cause.SILENT: "the control link was lost",
    }[outage.cause]
    again = ", and it was started again" if outage.cause is Cause.DIED else ""
    return (
        f"{what} for {span(ended - outage.since)}: {outage.detail}{again}. "
        f"Nothing that was acknowledged is lost. {_running(state, lease_s)}"
    )


def span(seconds: float) -> str:
    """A length of time in words: ``0.4 s``, ``12 s``, ``5 min``, ``3.2 h``."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _meanwhile(yields: bool, lease_s: float) -> str:
    if yields:
        return (
            f"The worker stops a running trial by itself after {lease_s * SELF_FENCE:g} s without "
            "an answer, so that another may take over, and starts nothing new"
        )
    return (
        "The worker finishes a running trial, keeps its result in the outbox and starts nothing new"
    )


def _running(state: CampaignState, lease_s: float) -> str:
    running = state.in_state(TrialState.RUNNING)
    if not running:
        return "No trial was running, and none was started meanwhile."
    trial = f"Trial {running[0].trial_id} was running"
    if state.instrument_spec.get("gate") == "fence_pv":
        return (
            f"{trial}: its worker stops it after {lease_s * SELF_FENCE:g} s without an answer, "
            "and goes on with it otherwise."
        )
    return (
        f"{trial}: its worker finishes it, keeps the result in the outbox until it is recorded, "
        "and started nothing new meanwhile."
    )
