"""Wrong input and unusable resources: one clear message, exit code 2, nothing moves."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.lab import LABWRIGHT, answer, environment, labwright, start, wait_for, write

pytestmark = pytest.mark.system

INSTRUMENT = """
name: soft
mode: {mode}
devices:
  bench: {{class: simulators.soft.bench.Bench, limits: [-5, 15], unit: mm}}
"""
CAMPAIGN = """
name: branin
instrument: instrument.yaml
plan: {name: steady_state_sample, args: {detector: bench.det}}
reduce: {call: simulators.soft.reduce.reduce_branin}
parameters:
  x: {device: bench.x, range: [-5, 10], unit: mm}
  y: {device: bench.y, range: [0, 15], unit: mm}
objectives: {branin: {goal: minimize}}
budget: {trials: 3}
"""


@pytest.mark.parametrize(
    ("wrong", "right", "line", "says"),
    [
        ("range: [0, 15]", "range: [0, 99]", 8, "[0.0, 99.0] leaves the limits [-5.0, 15.0]"),
        (
            "range: [0, 15], unit: mm",
            "range: [0, 15], unit: um",
            8,
            "'um', but device 'bench.y' is in 'mm'",
        ),
        ("device: bench.x", "device: bech.x", 7, "did you mean 'bench'"),
        ("device: bench.x, ", "", 7, "has neither of 'device' and 'arg'"),
        ("trials: 3", "trials: three", 10, "three"),
        ("trials: 3", "trails: 3", 10, "did you mean 'trials'"),
        ("y: {device", "state: {device", 8, "'state' is a column of the results table"),
        ("steady_state_sample", "steady_state_simple", 4, "did you mean 'steady_state_sample'"),
        ("detector: bench.det", "detektor: bench.det", 4, "detektor"),
    ],
)
def test_a_wrong_campaign_file(
    tmp_path: Path, wrong: str, right: str, line: int, says: str
) -> None:
    write(tmp_path, "instrument.yaml", INSTRUMENT.format(mode="twin"))
    assert wrong in CAMPAIGN
    path = write(tmp_path, "campaign.yaml", CAMPAIGN.replace(wrong, right))
    data_dir = tmp_path / "data"
    for verb in ("check", "run"):
        done = labwright(verb, path, "--data-dir", str(data_dir), code=2)
        text = done.stderr + done.stdout
        assert says in text
        assert f"campaign.yaml:{line}:" in text
    assert not data_dir.exists(), "nothing was started"


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, "instrument.yaml", INSTRUMENT.format(mode="twin"))
    text = CAMPAIGN.replace("trials: 3", "trails: 3").replace("goal: minimize", "goal: least")
    path = write(tmp_path, "campaign.yaml", text)
    found = answer("check", path, code=2)
    assert {problem["line"] for problem in found["problems"]} == {9, 10}


def test_a_real_instrument_needs_a_word(tmp_path: Path) -> None:
    write(tmp_path, "instrument.yaml", INSTRUMENT.format(mode="real"))
    path = write(tmp_path, "campaign.yaml", CAMPAIGN)
    done = labwright("run", path, "--data-dir", str(tmp_path / "data"), code=2)
    assert "--hardware" in done.stderr
    assert "--twin" in done.stderr


def test_there_is_no_such_file(tmp_path: Path) -> None:
    done = labwright("run", "flow-chemisty", "--data-dir", str(tmp_path), code=2)
    assert "did you mean 'flow-chemistry'" in done.stderr


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = labwright("run", "soft", "--trials", "1", "--data-dir", str(blocked / "data"), code=2)
    assert "cannot write the data folder" in done.stderr
    assert "--data-dir" in done.stderr


def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        url = f"redis://:secret@127.0.0.1:{taken.getsockname()[1]}"
        done = labwright("run", "soft", "--redis", url, "--data-dir", str(tmp_path), code=2)
    assert "no answer from redis://127.0.0.1" in done.stderr
    assert "secret" not in done.stderr


def test_a_server_that_may_lose_data(tmp_path: Path) -> None:
    from orchestrator.adapters.ledgers.embedded_server import _binary

    port = _free_port()
    command = [
        str(_binary()),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(tmp_path),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: _listens(port), "the server listens")
        where = ("--redis", f"redis://127.0.0.1:{port}", "--data-dir", str(tmp_path / "data"))
        done = labwright("run", "soft", "--trials", "2", *where, code=2)
        assert "appendonly yes" in done.stderr
        assert "appendfsync always" in done.stderr
        outcome = answer("run", "soft", "--trials", "2", "--allow-unsafe-server", *where)
        assert outcome["trials"]["measured"] == 2
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = labwright(
            "twin", "flow-chemistry", "--port", port, "--data-dir", str(tmp_path), code=2
        )
    assert f"port {port}" in done.stderr


def test_an_ioc_that_is_not_there(tmp_path: Path) -> None:
    instrument = """
