"""The instrument made from a table, without network; the table is a published one."""

from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest

from orchestrator.campaign_files import check_faults, read_files
from orchestrator.domain.errors import SpecError, Unusable
from orchestrator.domain.spec import InstrumentSpec
from orchestrator.parts import _twin_arguments
from simulators.pv import PutRefused
from simulators.serve import main
from simulators.table.instrument import TableTwin
from simulators.table.report import report
from simulators.table.write import write_files
from tests.unit.simulators.rig import Lab

PUBLISHED = Path(
    str(distribution("olymp").locate_file("olympus/datasets/dataset_fullerenes/data.csv"))
)
"""Walker et al., React. Chem. Eng. 2, 785 (2017): a grid of 6 x 6 x 6 with 30 replicates."""

HEADER = """
name: fullerenes
titles: [reaction_time, sultine, temperature, product]
run_time_s: 90
parameters:
  reaction_time: {unit: min}
  sultine: {}
  temperature: {unit: degC, limits: [110, 150], settle_s: 600}
outcomes:
  product: {goal: maximize}
"""

SETTINGS = {"reaction_time": 11.0, "sultine": 3.3, "temperature": 131.0}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    (folder / "header.yaml").write_text(HEADER)
    random = np.random.default_rng(0)
    x = random.uniform(size=(200, 2))
    x = x[x.sum(axis=1) <= 1.0]
    cells = np.column_stack([x, x.sum(axis=1), x[:, 0] - x[:, 1]])
    np.savetxt(folder / "mix.csv", cells, delimiter=",", header="a,b,total,rest", comments="")
    (folder / "mix.yaml").write_text(
        "parameters: {a: {}, b: {}}\noutcomes: {total: {goal: minimize}, rest: {unit: g}}\n"
    )
    return folder


@pytest.fixture(scope="module")
def fullerenes(files):
    return TableTwin(PUBLISHED, files / "header.yaml")


@pytest.fixture(scope="module")
def mix(files):
    return TableTwin(files / "mix.csv", files / "mix.yaml")


def lab_of(twin, seed=0):
    prefix = twin.header.prefix
    prefixes = {name: f"{prefix}:{name.upper()}" for name in twin.limits}
    return Lab(twin.create, f"{prefix}:DETECTOR", prefixes, seed)


def test_the_published_table_is_emulated_well(fullerenes):
    about = report(fullerenes)
    assert (about["rows"], about["distinct_points"], about["replicates"]) == (246, 216, 30)
    product = about["outcomes"]["product"]
    assert product["r2"] > 0.98
    assert 0.92 <= product["coverage_95"] <= 0.98
    assert product["noise_sd"] == pytest.approx(0.011467, rel=1e-3)
    assert product["noise_from"] == "replicates"
    assert (about["out_of_reach"], about["warnings"]) == (0.0, [])


def test_limits_are_those_of_the_data_or_narrower(fullerenes):
    assert fullerenes.limits["reaction_time"] == (3.0, 31.0)
    assert fullerenes.limits["temperature"] == (110.0, 150.0)
    for value in (109.9, 150.1, float("nan")):
        with pytest.raises(PutRefused):
            lab_of(fullerenes).put("FULLERENES:TEMPERATURE:SP", value)


def test_a_move_settles_in_its_time_and_ends_on_the_setpoint(fullerenes):
    lab = lab_of(fullerenes)
    lab.set({"temperature": 110.0})
    lab.put("FULLERENES:TEMPERATURE:SP", 150.0)
    assert lab.twin.step(500.0)
    assert not lab.twin.step(101.0)
    assert lab.get("FULLERENES:TEMPERATURE:RB") == 150.0


def test_measurement_is_a_pure_function_of_seed_setpoints_and_trigger(fullerenes):
    slow, fast, other = lab_of(fullerenes), lab_of(fullerenes), lab_of(fullerenes, seed=1)
    slow.set(SETTINGS, step=1.0)
    fast.set({**SETTINGS, "sultine": 5.0})
    fast.measure()
    fast.set(SETTINGS)
    other.set(SETTINGS)
    first = slow.measure()
    assert first == fast.measure()
    assert first != other.measure()
    assert first != slow.measure()
    assert slow.slept[0] == 90.0


def test_noise_is_that_of_the_replicates(fullerenes):
    lab = lab_of(fullerenes)
    lab.set(SETTINGS)
    readings = [lab.measure()["product"] for _ in range(400)]
    assert np.mean(readings) == pytest.approx(
        fullerenes.emulator.evaluate(list(SETTINGS.values()))[0], abs=0.002
    )
    assert np.std(readings) == pytest.approx(0.011467, rel=0.1)


def test_far_from_the_data_the_trigger_is_refused_in_words(mix):
    lab = lab_of(mix)
    lab.set({"a": 0.8, "b": 0.8})
    with pytest.raises(PutRefused, match=r"nearest data .* away, reach"):
        lab.measure()
    message = lab.pvs["MIX:DETECTOR:MESSAGE"]
    assert 0 < len(message.value) <= 39  # what an EPICS string holds
    assert lab.get("MIX:DETECTOR:TRIGGER") == 0
    assert lab.slept == []
    lab.set({"a": 0.3, "b": 0.3})
    assert message.value == ""
    assert lab.measure() == pytest.approx({"total": 0.6, "rest": 0.0}, abs=0.02)


