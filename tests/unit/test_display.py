"""What a run says on a terminal and in a log."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator import display
from orchestrator.domain import events as ev
from orchestrator.domain.state import fold
from orchestrator.domain.summary import summary
from tests.unit.domain import builders

LINE = "(/home/beamline/profile/startup/20-plans.py:123)"


def log_of(*events: ev.Event) -> list[ev.Event]:
    """A campaign in which this happened."""
    opened = ev.Opened(
        campaign_id="c",
        instrument="i",
        mode="twin",
        spec=builders.campaign().to_data(),
        instrument_spec={},
    )
    return [replace(one, id=f"{n}-0", at=float(n)) for n, one in enumerate([opened, *events], 1)]


def test_a_run_that_ends_for_a_person_says_what_for_whatever_is_in_the_text() -> None:
    log = log_of(ev.NeedsPerson(by="sentinel", reason="look at the slit [/a.u.]"))
    told = io.StringIO()
    console = Console(file=told, width=200)
    about = {"results": Path("r"), "data_dir": Path("d")}
    display.final_words(console, {**summary(log), **about}, fold(log))
    console.print(display.Display(console).draw(fold(log)))
    said = told.getvalue()
    assert "\nneeds a person: look at the slit [/a.u.]\n" in said
    assert "needs_person: look at the slit [/a.u.]" in said


@pytest.mark.parametrize("message", [f"short {LINE}", f"{'very ' * 100}long {LINE}"])
def test_a_failure_keeps_the_line_of_the_plan(
    message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = ev.Failed(
        trial_id=1, reason="plan_failed", message=message, crash=False, then="queued"
    )
    display.plain(fold(log_of()), [failed])
    said = capsys.readouterr().err
    assert said.endswith(f"{LINE}\n")
    assert said.startswith("trial 1 failed (plan_failed): ")
    assert len(said) < 300


def test_a_failure_that_is_the_last_one_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    failed = ev.Failed(trial_id=1, reason="stopped", message="hot", crash=False, then="abandoned")
    display.plain(fold(log_of()), [failed])
    assert capsys.readouterr().err == "trial 1 failed (stopped): hot; the trial is abandoned\n"
