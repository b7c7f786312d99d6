"""A twin made from a table, over real Channel Access: server and client are child processes.

Run as a program, this file is the client: `python THIS_FILE` prints one JSON line.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.channel_access import environment

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
CHOICES = "parameters: {t: {}, solvent: {choices: [THF, DMF, None]}}\noutcomes: {y: {}}\n"
HEADER = "parameters: {a: {unit: mL}, b: {unit: mL}}\noutcomes: {total: {unit: g}, rest: {}}\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """What two amounts give that fill no more than 1 mL: half of the box is empty."""
    x = np.random.default_rng(0).uniform(size=(200, 2))
    x = x[x.sum(axis=1) <= 1.0]
    cells = np.column_stack([x, x.sum(axis=1), x[:, 0] - x[:, 1]])
    file = tmp_path / "mix.csv"
    np.savetxt(file, cells, delimiter=",", header="a,b,total,rest", comments="")
    (tmp_path / "mix.yaml").write_text(HEADER)
    return file


def served(table: Path, scenario: str) -> tuple[Any, Any, str]:
    """What the server says of itself, what the client found, and what the server told."""
    command = [sys.executable, "-m", "simulators.serve", "--table", str(table), "--seed", "4"]
    command += ["--header", str(table.with_suffix(".yaml")), "--time-compression", "6000"]
    pipes: dict[str, Any] = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as server:
        try:
            assert server.stdout is not None
            about = json.loads(server.stdout.readline())
            answer = client(about["port"], scenario)
        finally:
            server.kill()
            _, told = server.communicate()
    return about, answer, told


def test_a_table_is_an_instrument_like_any_other(table: Path) -> None:
    about, answer, told = served(table, "drive")
    assert about["twin"] == "mix"
    assert "leave-one-out R2" in told
    assert answer["limits"] == pytest.approx([0.0, 1.0], abs=0.1)
    assert answer["units"] == ["mL", "mL", "g", ""]
    assert answer["near"] == pytest.approx([0.7, -0.1], abs=0.05)
    assert answer["far"].startswith("StaleReading: detector: the trigger brought nothing new in ")
    assert "detector_total, detector_rest: nearest data " in answer["far"]
    assert answer["acquiring"] is False
    assert answer["near_again"] == answer["near"]  # the same setpoints, the first trigger


def test_a_selector_goes_to_what_has_a_name(tmp_path: Path) -> None:
    lines = [f"{i % 5},{('THF', 'DMF', 'None')[i % 3]},{i % 3}" for i in range(30)]
    table = tmp_path / "mix.csv"
    table.write_text("\n".join(["t,solvent,y", *lines]) + "\n")
    table.with_suffix(".yaml").write_text(CHOICES)
    _, answer, _ = served(table, "choose")
    assert answer["choices"] == ["THF", "DMF", "None"]
    assert answer["found"] == pytest.approx([0, 2, 1], abs=0.1)
    assert answer["read"] == {"solvent": 1, "solvent_setpoint": 1}
    assert answer["keys"]["solvent"]["enum_strs"] == ["THF", "DMF", "None"]
    known = "there are 0 THF, 1 DMF, 2 None"
    assert answer["unknown"] == f"LimitError: solvent: there is no position 3; {known}"
    assert answer["between"] == f"LimitError: solvent: there is no position 0.5; {known}"
    assert answer["narrow"] == "LimitError: solvent: 2.0 is outside 0.0 to 1.0"
    assert answer["stands"] == 1


def client(port: int, scenario: str) -> Any:
    done = subprocess.run(
        [sys.executable, __file__, scenario],
        cwd=ROOT,
        env=environment(port),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def drive() -> Any:
    from devices.loader import load

    axis = {"class": "devices.SetpointReadback", "tolerance": 0.001}
    entries: dict[str, dict[str, Any]] = {
        "a": {**axis, "prefix": "MIX:A"},
        "b": {**axis, "prefix": "MIX:B"},
        "detector": {
            "class": "devices.TriggeredDetector",
            "prefix": "MIX:DETECTOR",
            "kwargs": {"message": "MESSAGE"},
        },
    }
    found = load(entries, connect_timeout_s=20, time_scale=1)
    a, b, detector = (found[name] for name in entries)

    def measured(to_a: float, to_b: float) -> Any:
        for status in (a.set(to_a), b.set(to_b)):
            status.wait(10)
        detector.trigger().wait(10)
        return [reading["value"] for reading in detector.read().values()]

    answer = {"limits": a.ioc_limits, "near": measured(0.3, 0.4)}
    answer["units"] = [a.unit, b.unit, *(key["units"] for key in detector.describe().values())]
    try:
        measured(0.8, 0.8)
    except Exception as error:  # its type and words are what the test is about
        answer["far"] = f"{type(error).__name__}: {error}"
    answer["acquiring"] = detector.acquiring
    return answer | {"near_again": measured(0.3, 0.4)}


def choose() -> Any:
    from devices.loader import load
    from devices.selector import Selector

    detector = {"class": "devices.TriggeredDetector", "prefix": "MIX:DETECTOR"}
    entries: dict[str, dict[str, Any]] = {
        "solvent": {"class": "devices.Selector", "prefix": "MIX:SOLVENT"},
        "detector": {**detector, "kwargs": {"message": "MESSAGE"}},
    }
    found = load(entries, connect_timeout_s=20, time_scale=1)
    solvent, detector = (found[name] for name in entries)
    narrow = Selector("MIX:SOLVENT", name="solvent", limits=(0, 1))
    narrow.wait_for_connection(timeout=20)

    def measured(number: float) -> float:
        solvent.set(number).wait(10)
        detector.trigger().wait(10)
        return detector.read()["detector_y"]["value"]

    def refused(device: Any, number: float) -> str:
        try:
            device.set(number).wait(10)
        except Exception as error:  # its type and words are what the test is about
            return f"{type(error).__name__}: {error}"
        return ""

    answer: dict[str, Any] = {"choices": list(solvent.choices)}
    answer["found"] = [measured(number) for number in (0, 2.0, 1)]
    answer["read"] = {key: one["value"] for key, one in solvent.read().items()}
    answer["keys"] = solvent.describe()
    answer |= {"unknown": refused(solvent, 3), "between": refused(solvent, 0.5)}
    return answer | {"narrow": refused(narrow, 2), "stands": solvent.position}


if __name__ == "__main__":
    scenarios = {"drive": drive, "choose": choose}
    print(json.dumps(scenarios[sys.argv[1]]()), flush=True)
