"""A lab's own RunEngine and suspenders: kept as they are, and under the same guard as all else."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.errors import DeviceUnavailable, EnvelopeError, PlanFailed
from tests.unit.adapters import adoption_lab
from tests.unit.adapters.executor_lab import BENCH, HOOKS, Lab

HERE = "tests.unit.adapters.adoption_lab"
PLANS = "tests.unit.adapters.executor_lab"


@pytest.fixture
def lab(tmp_path: Path) -> Callable[..., Lab]:
    adoption_lab.BEAM.put(100.0)
    adoption_lab.DONE.clear()
    HOOKS.clear()

    def make(engine: str | None = None, **more: Any) -> Lab:
        given = {} if engine is None else {"run_engine": f"{HERE}:{engine}"}
        return Lab(tmp_path, {**given, **more})

    return make


def starts(lab: Lab) -> list[dict[str, Any]]:
    return [document for name, document in lab.documents() if name == "start"]


def test_its_metadata_and_preprocessors_are_kept(lab: Callable[..., Lab]) -> None:
    made = lab("make_engine", md={"required": ["proposal", "sample"]})
    made.run()
    (start,) = starts(made)
    assert (start["proposal"], start["sample"], start["trial_id"]) == ("2026-1", "gold", 7)
    assert ("x", 0.5) in made.bench.told


def test_what_its_preprocessors_add_is_checked(lab: Callable[..., Lab]) -> None:
    made = lab("make_wild_engine")
    with pytest.raises(EnvelopeError, match=r"bench.x = 99.0 is outside"):
        made.run()
    assert ("x", 99.0) not in made.bench.told
    assert made.executor.is_reusable


def test_its_preprocessors_may_move_devices_of_the_instrument_only(
    lab: Callable[..., Lab],
) -> None:
    made = lab("make_straying_engine")
    before = adoption_lab.STRANGER.position
    with pytest.raises(EnvelopeError, match="stranger is no device of this instrument"):
        made.run()
    assert adoption_lab.STRANGER.position == before


def test_its_subscribers_end_no_measurement(lab: Callable[..., Lab]) -> None:
    made = lab("make_angry_engine")
    with pytest.warns(UserWarning, match="RuntimeError"):
        assert made.run().run_uid
    assert made.stop_document()["exit_status"] == "success"


def test_there_is_one_baseline_of_the_lab_and_of_the_file(lab: Callable[..., Lab]) -> None:
    made = lab("make_recording_engine", baseline=["bench.x"])
    made.run()
    (baseline,) = [
        document
        for name, document in made.documents()
        if name == "descriptor" and document["name"] == "baseline"
    ]
    assert {"stranger", "bench_x"} <= set(baseline["data_keys"])
    args = {"device": "stranger", "value": 3, "detector": "bench.det"}
    with pytest.raises(EnvelopeError, match="stranger has no limits"):
        made.run(f"{PLANS}.goes_astray", args)


def test_a_baseline_without_an_engine_of_the_lab(lab: Callable[..., Lab]) -> None:
    made = lab(baseline=["bench.y"])
    made.run()
    names = [document["name"] for name, document in made.documents() if name == "descriptor"]
    assert sorted(names) == ["baseline", "primary"]


def test_signals_are_recorded_during_a_run(lab: Callable[..., Lab]) -> None:
    source = {"factory": HERE, "use": ["BEAM"]}
    made = lab(**{"from": [source]}, devices={"bench": BENCH, "BEAM": {}}, monitors=["BEAM"])
    HOOKS.append(lambda: adoption_lab.BEAM.put(42.0))
    made.run(f"{PLANS}.calls", {"detector": "bench.det", "number": 0})
    documents = [document for name, document in made.documents() if name == "event"]
    assert [one["data"]["beam"] for one in documents if "beam" in one["data"]] == [100.0, 42.0]


def test_documents_that_cannot_be_saved_end_the_plan(
    lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a RunEngine that ignores what its subscribers raise."""
    made = lab("make_engine")

    def full(self: Any, name: str, document: Any) -> None:
        self.error = PlanFailed("the disk is full", "documents_not_saved")
        raise self.error

    monkeypatch.setattr("orchestrator.adapters.documents.run_documents.DocumentWriter.write", full)
    HOOKS.append(lambda: None)
    with (
        pytest.warns(UserWarning, match="the disk is full"),
        pytest.raises(PlanFailed, match="the disk is full"),
    ):
        made.run(f"{PLANS}.cleans_up", {"detector": "bench.det", "marker": 0})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"run_engine": f"{HERE}:make_none"}, "run_engine: .* is a NoneType, not a RunEngine"),
        ({"run_engine": f"{HERE}:make_engin"}, "run_engine: no 'make_engin' in .*make_engine"),
        ({"run_engine": f"{HERE}:raises"}, "run_engine: OSError: no network"),
        (
            {"run_engine": f"{HERE}:make_engine", "md": {"required": ["cycle"]}},
            "md.required: RE.md has no 'cycle'; it has proposal, sample",
        ),
        ({"suspenders": f"{HERE}:make_list"}, "suspenders: .* is no suspender of Bluesky"),
    ],
)
def test_what_the_lab_does_not_give_is_told_with_its_key(
    lab: Callable[..., Lab], more: dict[str, Any], told: str
) -> None:
    with pytest.raises(DeviceUnavailable, match=f"^{told}"):
        lab(**more)


