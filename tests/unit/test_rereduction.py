"""What would have been proposed by corrected outcomes, and what became of what was."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from orchestrator import rereduction
from orchestrator.domain import events as ev
from orchestrator.domain.proposal import Suggestion
from orchestrator.rereduction import Order, Rereduction, lines, with_proposals
from tests.unit.domain.builders import (
    acquired,
    leased,
    log,
    measured,
    opened,
    proposed,
    run,
    started,
)


def by_model(trial_id: int, x: float) -> ev.Proposed:
    return replace(proposed(trial_id, x=x), source="model", basis="0006-0")


def test_only_what_was_measured_is_called_measured(monkeypatch: Any) -> None:
    """Trial 2 was replaced before it started; trial 3 still waits."""
    revised = ev.Superseded(
        trial_id=2, parameters={"x": 5.0}, source="model", basis="0006-0", seed=1, revision=1
    )
    measuring = [leased(2), started(2), acquired(2), measured(2, y=2.0)]
    trials = [by_model(2, 4.0), revised, *measuring, by_model(3, 6.0)]
    happened = [opened(), *run(1, measured(1, y=1.0)), *trials]
    events = log(*((float(second), event) for second, event in enumerate(happened)))
    other = SimpleNamespace(suggest=lambda _: Suggestion({"x": 9.0}, "model"))
    monkeypatch.setattr(rereduction, "Model", lambda: nullcontext(other))

    order = Rereduction("scan-1", Order(reducer="lab.peak", by="eve"), [], 0)
    ledger: Any = SimpleNamespace(events=lambda _: events)
    done = with_proposals(order, ledger, lambda _: None)
    assert lines(done)[1:] == [
        "trial 2 revision 0, not measured at x 4, would have been proposed at x 9",
        "trial 2 revision 1, measured at x 5, would have been proposed at x 9",
        "trial 3 revision 0, not measured at x 6, would have been proposed at x 9",
        "3 of 3 proposals of the model differ",
    ]
    told = [(one["revision"], one["was_measured"]) for one in done.to_data()["different"]]
    assert told == [(0, False), (1, True), (0, False)]
