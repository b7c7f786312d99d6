"""Devices that a lab has already: where they come from, and what is said when they do not."""

import sys
from pathlib import Path
from typing import Any

import pytest
from happi import Client
from happi.backends.json_db import JSONBackend

from orchestrator.adapters.execution.adoption import Adopted
from orchestrator.adapters.user_files.spec_files import read_instrument
from orchestrator.domain.errors import DeviceUnavailable, SpecError

HERE = "tests.unit.adapters.adoption_lab"


def adopted(folder: Path, source: str, more: str = "") -> Adopted:
    """What the lab gives for an instrument file with this source, at line 3."""
    file = folder / "instrument.yaml"
    file.write_text(f"name: lab\nmode: twin\nfrom: [{{{source}}}]\n{more}")
    return Adopted(read_instrument(file)[0])


def script(folder: Path, text: str, name: str = "startup.py") -> str:
    (folder / name).write_text(text)
    return f"startup: {name}, use: [stage]"


AXIS = "from ophyd.sim import SynAxis\nstage = SynAxis(name='stage')\n"


@pytest.mark.parametrize("factory", ["make_mapping", "make_list", "stage"])
def test_devices_of_a_function(tmp_path: Path, factory: str) -> None:
    found = adopted(tmp_path, f"factory: '{HERE}:{factory}', use: [stage]")
    assert list(found.devices) == ["stage"]
    assert found.devices["stage"].name in ("stage", "stage_axis")


def test_devices_of_a_module(tmp_path: Path) -> None:
    """Factories, built ones and devices, and only those that are used are made."""
    found = adopted(tmp_path, f"factory: {HERE}, use: [stage, mirror, BEAM]")
    assert [device.name for device in found.devices.values()] == ["stage", "mirror", "beam"]


def test_devices_of_happi(tmp_path: Path) -> None:
    """The database is made by happi itself, as its command line does."""
    client = Client(database=JSONBackend(str(tmp_path / "db.json"), initialize=True))
    for name in ("stage", "stopper"):
        known = {"device_class": "ophyd.sim.SynAxis", "args": [], "kwargs": {"name": "{{name}}"}}
        client.create_item("HappiItem", name=name, **known).save()
    assert adopted(tmp_path, "happi: db.json, use: [stage]").devices["stage"].name == "stage"
    with pytest.raises(DeviceUnavailable, match=r"no device 'stager' in .*; did you mean 'stage'"):
        adopted(tmp_path, "happi: db.json, use: [stager]")


def test_a_database_that_names_no_class_is_told(tmp_path: Path) -> None:
    client = Client(database=JSONBackend(str(tmp_path / "db.json"), initialize=True))
    wrong = {"device_class": "ophyd.sim.NoSuchAxis", "args": [], "kwargs": {}}
    client.create_item("HappiItem", name="stage", **wrong).save()
    with pytest.raises(DeviceUnavailable, match="NoSuchAxis"):
        adopted(tmp_path, "happi: db.json, use: [stage]")


def test_a_folder_of_scripts_runs_in_order_in_one_namespace(tmp_path: Path) -> None:
    folder = tmp_path / "startup"
    folder.mkdir()
    script(folder, "stage.name = name\n", "20-names.py")
    script(folder, AXIS, "10-devices.py")
    script(folder, "name = 'moved'\nRE.md['cycle'] = __file__\n", "00-base.py")
    (folder / "README").write_text("no script")
    found = adopted(tmp_path, "startup: startup, use: [stage]")
    assert found.devices["stage"].name == "moved"
    assert found.engine.md["cycle"] == str(folder / "00-base.py")


def test_a_startup_may_make_its_own_engine(tmp_path: Path) -> None:
    text = AXIS + "from bluesky import RunEngine\nRE = RunEngine({'a': 1})\n"
    assert adopted(tmp_path, script(tmp_path, text)).engine.md["a"] == 1
    with pytest.raises(DeviceUnavailable, match="the startup makes an RE of its own; remove"):
        adopted(tmp_path, script(tmp_path, text), f"run_engine: {HERE}:make_engine\n")


def test_a_startup_works_with_the_engine_of_the_file(tmp_path: Path) -> None:
    text = AXIS + "RE.md['cycle'] = 2\n"
    found = adopted(tmp_path, script(tmp_path, text), f"run_engine: {HERE}:make_engine\n")
    assert found.engine.md["cycle"] == 2
    assert found.engine.md["sample"] == "gold"


