"""What a worker that died has written down, and what is made of it."""

import json
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.adapters.execution.aftermath import restore
from orchestrator.adapters.guard.journal import Journal, accept, read_traces
from orchestrator.domain.errors import PlanFailed
from orchestrator.domain.spec import InstrumentSpec

ABOUT = {"campaign_id": "c", "trial_id": 7, "attempt": 2, "fence": 5, "documents": "runs/c/7.jsonl"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "bench-twin.jsonl"


def begun(path: Path) -> Journal:
    journal = Journal(path, ABOUT)
    journal.note("stage", "det", staged={"det.gain": 1, "det.cam.mode": "single"})
    journal.note("set", "x", to={"x": 3.5})
    journal.note("set", "x", to={"x": 4.5})
    journal.note("trigger", "det")
    return journal


def test_nothing_was_written(path: Path) -> None:
    assert read_traces(path) is None


def test_it_says_what_was_commanded(path: Path) -> None:
    journal = begun(path)
    traces = read_traces(path)  # before it is closed, as by a worker that is killed
    journal.close()
    assert traces is not None
    assert (traces.trial_id, traces.attempt, traces.fence) == (7, 2, 5)
    assert traces.commands == ("stage det", "set x", "set x", "trigger det")
    assert traces.setpoints == {"x": 4.5}
    assert list(traces.staged.items()) == [("det.cam.mode", "single"), ("det.gain", 1)], "backwards"


def test_the_next_attempt_begins_a_new_one(path: Path) -> None:
    begun(path).close()
    Journal(path, {**ABOUT, "fence": 6}).close()
    traces = read_traces(path)
    assert traces is not None
    assert (traces.fence, traces.commands, traces.staged) == (6, (), {})


def test_what_was_unstaged_or_accepted_is_not_put_back(path: Path) -> None:
    with closing(begun(path)) as journal:
        journal.note("unstaged", "det")
    assert read_traces(path).staged == {}  # type: ignore[union-attr]
    begun(path).close()
    accept(path)
    traces = read_traces(path)
    assert traces is not None
    assert traces.staged == {}
    assert traces.commands[-1] == "trigger det", "accepting is no command"


def test_staged_twice_it_held_what_it_held_at_first(path: Path) -> None:
    with closing(begun(path)) as journal:
        journal.note("stage", "det", staged={"det.gain": 9})
    assert read_traces(path).staged["det.gain"] == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("tail", [b'{"command": "se', b"\0\0\0\n", b"\xff\n"])
def test_a_damaged_end_takes_nothing_of_what_came_before(path: Path, tail: bytes) -> None:
    begun(path).close()
    path.write_bytes(path.read_bytes() + tail)
    traces = read_traces(path)
    assert traces is not None
    assert traces.staged["det.gain"] == 1
    assert len(traces.commands) == 4


@pytest.mark.parametrize("content", [b"", b"\n", b"[]\n", b"{}\n", b"\xff\n"])
def test_a_damaged_beginning_tells_nothing(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    assert read_traces(path) is None


def test_what_cannot_be_written_down_is_not_commanded(path: Path) -> None:
    journal = begun(path)
    journal.close()
    with pytest.raises(PlanFailed, match="cannot be written"):
        journal.note("set", "x", to={"x": 1.0})
    path.parent.rename(path.parent.with_name("away"))
    path.parent.write_text("in the way")
    with pytest.raises(PlanFailed, match="cannot be written"):
        Journal(path, ABOUT)


# Putting back


class Signal:
    def __init__(self, value: Any, *, obeys: bool = True) -> None:
        self.value, self.obeys, self.puts = value, obeys, []

    def get(self) -> Any:
        return self.value

    def set(self, value: Any) -> Any:
        self.puts.append(value)
        self.value = value if self.obeys else self.value

        def wait(timeout: float) -> None:
            if not self.obeys:
                raise TimeoutError("it does not move")

        return SimpleNamespace(wait=wait)


def put_back(staged: dict[str, Any], **signals: Signal) -> list[str]:
    spec = {"class": "a.B", "limits": [0, 10], "unit": "mm"}
    data = {"name": "bench", "mode": "twin", "devices": {"x": spec, "det": {"class": "a.B"}}}
    instrument = InstrumentSpec.model_validate_json(json.dumps(data))
    devices: Any = SimpleNamespace(at=lambda path: signals[path.replace(".", "_")])
    return restore(devices, instrument, staged)


def test_only_what_has_changed_is_put_back() -> None:
    gain, mode = Signal(5), Signal("single")
    assert put_back({"det.gain": 1, "det.mode": "single"}, det_gain=gain, det_mode=mode) == [
        "det.gain"
    ]
    assert (gain.puts, mode.puts) == ([1], [])


def test_arrays_are_compared_as_lists() -> None:
    import numpy as np

    roi = Signal(np.array([1, 2]))
    assert put_back({"det.roi": [1, 2]}, det_roi=roi) == []


def test_limits_are_those_of_the_device_and_not_of_its_parts() -> None:
    assert put_back({"x.velocity": 99.0}, x_velocity=Signal(1.0)) == ["x.velocity"]
    with pytest.raises(PlanFailed, match=r"x cannot be put back to 99.0: .* outside 0.0 to 10.0"):
        put_back({"x": 99.0}, x=Signal(1.0))
    assert put_back({"x": 99.0}, x=Signal(99.0)) == [], "it is there already"


def test_what_does_not_obey_is_named() -> None:
    with pytest.raises(PlanFailed, match=r"det.gain cannot be put back to 1: TimeoutError"):
        put_back({"det.gain": 1}, det_gain=Signal(5, obeys=False))
