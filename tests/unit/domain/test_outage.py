"""What people read when the ledger is away."""

import pytest

from orchestrator.domain import events as ev
from orchestrator.domain.outage import Cause, Outage, alarm, note, span
from orchestrator.domain.state import CampaignState, fold

DIED = Outage(100.0, Cause.DIED, "its process 7 was killed by signal 9")
SILENT = Outage(100.0, Cause.SILENT, "timed out")
FULL = Outage(100.0, Cause.FULL, "the log cannot be saved: no room")


def running(gate: str) -> CampaignState:
    opened = ev.Opened(
        id="1-0",
        at=1.0,
        campaign_id="c",
        instrument="stage",
        mode="twin",
        spec={},
        instrument_spec={"gate": gate},
    )
    proposed = ev.Proposed(
        id="2-0", at=2.0, trial_id=1, parameters={}, source="initial", basis="1-0", seed=0
    )
    leased = ev.Leased(id="3-0", at=3.0, trial_id=1, worker="w", fence=1)
    started = ev.Started(id="4-0", at=4.0, trial_id=1, attempt=1, fence=1)
    return fold([opened, proposed, leased, started])


def test_a_lost_link_says_what_happens_and_what_to_do() -> None:
    text = alarm(SILENT, 142.0, "See that the server runs.", yields=False, lease_s=30)
    assert text == (
        "control link lost for 42 s: timed out. The worker finishes a running trial, keeps its "
        "result in the outbox and starts nothing new; it goes on by itself when the server "
        "answers. See that the server runs."
    )


def test_a_worker_that_can_be_replaced_stops_by_itself() -> None:
    text = alarm(SILENT, 142.0, "", yields=True, lease_s=30)
    assert "stops a running trial by itself after 24 s without an answer" in text


def test_a_full_disk_starts_nothing() -> None:
    text = alarm(FULL, 142.0, "", yields=False, lease_s=30)
    assert text.startswith("Not starting: the log cannot be saved: no room (for 42 s). ")
    assert text.endswith("it goes on by itself when there is room")


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ("flock", "Trial 1 was running: its worker finishes it, keeps the result in the outbox"),
        ("fence_pv", "Trial 1 was running: its worker stops it after 24 s without an answer"),
    ],
)
def test_a_note_tells_of_the_running_trial(gate: str, says: str) -> None:
    text = note(DIED, 100.4, running(gate), 30)
    assert text.startswith(
        "the ledger's server was away for 0.4 s: its process 7 was killed by signal 9, and it was "
        "started again. Nothing that was acknowledged is lost. "
    )
    assert says in text


def test_a_note_without_a_trial() -> None:
    assert "No trial was running" in note(SILENT, 190.0, CampaignState(), 30)


def test_more_is_known_later_and_never_less() -> None:
    assert SILENT.widened(Cause.DIED, "it died") == Outage(100.0, Cause.DIED, "it died")
    assert FULL.widened(Cause.DIED, "it died") == FULL


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.0 s"), (0.44, "0.4 s"), (42, "42 s"), (300, "5 min"), (9000, "2.5 h")],
)
def test_a_length_of_time(seconds: float, text: str) -> None:
    assert span(seconds) == text