SUSPENDERS = {"suspenders": f"{HERE}:all_suspenders"}


def test_a_suspender_that_has_tripped_forbids_the_start(lab: Callable[..., Lab]) -> None:
    made = lab(**SUSPENDERS)
    assert made.executor.tripped() is None
    adoption_lab.BEAM.put(5.0)
    assert made.executor.tripped() == "SuspendFloor: beam is 5.0"
    adoption_lab.BEAM.put(50.0)
    assert made.executor.tripped() is None
    assert adoption_lab.DONE == [], "no plan ran, so there was nothing to suspend"


def test_a_suspender_that_trips_ends_the_attempt(lab: Callable[..., Lab]) -> None:
    made = lab(**SUSPENDERS)
    HOOKS.append(lambda: adoption_lab.BEAM.put(5.0))
    with pytest.raises(PlanFailed, match="SuspendFloor: beam is 5.0") as failed:
        made.run(f"{PLANS}.calls", {"detector": "bench.det", "number": 0})
    assert failed.value.reason == "interrupted"
    assert adoption_lab.DONE == ["before"]
    told = list(made.bench.told)
    adoption_lab.BEAM.put(50.0)
    assert made.executor.tripped() is None
    assert made.executor.tripped() is None
    assert adoption_lab.DONE == ["before", "after"]
    assert made.bench.told == told, "nothing is sent again"
    assert made.run().run_uid


def test_the_next_worker_does_what_a_suspender_still_wants_done(lab: Callable[..., Lab]) -> None:
    """Otherwise it would measure behind the shutter that the first one has closed."""
    first = lab(**SUSPENDERS)
    HOOKS.append(lambda: adoption_lab.BEAM.put(5.0))
    with pytest.raises(PlanFailed):
        first.run(f"{PLANS}.calls", {"detector": "bench.det", "number": 0})
    assert adoption_lab.DONE == ["before"]
    following = lab(**SUSPENDERS)
    assert following.executor.tripped() == "SuspendFloor: beam is 5.0"
    adoption_lab.BEAM.put(50.0)
    assert following.executor.tripped() is None
    assert adoption_lab.DONE == ["before", "after"]
    assert lab(**SUSPENDERS).executor.tripped() is None
    assert adoption_lab.DONE == ["before", "after"]


def test_an_irreversible_plan_waits_where_it_stands(lab: Callable[..., Lab]) -> None:
    device = {"bench": {**BENCH, "irreversible": True}}
    made = lab(devices=device, **SUSPENDERS)

    def trip() -> None:
        adoption_lab.BEAM.put(5.0)
        threading.Timer(0.3, adoption_lab.BEAM.put, [50.0]).start()

    HOOKS.append(trip)
    settings = {"bench.x": 1.0, "bench.y": 2.0}
    made.run(f"{PLANS}.calls", {"detector": "bench.det", "number": 0}, settings)
    assert made.stop_document()["exit_status"] == "success"
    assert [axis for axis, _ in made.bench.told if axis in ("x", "y")] == ["x", "y"]


def test_parking_does_not_wait_for_a_suspender(lab: Callable[..., Lab]) -> None:
    made = lab(park=[{"set": {"bench.x": 0.0}}], **SUSPENDERS)
    adoption_lab.BEAM.put(5.0)
    parked = threading.Thread(target=made.executor.park, daemon=True)
    parked.start()
    parked.join(10)
    assert not parked.is_alive()
    assert ("x", 0.0) in made.bench.told
    assert made.executor.tripped() == "SuspendFloor: beam is 5.0"
