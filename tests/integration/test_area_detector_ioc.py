"""The twin's area detector over real Channel Access, driven by ophyd's own classes.

Its server is fast, so that slits, hysteresis and heat of the mirrors are seen here, too.

Run as a program, this file is the client: `python THIS_FILE SCENARIO FOLDER` prints one JSON line.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


# ------------------------------------------------------------------------- server


@pytest.fixture(scope="module")
def puts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File with a line for each put."""
    return tmp_path_factory.mktemp("witness") / "puts.jsonl"


@pytest.fixture(scope="module")
def port(puts: Path) -> Iterator[int]:
    command = [sys.executable, "-m", "simulators.serve", "kb-mirrors", "--time-compression", "600"]
    command += ["--witness", str(puts)]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE) as process:
        try:
            yield json.loads(process.stdout.readline())["port"]
        finally:
            process.kill()


def client(scenario: str, port: int, folder: Path) -> Any:
    environment = {name: v for name, v in os.environ.items() if not name.startswith("EPICS_")}
    environment |= {
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(port),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, __file__, scenario, str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, text=True, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_count_with_the_classes_of_a_beamline(port: int, tmp_path: Path) -> None:
    """Ophyd's camera, plugin and mix-ins, put together as its documentation does it."""
    answer = client("count", port, tmp_path)
    assert answer["names"].count("event") == answer["names"].count("datum") == 3
    assert answer["shape"] == [6, 256, 256]
    assert answer["frames_per_point"] == 2
    assert answer["data_key"] == {"shape": [2, 256, 256], "dtype_numpy": "<u2"}
    assert answer["is_staged_back"]


def test_our_own_class_does_the_same(port: int, tmp_path: Path, puts: Path) -> None:
    answer = client("ours", port, tmp_path)
    lines = [json.loads(line) for line in puts.read_text().splitlines()]
    paths = [line["value"] for line in lines if line["pv"] == "KB:DET:HDF1:FilePath"]
    assert f"{tmp_path}/" in paths
    assert answer["names"].count("event") == 3
    assert answer["shape"] == [6, 256, 256]


def test_without_a_folder_staging_fails_at_once(port: int, tmp_path: Path) -> None:
    answer = client("nowhere", port, tmp_path)
    assert re.search(r"eye: its IOC finds no folder .*nowhere", answer["missing"])
    assert "eye: no folder for its files; give 'files'" in answer["unset"]
    assert "eye: longer than 255 characters" in answer["long"]


def test_slits_hysteresis_and_heat_are_seen_at_the_focus(port: int, tmp_path: Path) -> None:
    """Flux and vertical size, each by the first trigger since a move: equal ones are equal."""
    answer = client("dynamics", port, tmp_path)
    (flux, size), (cut, _), (_, short) = (answer[name] for name in ("usual", "slits", "short"))
    assert cut < 0.3 * flux
    assert abs(short - size) > 1.0
    assert size < answer["warm"] < answer["warmer"]
    assert answer["opened"] == answer["followed"] == answer["cold"] == answer["usual"]


def test_every_name_that_is_served_is_one_of_areadetector(port: int, tmp_path: Path) -> None:
    """As ophyd's class definitions list them: nothing is invented."""
    from simulators.serve import twin_module
    from simulators.twins import own_pvs

    known = client("names", port, tmp_path)
    served = [pv.name for pv in own_pvs(twin_module("kb-mirrors")) if ":DET:" in pv.name]
    assert len(served) > 60
    assert [name for name in served if name not in known] == []


# ------------------------------------------------------------------------- client


def usual(folder: Path) -> Any:
    """A detector as beamlines write it."""
    from ophyd import Component, SimDetector, SingleTrigger
    from ophyd.areadetector.filestore_mixins import FileStoreHDF5IterativeWrite
    from ophyd.areadetector.plugins import HDF5Plugin

    class Files(HDF5Plugin, FileStoreHDF5IterativeWrite):
        pass

    class Detector(SingleTrigger, SimDetector):
        hdf1 = Component(Files, "HDF1:", write_path_template=str(folder))

    made = Detector("KB:DET:", name="eye", read_attrs=["hdf1"])
    made.wait_for_connection(timeout=10)
    return made


def ours(folder: Path) -> Any:
    from devices.area_detector import HDF5Detector

    made = HDF5Detector("KB:DET:", name="eye", write_path_template=str(folder))
    made.wait_for_connection(timeout=10)
    return made


def counted(detector: Any) -> dict[str, Any]:
    import h5py
    from bluesky import RunEngine
    from bluesky.plans import count

    documents: list[tuple[str, Any]] = []
    engine = RunEngine({})
    engine.subscribe(lambda *document: documents.append(document))
    detector.cam.num_images.set(2).wait(timeout=5)
    before = detector.cam.image_mode.get()
    engine(count([detector], 3))
    (resource,) = (one for name, one in documents if name == "resource")
    (descriptor,) = (one for name, one in documents if name == "descriptor")
    key = descriptor["data_keys"]["eye_image"]
    with h5py.File(Path(resource["root"], resource["resource_path"])) as file:
        shape = file["/entry/data/data"].shape
    return {
        "names": [name for name, _ in documents],
        "shape": shape,
        "frames_per_point": resource["resource_kwargs"]["frame_per_point"],
        "data_key": {name: key[name] for name in ("shape", "dtype_numpy")},
        "is_staged_back": detector.cam.image_mode.get() == before,
    }


def dynamics(_: Path) -> dict[str, Any]:
    """What is measured, by what was done before."""
    from ophyd import EpicsMotor, EpicsSignal

    from devices import TriggeredDetector
    from simulators.kb_mirrors.instrument import PREFIXES, SLITS
    from simulators.kb_mirrors.model import OPTIMUM

    records = PREFIXES | {name: record for name, (record, _) in SLITS.items()}
    axes = {name: EpicsMotor(record, name=name) for name, record in records.items()}
    switches = {name: EpicsSignal(f"KB:{name}", name=name) for name in ("HYSTERESIS", "BUMP")}
    spot = TriggeredDetector("KB:SPOT", name="spot", timeout_s=20)
    for device in (*axes.values(), *switches.values(), spot):
        device.wait_for_connection(timeout=10)

    def move(**targets: float) -> None:
        for name, target in targets.items():
            axes[name].set(target).wait(20)

    def measured() -> tuple[float, float]:
        move(bend_vu=-0.2)
        move(bend_vu=OPTIMUM["parameters"]["bend_vu"])
        spot.trigger().wait(20)
        reading = spot.read()
        return reading["spot_flux"]["value"], reading["spot_fwhm_v"]["value"]

    def size_above(least: float) -> float:
        deadline = time.monotonic() + 20
        while (size := measured()[1]) <= least:
            assert time.monotonic() < deadline, "the mirrors stay cold"
        return size

    move(**OPTIMUM["parameters"])
    said: dict[str, Any] = {"usual": measured()}
    move(slit_v=300.0, slit_h=200.0)
    said["slits"] = measured()
    move(**{name: opened for name, (_, opened) in SLITS.items()})
    said["opened"] = measured()
    switches["HYSTERESIS"].put(5.0, wait=True)
    said["short"] = measured()
    switches["HYSTERESIS"].put(0.0, wait=True)
    said["followed"] = measured()
    switches["BUMP"].put(0.1, wait=True)
    said["warm"] = size_above(1.1 * said["usual"][1])
    said["warmer"] = size_above(1.2 * said["warm"])
    switches["BUMP"].put(0.0, wait=True)
    return said | {"cold": measured()}


def nowhere(folder: Path) -> dict[str, str]:
    said = {}
    tried = {"missing": folder / "nowhere", "unset": Path("/"), "long": folder / ("x" * 250)}
    for name, path in tried.items():
        try:
            ours(path).stage()
        except Exception as error:
            said[name] = f"{type(error).__name__}: {error}"
    return said


def names(folder: Path) -> list[str]:
    """Every PV of ophyd's camera and of its plugin in all versions."""
    from ophyd import SimDetectorCam
    from ophyd.areadetector import plugins

    kinds = [getattr(plugins, name) for name in dir(plugins) if name.startswith("HDF5Plugin")]
    prefixes = [("KB:DET:cam1:", SimDetectorCam), *(("KB:DET:HDF1:", kind) for kind in kinds)]
    found: set[str] = set()
    for prefix, kind in prefixes:
        for _, _, component in kind.walk_components():
            if component.suffix is not None:
                found |= {f"{prefix}{component.suffix}", f"{prefix}{component.suffix}_RBV"}
    return sorted(found)


SCENARIOS = {
    "count": lambda folder: counted(usual(folder)),
    "ours": lambda folder: counted(ours(folder)),
    "dynamics": dynamics,
    "nowhere": nowhere,
    "names": names,
}

if __name__ == "__main__":
    print(json.dumps(SCENARIOS[sys.argv[1]](Path(sys.argv[2]))))
