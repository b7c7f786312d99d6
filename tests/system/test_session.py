"""Campaigns in the lab's own session, with its RunEngine and devices."""

import math
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted

from orchestrator.domain.errors import ReductionError, Unusable
from orchestrator.session import Campaign
from simulators.soft.bench import Bench
from tests.system.lab import (
    FAST,
    answer,
    count,
    environment,
    events,
    finish,
    labwright,
    results,
    start,
    wait_for,
)
from tests.system.session_lab import ID, write_lab

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the lab's files, importable here and in every process."""
    for name, value in {**FAST, "PYTHONPATH": f"{tmp_path}:{ROOT}"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("own_plans", None)


def names() -> dict[str, Any]:
    """What a session has defined."""
    engine = RunEngine({"proposal": "2026-3"}, context_managers=[])
    engine.pause_msg = ""
    return {"RE": engine, "bench": Bench(name="bench")}


def own_session(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "session.py"],
        cwd=folder,
        env=environment(PYTHONPATH=f"{folder}:{ROOT}"),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def paths(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{folder}:{ROOT}"}


def abort_once(engine: RunEngine, file: Path) -> None:
    """As a person does at the prompt, once the file is there."""

    def order() -> None:
        wait_for(file.exists, f"there is {file}")
        engine.abort()

    threading.Thread(target=order, daemon=True).start()


def test_a_session_that_is_killed_is_resumed_by_labwright_run(lab: Path) -> None:
    campaign = write_lab(lab)
    (lab / "hold").touch()
    data_dir = lab / "data"
    where = ("--data-dir", str(data_dir))
    with own_session(lab) as session:
        try:
            wait_for(lambda: (lab / "moved-2").exists(), "trial 2 has moved something")
            assert count(data_dir, "running") == 1
            other = labwright("run", campaign, *where, code=2, **paths(lab))
            assert f"process {session.pid} is a session" in other.stderr
            same = labwright("run", "--resume", ID, *where, code=2, **paths(lab))
            assert f"campaign {ID!r} is live" in same.stderr
            with pytest.raises(Unusable, match=f"process {session.pid} drives instrument"):
                Campaign(campaign, namespace=names(), data_dir=data_dir)
        finally:
            session.send_signal(signal.SIGKILL)
    (lab / "hold").unlink()
    outcome = answer("run", "--resume", ID, *where, **paths(lab))
    assert outcome["trials"]["measured"] == 4
    rows = results(data_dir, ID)
    assert [row["attempts"] for row in rows] == ["1", "2", "1", "1"]
    told = [one["data"]["trial_id"] for one in events(data_dir, ID) if one["type"] == "measured"]
    assert sorted(told) == [1, 2, 3, 4], "each is counted once"
    assert "bitwise" in labwright("verify", ID, *where, **paths(lab)).stdout


def test_a_session_is_refused_while_labwright_run_drives(lab: Path) -> None:
    campaign = write_lab(lab, trials=2)
    (lab / "hold").touch()
    data_dir = lab / "data"
    running = start("run", campaign, "--id", "c", "--data-dir", str(data_dir), **paths(lab))
    wait_for(lambda: (lab / "moved-2").exists(), "trial 2 has moved something")
    with pytest.raises(Unusable, match="drives instrument 'own-bench' already"):
        Campaign(campaign, namespace=names(), data_dir=data_dir)
    (lab / "hold").unlink()
    code, _, complaint = finish(running)
    assert code == 0, complaint


def test_one_session_after_another(lab: Path) -> None:
    """With the lab's own devices, an attempt that a person aborts, and an end by the budget."""
    campaign, data_dir = write_lab(lab), lab / "data"
    mine = names()
    (lab / "hold").touch()
    with Campaign(campaign, id=ID, namespace=mine, data_dir=data_dir) as first:
        engine = mine["RE"]
        engine(first.plan(n=1))
        assert mine["bench"].x.value == first.results()["x"][0], "the session's own bench moved"
        abort_once(engine, lab / "moved-2")
        with pytest.raises(RunEngineInterrupted):
            engine(first.plan())
        assert first.state.trials[2].state == "cancelled"
        with pytest.raises(Unusable, match="this session drives instrument"):
            Campaign(campaign, namespace=mine, data_dir=data_dir)
    (lab / "hold").unlink()
    assert engine.preprocessors == []
    with pytest.raises(Unusable, match="was opened with other files"):
        Campaign(write_lab(lab, trials=5), id=ID, namespace=mine, data_dir=data_dir)
    with Campaign(write_lab(lab), id=ID, namespace=mine, data_dir=data_dir) as second:
        engine(second.plan())
        assert second.state.status == "done"
        table = second.results()
        assert list(table["state"]) == ["measured", "cancelled", "measured", "measured"]
        assert second.best.outcomes["branin"].mean == table["branin"].min()
        with pytest.raises(Unusable, match="is done: budget of trials spent"):
            second.plan()


def test_after_a_crash_a_session_says_what_to_look_at(lab: Path) -> None:
    write_lab(lab)
    instrument = (lab / "instrument.yaml").read_text()
    careful = instrument.replace("timeout_s: 10", "timeout_s: 10, takeover: person")
    (lab / "instrument.yaml").write_text(careful)
    (lab / "hold").touch()
    with own_session(lab) as session:
        wait_for((lab / "moved-2").exists, "trial 2 has moved something")
        session.send_signal(signal.SIGKILL)
    (lab / "hold").unlink()
    data_dir, mine = lab / "data", names()
    with Campaign(id=ID, namespace=mine, data_dir=data_dir) as again:
        with pytest.raises(Unusable, match="needs_person: look at bench after the crash"):
            mine["RE"](again.plan())
        with pytest.raises(Unusable, match="needs_person"):
            again.plan()
        labwright("resume", ID, "--data-dir", str(data_dir))
        mine["RE"](again.plan())
        assert list(again.results()["attempts"]) == [1, 2, 1, 1]


def test_an_abort_from_elsewhere_ends_the_plan(lab: Path) -> None:
    campaign, data_dir, mine = write_lab(lab), lab / "data", names()
    (lab / "hold").touch()

    def order() -> None:
        wait_for((lab / "moved-2").exists, "trial 2 has moved something")
        labwright("abort", ID, "--data-dir", str(data_dir), **paths(lab))

    with Campaign(campaign, id=ID, namespace=mine, data_dir=data_dir) as aborted:
        ordering = threading.Thread(target=order)
        ordering.start()
        mine["RE"](aborted.plan())
        ordering.join()
        wait_for(lambda: aborted.state.is_over, "the campaign is over")
        assert aborted.state.status == "aborted"
        assert list(aborted.results()["state"][:2]) == ["measured", "cancelled"]


def test_by_hand(lab: Path) -> None:
    campaign, data_dir = write_lab(lab, trials=3), lab / "data"
    with Campaign(campaign, id=ID, data_dir=data_dir) as mine:
        with pytest.raises(Unusable, match="which RunEngine"):
            mine.plan()
        labwright("pause", ID, "--data-dir", str(data_dir))
        with pytest.raises(Unusable, match=f"is paused: .*'labwright resume {ID}' lets it go on"):
            mine.suggest()
        labwright("resume", ID, "--data-dir", str(data_dir))
        first = mine.suggest()
        assert first.trial_id == 1
        assert set(first.parameters) == {"x", "y"}
        assert mine.suggest() == first
        for wrong, why in (
            ({}, "'branin' is missing"),
            ({"branin": math.nan}, "not finite"),
            ({"branin": (1.0, -1.0)}, "below 0"),
        ):
            with pytest.raises(ReductionError, match=why):
                mine.ingest(1, wrong)
        with pytest.raises(Unusable, match="trial 2 is not being measured by hand; trial 1 is"):
            mine.ingest(2, {"branin": 3.0})
        assert mine.give_up(1, "dropped it") == "queued"
        assert mine.suggest() == first
        assert mine.ingest(1, {"branin": (3.25, 0.5, "V")}) == "measured"
        assert mine.ingest(mine.suggest().trial_id, {"branin": 2000}) == "invalid"
        mine.suggest()
    with Campaign(id=ID, data_dir=data_dir) as again:
        third = again.suggest()
        assert again.state.trials[1].outcomes["branin"].unit == "V"
        assert again.state.trials[third.trial_id].reason == "given_up"
        again.ingest(third.trial_id, {"branin": 1.0})
        wait_for(lambda: again.state.is_over, "the campaign is over")
        assert again.best.trial_id == third.trial_id
    verified = labwright("verify", ID, "--data-dir", str(data_dir), **paths(lab))
    assert "bitwise" in verified.stdout