def test_a_table_with_an_empty_corner_is_served_with_a_warning(mix):
    (warning,) = report(mix)["warnings"]
    assert "of what the setpoints allow is too far from the data" in warning


def test_written_files_fit_what_is_served(mix, files, tmp_path):
    write_files(mix, tmp_path / "lab", files / "mix.yaml")
    found = read_files(str(tmp_path / "lab" / "campaign.yaml"))
    instrument, campaign = found.instrument, found.campaign
    served = {pv.name: pv for pv in lab_of(mix).twin.pvs}
    for name in ("a", "b"):
        setpoint = served[f"{instrument.devices[name].prefix}:SP"]
        assert instrument.limits(name) == setpoint.limits == campaign.parameters[name].range
    detector = instrument.devices["detector"]
    assert f"{detector.prefix}:{detector.kwargs['message']}" in served
    assert campaign.objectives["total"].goal == "minimize"
    assert _twin_arguments(instrument.twin) == [
        "--table",
        str(files / "mix.csv"),
        "--header",
        str(files / "mix.yaml"),
    ]
    with pytest.raises(FileExistsError, match="is there already"):
        write_files(mix, tmp_path / "lab", files / "mix.yaml")


def test_a_large_table_is_written_as_its_sample(files, tmp_path, monkeypatch):
    monkeypatch.setattr("simulators.table.reading.MOST_ROWS", 60)
    sampled = TableTwin(files / "mix.csv", files / "mix.yaml")
    write_files(sampled, tmp_path, files / "mix.yaml")
    again = TableTwin(tmp_path / "sample" / "mix.parquet", files / "mix.yaml")
    assert [pv.name for pv in lab_of(again).twin.pvs] == [
        pv.name for pv in lab_of(sampled).twin.pvs
    ]
    assert again.table.x.tolist() == sampled.table.x.tolist()
    assert again.emulator.evaluate([0.3, 0.3]) == sampled.emulator.evaluate([0.3, 0.3])
    instrument = read_files(str(tmp_path / "campaign.yaml")).instrument
    assert _twin_arguments(instrument.twin)[1] == str(tmp_path / "sample" / "mix.parquet")


def test_a_slow_parameter_has_time_enough_without_compression(fullerenes, files, tmp_path):
    write_files(fullerenes, tmp_path, files / "header.yaml")
    devices = read_files(str(tmp_path / "campaign.yaml")).instrument.devices
    assert devices["temperature"].timeout_s == 1200
    assert devices["sultine"].timeout_s == devices["reaction_time"].timeout_s


def test_a_table_that_went_bad_is_told_before_anything_starts(mix, files, tmp_path):
    table = tmp_path / "mix.csv"
    table.write_bytes((files / "mix.csv").read_bytes())
    write_files(TableTwin(table, files / "mix.yaml"), tmp_path / "lab", files / "mix.yaml")
    campaign = str(tmp_path / "lab" / "campaign.yaml")
    table.write_text(table.read_text() + "0.1,x,0.3,0.4\n")
    with pytest.raises(Unusable, match=r"column 'b', row \d+: found 'x'"):
        read_files(campaign)
    table.unlink()
    with pytest.raises(SpecError, match=r"twin\.table.*there is no file"):
        read_files(campaign)


def test_faults_of_a_table_too_small_to_emulate_are_refused_in_words(tmp_path):
    (tmp_path / "small.csv").write_text("a,y\n1,1\n2,4\n3,9\n")
    (tmp_path / "small.yaml").write_text("parameters: {a: {}}\noutcomes: {y: {}}\n")
    (tmp_path / "faults.yaml").write_text("faults: [{fault: lost, for_s: 1}]\n")
    twin = {"table": f"{tmp_path}/small.csv", "header": f"{tmp_path}/small.yaml"}
    data = {"name": "small", "mode": "twin", "twin": twin}
    device = {"class": "devices.SetpointReadback", "limits": [1, 3], "tolerance": 0.1}
    instrument = InstrumentSpec.from_data({**data, "devices": {"a": device}})
    with pytest.raises(Unusable, match="has 3 distinct points; 5 are the least"):
        check_faults(tmp_path / "faults.yaml", instrument)


def test_the_server_refuses_a_bad_table_in_one_line(files, tmp_path, capsys):
    (tmp_path / "bad.csv").write_text("a,b,total\n1,2,3\n")
    assert main(["--table", f"{tmp_path}/bad.csv", "--header", f"{files}/mix.yaml"]) == 2
    assert "has no column 'rest'" in capsys.readouterr().err
    for arguments in ([], ["--table", "x.csv"], ["soft", "--table", "x", "--header", "y"]):
        with pytest.raises(SystemExit):
            main(arguments)
