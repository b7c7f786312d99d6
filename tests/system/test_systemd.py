"""The documented systemd units: they are valid, they fit the command line, and a host that reboots
in the middle of a campaign goes on, whatever starts first."""

import configparser
import itertools
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.adapters.ledgers.embedded_server import _binary, check_persistence
from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.domain.errors import LedgerError
from orchestrator.domain.events import Measured, Started
from tests.system.init import Init, Unit, read_unit
from tests.system.lab import LABWRIGHT, environment, labwright, wait_for, write

pytestmark = pytest.mark.system

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "run-under-systemd.md"
FOLDER = PAGE.parent / "systemd"
SERVICES = sorted(FOLDER.glob("*.service"))
TRIALS = 30
CAMPAIGN = f"""
name: night
instrument: soft
plan: {{name: steady_state_sample, args: {{detector: bench.det}}}}
reduce: {{call: simulators.soft.reduce.reduce_branin}}
parameters:
  x: {{device: bench.x, range: [-5.0, 10.0]}}
  y: {{device: bench.y, range: [0.0, 15.0]}}
objectives: {{branin: {{goal: minimize}}}}
budget: {{trials: {TRIALS}}}
optimizer: {{method: sobol, seed: 0}}
"""


@pytest.fixture
def host() -> Iterator[Path]:
    """Root of a host's files; its path is short, as that of a socket must be."""
    root = Path(tempfile.mkdtemp(prefix="lw-"))
    for name in ("etc/instruments", "run", "server", "lab"):
        (root / name).mkdir(parents=True)
    yield root
    shutil.rmtree(root)


def places(host: Path) -> dict[str, str]:
    """What stands on this host for the paths in the files."""
    return {
        "/opt/labwright/bin/labwright": LABWRIGHT,
        "/usr/bin/valkey-server": str(_binary()),
        "/var/lib/labwright-server": str(host / "server"),
        "/var/lib/labwright": str(host / "lab"),
        "/etc/labwright": str(host / "etc"),
        "/run/labwright": str(host / "run"),
    }


def install(host: Path) -> None:
    """Put the documented files, and an instrument, where the units look for them."""
    for name in ("server.conf", "environment"):
        text = (FOLDER / name).read_text()
        for there, here in places(host).items():
            text = text.replace(there, here)
        (host / "etc" / name).write_text(text)
    instrument = FOLDER.parents[2] / "simulators" / "soft" / "instrument.yaml"
    shutil.copy(instrument, host / "etc" / "instruments" / "soft.yaml")


def unit(host: Path, name: str, instance: str = "") -> Unit:
    return read_unit(FOLDER / name, instance, places(host))


@pytest.mark.timeout(300)
def test_all_six_orders_of_a_reboot_converge(host: Path) -> None:
    install(host)
    server = unit(host, "labwright-server.service")
    worker = unit(host, "labwright-worker@.service", "soft")
    campaign = unit(host, "labwright-campaign@.service", "night")
    ledger = RedisLedger(worker.environment["LABWRIGHT_REDIS_URL"], patience_s=0)
    init = Init(host, environment())
    try:
        init.boot([server])
        wait_for(lambda: init.look() or answers(ledger), "the server is up")
        path = write(host, "campaign.yaml", CAMPAIGN)
        labwright("submit", path, "--id", "night", **worker.environment)
        for order in itertools.permutations([server, worker, campaign]):
            before = started(ledger)
            init.cut_power()
            init.boot(list(order))
            goes_on = f"it goes on after the start of {', '.join(one.name for one in order)}"
            wait_for(lambda before=before: init.look() or started(ledger) > before, goes_on)
        wait_for(lambda: init.look() or is_left(init, campaign), "the campaign is over")
        assert ledger.status("night") == "done"
        counts = Counter(e.trial_id for e in ledger.events("night") if isinstance(e, Measured))
        assert counts == dict.fromkeys(range(1, TRIALS + 1), 1), "each was measured once"
    finally:
        init.cut_power()
        ledger.close()


def answers(ledger: RedisLedger) -> bool:
    try:
        ledger.ping()
    except LedgerError:
        return False
    return True


def started(ledger: RedisLedger) -> int:
    """How many attempts were started; 0 when the server is away."""
    try:
        return sum(isinstance(event, Started) for event in ledger.events("night"))
    except LedgerError:
        return 0


def is_left(init: Init, campaign: Unit) -> bool:
    return any(one.unit == campaign and one.is_left for one in init.running)


@pytest.mark.parametrize("file", SERVICES, ids=lambda file: file.name)
def test_each_command_fits_the_command_line(file: Path) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(file)
    command = parser["Service"]["ExecStart"].split()
    if not command[0].endswith("/labwright"):
        return
    verb, *words = command[1:]
    known = labwright(verb, "--help").stdout
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{option}\b", known), f"{verb} has no {option}"


@pytest.mark.parametrize("file", SERVICES, ids=lambda file: file.name)
def test_a_unit_says_when_it_comes_back(file: Path, host: Path) -> None:
    install(host)
    found = unit(host, file.name, "x")
    if file.name.startswith("labwright-campaign"):
        assert [found.comes_back(code) for code in (0, 1, 2, 3, 130, -9)] == [
            False,
            False,
            True,
            False,
            False,
            True,
        ]
    else:
        assert all(found.comes_back(code) for code in (0, 1, 2, 130, -9))


def test_the_locks_and_sockets_in_tmp_are_shared() -> None:
    """A /tmp of its own would hide one driver of an instrument from another."""
    from orchestrator.app import HOST_LOCKS

    for file in SERVICES:
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
        parser.read(file)
        if "labwright/bin" in parser["Service"]["ExecStart"]:
            assert parser["Service"]["PrivateTmp"] == "no"
            assert "/tmp" in parser["Service"]["ReadWritePaths"].split()
    assert f"x {HOST_LOCKS}" in (FOLDER / "labwright-tmpfiles.conf").read_text()


def test_the_server_of_the_page_is_one_that_labwright_takes(host: Path) -> None:
    install(host)
    process = subprocess.Popen(unit(host, "labwright-server.service").command, stdout=-3)
    try:
        socket = host / "run" / "server.sock"
        wait_for(socket.exists, "the server listens")
        check_persistence(f"unix://{socket}")
    finally:
        process.kill()
        process.wait()
    (shown,) = re.findall(r"```ini\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert shown in (FOLDER / "server.conf").read_text()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_takes_the_units() -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, SERVICES)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    problems = [
        line
        for line in done.stderr.splitlines()
        if line and "is not executable: No such file" not in line  # not installed here
    ]
    assert problems == []


def test_the_page_has_every_file() -> None:
    text = PAGE.read_text()
    for file in FOLDER.iterdir():
        assert f"systemd/{file.name})" in text, f"the page has no link to {file.name}"
