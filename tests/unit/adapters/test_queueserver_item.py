"""An item that is followed and ended on a manager that others use, too."""

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.adapters.queueserver import item as queueserver_item
from orchestrator.adapters.queueserver import watch
from orchestrator.adapters.queueserver.client import Refused
from orchestrator.adapters.queueserver.item import Item
from orchestrator.adapters.queueserver.watch import ManagerStuck

OURS, THEIRS = "ours", "theirs"
DONE = {"exit_status": "completed", "run_uids": []}


class _Manager:
    """Gives one status after the other, the last one for ever; keeps what it is asked."""

    def __init__(self, *states: tuple[str, str | None]) -> None:
        self._states = list(states)
        self.asked: list[str] = []
        self.worker = "executing_plan"
        self.lock: str | None = None
        self.idle_for = 0
        """How many orders to pause are refused, because the RunEngine has not yet begun."""

    def status(self) -> Mapping[str, Any]:
        state, running = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        worker = {"worker_environment_state": self.worker}
        return {"manager_state": state, "running_item_uid": running, **worker}

    def history(self) -> list[Mapping[str, Any]]:
        return [{"item_uid": OURS, "result": DONE}]

    def ask(self, method: str, **_: Any) -> Mapping[str, Any]:
        self.asked.append(method)
        if method == "re_pause" and self.lock is not None:
            raise Refused(self.lock)
        if method == "re_pause" and self.idle_for:
            self.idle_for -= 1
            raise Refused("Run engine can be paused only in 'running' state")
        if method == "re_pause":
            self._states = [("executing_queue", OURS), ("paused", OURS)]
        if method in ("re_abort", "re_halt"):
            self._states = [("paused", OURS), ("idle", None)]
        return {}


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queueserver_item, "POLL_S", 0.001)


def _follow(manager: _Manager, announce: Any = lambda _: None) -> Mapping[str, Any]:
    item = Item(manager, OURS)  # pyright: ignore[reportArgumentType]
    return item.follow(5.0, lambda: True, lambda: None, announce)


def test_it_is_over_when_the_queue_goes_on_with_an_item_of_others() -> None:
    manager = _Manager(("executing_queue", OURS), ("executing_queue", THEIRS))
    assert _follow(manager) == DONE


def test_ending_it_leaves_an_item_of_others_alone() -> None:
    manager = _Manager(("executing_queue", THEIRS))
    item = Item(manager, OURS)  # pyright: ignore[reportArgumentType]
    assert item.end(halt=False, grace_s=0.5) is None
    assert manager.asked == []


@pytest.mark.parametrize(("halt", "order"), [(False, "re_abort"), (True, "re_halt")])
def test_one_that_has_hardly_begun_is_ended(halt: bool, order: str) -> None:
    manager = _Manager(("executing_queue", OURS))
    manager.idle_for = 2
    item = Item(manager, OURS)  # pyright: ignore[reportArgumentType]
    assert item.end(halt=halt, grace_s=5.0) is None
    assert manager.asked == ["re_pause", "re_pause", "re_pause", order]


def test_why_it_cannot_be_ended_is_told() -> None:
    manager = _Manager(("executing_queue", OURS))
    manager.lock = "locked by Ada"
    item = Item(manager, OURS)  # pyright: ignore[reportArgumentType]
    assert item.end(halt=False, grace_s=0.1) == "locked by Ada"


def test_while_it_is_paused_its_follower_says_that_it_waits() -> None:
    """Else the follower would be taken for hung, and the next worker would abort the plan."""
    paused = [("paused", OURS)] * 5
    announced: list[float] = []
    _follow(_Manager(("executing_queue", OURS), *paused, ("idle", None)), announced.append)
    assert len(announced) == len(paused)
    assert all(4.5 < left <= 5.0 for left in announced)


def test_a_manager_that_does_not_note_the_end_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when its Redis has died, to which it writes the history."""
    monkeypatch.setattr(watch, "STUCK_S", 0.1)
    manager = _Manager(("executing_queue", OURS))
    manager.worker = "idle"
    with pytest.raises(ManagerStuck, match="its Redis"):
        _follow(manager)