def test_plans_of_a_startup(tmp_path: Path) -> None:
    found = adopted(tmp_path, script(tmp_path, AXIS + "def scan(x):\n    yield\n"))
    assert found.plan("scan").__name__ == "scan"
    with pytest.raises(Exception, match="the startup has no plan 'scna'; did you mean 'scan'"):
        found.plan("scna")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import os\n\nraise OSError('no network')\n", "startup.py:3: OSError: no network"),
        ("def f():\n    1 / 0\n\nf()\n", "startup.py:2: ZeroDivisionError"),
        ("RE = get_ipython().user_ns['RE']\n", "startup.py:1: NameError: .*without IPython"),
        ("from IPython import get_ipython\nget_ipython().magic('x')\n", "startup.py:2: .*IPython"),
        ("name = input('who are you? ')\n", "startup.py:1: (EOF|OS)Error"),
        ("def f(:\n", "startup.py:1: invalid syntax"),
        ("raise SystemExit(3)\n", "startup.py:1: SystemExit: 3"),
        (AXIS + "RE = 5\n", "RE of the startup is a int, not a RunEngine"),
    ],
)
def test_a_startup_that_fails_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DeviceUnavailable, match=told) as failed:
        adopted(tmp_path, script(tmp_path, text))
    assert str(failed.value).startswith(f"{tmp_path / 'instrument.yaml'}:3: from.0.startup: ")


def test_a_startup_that_takes_too_long_is_told_with_its_line(tmp_path: Path) -> None:
    text = "import time\nfor _ in range(40):\n    time.sleep(0.05)\n"
    told = r"startup.py:[23]: took longer than 0.5 s \('timeout_s'\)"
    with pytest.raises(DeviceUnavailable, match=told):
        adopted(tmp_path, f"{script(tmp_path, text)}, timeout_s: 0.5")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (f"factory: '{HERE}:make_list', use: [stag]", "use.0: no device 'stag' in .*'stage'"),
        (f"factory: {HERE}, use: [stge]", "use.0: no device or factory 'stge' in .*'stage'"),
        (f"factory: {HERE}, use: [gives_none]", "use.0: .*gives a NoneType, no device"),
        (
            f"factory: {HERE}, use: [raises]",
            r"use.0: OSError: no network \(.*adoption_lab.py:105\)",
        ),
        (f"factory: '{HERE}:raises', use: [stage]", r"factory: OSError: no network \(.*py:105\)"),
        (f"factory: '{HERE}:gives_none', use: [stage]", "factory: .* gives a NoneType, no devices"),
        (f"factory: '{HERE}:make_lsit', use: [stage]", "factory: no 'make_lsit' in .*make_list"),
    ],
)
def test_a_device_that_is_not_there_is_told_with_its_key(
    tmp_path: Path, source: str, told: str
) -> None:
    with pytest.raises(DeviceUnavailable, match=rf"instrument.yaml:3: from\.0\.{told}"):
        adopted(tmp_path, source)


def test_without_happi_a_database_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "happi", None)
    (tmp_path / "db.json").write_text("{}")
    with pytest.raises(DeviceUnavailable, match=r"from\.0\.happi: happi is not installed"):
        adopted(tmp_path, "happi: db.json, use: [stage]")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("from: [{factory: a.b, happi: c, use: [x]}]", ":3: from.0: found factory and happi; give"),
        ("from: [{use: [x]}]", ":3: from.0: found none; give exactly one of"),
        ("from: [{factory: a.b, use: []}]", ":3: from.0.use: found []; must"),
        ("from: [{startup: nothing.py, use: [x]}]", ":3: from.0.startup: there is nothing at"),
        (
            "from: [{factory: a.b, use: [x]}, {factory: a.c, use: [x]}]",
            ":3: from.1.use.0: 'x' is already taken from source 0; take it once",
        ),
        (
            "from: [{factory: a.b, use: [x]}]\ndevices:\n  x: {class: a.B}",
            ":5: devices.x.class: 'x' is taken from from.0 as it is; remove 'class' here",
        ),
        (
            "devices:\n  x: {class: a.B, prefix: P}\n  y: {class: a.B, prefix: P}",
            ":5: devices.y.prefix: 'P' is device 'x' already; give each",
        ),
        ("devices: {x: {class: a.B}}\nbaseline: [y]", ":4: baseline.0: 'y' is no device"),
        ("devices: {x: {class: a.B}}\nmd: {required: [a]}", ":4: md: RE.md is that of the lab's"),
        ("devices: {x: {class: a.B}}\nrun_engine: 'a:b:c'", ":4: run_engine: 'a:b:c' has more"),
    ],
)
def test_what_contradicts_itself_in_the_file(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "instrument.yaml"
    file.write_text(f"name: lab\nmode: twin\n{text}\n")
    with pytest.raises(SpecError) as error:
        read_instrument(file)
    assert told in str(error.value)


def test_an_adopted_device_without_options_is_never_set(tmp_path: Path) -> None:
    file = tmp_path / "instrument.yaml"
    file.write_text("name: lab\nmode: twin\nfrom: [{factory: a.b, use: [x]}]\n")
    instrument, _ = read_instrument(file)
    assert instrument.limits("x") is None
    assert type(instrument).from_data(instrument.to_data()) == instrument
