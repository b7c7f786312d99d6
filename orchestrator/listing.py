"""Campaigns as a plain table: what ``list`` and ``status`` print, without loading a display."""

from orchestrator import service
from orchestrator.domain.state import CampaignState
from orchestrator.domain.trial import TERMINAL, TrialState

HEAD = ("campaign", "mode", "instrument", "status", "trials", "waits for")


def campaign_lines(states: list[CampaignState]) -> list[str]:
    """A heading and one line for each campaign, in columns."""
    table = [HEAD, *(_row(state) for state in states)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEAD))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def _row(state: CampaignState) -> tuple[str, ...]:
    done, total = state.count(*TERMINAL), state.spec["budget"]["trials"]
    reason = state.waiting_for or state.stop_reason or _what_runs(state)
    head = (state.campaign_id, state.mode.upper(), state.instrument, str(state.status))
    return (*head, f"{done} of {total}", reason)


def _what_runs(state: CampaignState) -> str:
    for trial in state.in_state(TrialState.RUNNING, TrialState.LEASED, TrialState.SUSPECT):
        return f"trial {trial.trial_id} {service.sentence(trial)}"
    return ""