name: far
mode: twin
devices:
  x: {class: ophyd.EpicsSignal, prefix: "NOT:THERE", limits: [0, 1]}
  y: {class: ophyd.EpicsSignal, prefix: "NOR:HERE", limits: [0, 1]}
"""
    write(tmp_path, "instrument.yaml", instrument)
    campaign = """
name: nowhere
instrument: instrument.yaml
plan: {name: bluesky.plans.count, args: {detectors: [x]}}
reduce: {call: simulators.soft.reduce.reduce_branin}
parameters: {x: {device: x, range: [0, 1]}}
objectives: {branin: {goal: minimize}}
budget: {trials: 1}
"""
    path = write(tmp_path, "campaign.yaml", campaign)
    nowhere = {
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(_free_port()),
        "LABWRIGHT_CONNECT_TIMEOUT_S": "1",
    }
    done = labwright("run", path, "--data-dir", str(tmp_path / "data"), code=2, **nowhere)
    assert "NOT:THERE" in done.stderr
    assert "NOR:HERE" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "soft", "--trials", "0"),
        ("run", "soft", "--trials", "-3"),
        ("run", "soft", "--trials", "many"),
        ("run", "soft", "--seed", "-1"),
        ("run", "soft", "--id", "../up"),
        ("run", "soft", "--resume", "x"),
        ("run", "--resume", "nobody"),
        ("run", "soft", "--no-such-option"),
        ("fly",),
        ("why", "1"),
        ("status", "nobody"),
        ("results", "nobody"),
        ("pause",),
    ],
)
def test_wrong_words_are_answered_with_code_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = labwright(*arguments, "--data-dir", str(tmp_path / "data"), code=2)
    assert done.stderr.startswith("labwright: ")
    assert "Traceback" not in done.stderr
    assert not any(tmp_path.iterdir()), "a mistyped folder was made"


def test_nothing_is_left_when_the_launcher_is_killed(tmp_path: Path) -> None:
    import psutil

    running = start("run", "soft", "--trials", "100000", "--data-dir", str(tmp_path))
    children = wait_for(
        lambda: len(found := psutil.Process(running.pid).children(recursive=True)) >= 4 and found,
        "all processes run",
    )
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    wait_for(lambda: not any(child.is_running() for child in children), "all have ended")


HEAVY = ("ax", "torch", "bluesky", "pandas", "ophyd", "matplotlib", "pyarrow", "scipy", "caproto")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["status"], ["list"], ["twins"], ["run", "--help"]]
)
def test_light_verbs_import_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "ledger").mkdir()
    code = (
        "import sys\nfrom orchestrator.cli import main\n"
        f"try:\n    main({arguments!r})\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    more = environment(LABWRIGHT_DATA_DIR=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=more, check=True
    )
    assert done.stdout.rstrip().endswith("HEAVY []")


def test_the_program_is_installed() -> None:
    assert Path(LABWRIGHT).exists()
    assert labwright("--version").stdout.strip()


def test_doctor_finds_this_machine_sound(tmp_path: Path) -> None:
    found = answer("doctor", "--data-dir", str(tmp_path))
    assert found["ok"], found
