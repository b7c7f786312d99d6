"""A campaign on a twin that is made from a table, as a user runs it."""

import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.system.lab import answer, finish, labwright, results, start

pytestmark = pytest.mark.system


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A smooth peak over two parameters, measured with noise, but not in one corner."""
    random = np.random.default_rng(1)
    x = random.uniform([20, 1], [80, 5], (150, 2))
    x = x[(x[:, 0] < 62) | (x[:, 1] < 3.8)]
    peak = np.exp(-(((x[:, 0] - 40) / 30) ** 2) - (x[:, 1] - 2) ** 2 / 4)
    cells = np.column_stack([x, 90 * peak + random.normal(0, 1, len(x))])
    file = tmp_path / "reactor.csv"
    np.savetxt(file, cells, delimiter=",", header="T (C),time,yield", comments="")
    file.with_suffix(".yaml").write_text(
        'parameters: {temperature: {column: "T (C)", unit: degC}, time: {unit: min}}\n'
        'outcomes: {yield_: {column: "yield", unit: "%"}}\n'
    )
    return file


def test_a_written_campaign_runs_to_its_end(table: Path, tmp_path: Path) -> None:
    folder, data_dir = tmp_path / "lab", tmp_path / "data"
    made = answer("twin", "--table", str(table), "--write", str(folder))
    assert made["written"] == [str(folder / "instrument.yaml"), str(folder / "campaign.yaml")]
    assert made["table"]["outcomes"]["yield_"]["r2"] > 0.9
    assert 0 < made["table"]["out_of_reach"] < 0.2
    campaign = folder / "campaign.yaml"
    campaign.write_text(campaign.read_text().replace("method: auto", "method: sobol"))
    assert answer("check", str(campaign))["ok"]
    outcome = answer("run", str(campaign), "--trials", "16", "--data-dir", str(data_dir))
    assert outcome["status"] == "done"
    assert outcome["mode"] == "twin"
    assert outcome["trials"]["measured"] + outcome["trials"]["abandoned"] == 16
    rows = results(data_dir, outcome["campaign_id"])
    abandoned = [row for row in rows if row["state"] == "abandoned"]
    assert abandoned  # some points lie in the empty corner
    for row in abandoned:
        assert float(row["temperature"]) > 62
        assert float(row["time"]) > 3.8
    why = labwright("why", abandoned[0]["trial_id"], "--data-dir", str(data_dir))
    assert "nearest data" in why.stdout


def test_a_rehearsal_on_a_table_tells_what_the_run_does(table: Path, tmp_path: Path) -> None:
    folder, data_dir = tmp_path / "lab", tmp_path / "data"
    labwright("twin", "--table", str(table), "--write", str(folder))
    campaign = folder / "campaign.yaml"
    text = campaign.read_text().replace("method: auto", "method: sobol")
    campaign.write_text(re.sub("trials: [0-9]+", "trials: 12", text))
    rehearsed = answer("rehearse", str(campaign), "-n", "1")
    run = answer("run", str(campaign), "--trials", "12", "--data-dir", str(data_dir))
    best = run["best"]["outcomes"]["yield_"]["mean"]
    assert rehearsed["best"][-1]["mean"] == pytest.approx(best, rel=1e-9)  # threads round
    assert rehearsed["unmeasured"] == run["trials"]["abandoned"] > 0


def test_a_campaign_over_names_runs_as_it_is_rehearsed(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    table, folder = tmp_path / "solvents.csv", tmp_path / "lab"
    names, best = ("THF", "DMF", "None"), {"THF": 2.0, "DMF": 3.0, "None": 4.0}
    rows = [(time, names[i % 3]) for i, time in enumerate(random.uniform(1, 5, 60))]
    lines = [f"{time},{name},{9 - (time - best[name]) ** 2}" for time, name in rows]
    table.write_text("\n".join(["time,solvent,y", *lines]) + "\n")
    header = "parameters: {time: {}, solvent: {choices: [THF, DMF, None]}}\noutcomes: {y: {}}\n"
    table.with_suffix(".yaml").write_text(header)
    made = answer("twin", "--table", str(table), "--write", str(folder))
    assert made["table"]["choices"] == {"solvent": list(names)}
    campaign = folder / "campaign.yaml"
    text = campaign.read_text().replace("method: auto", "method: sobol")
    campaign.write_text(re.sub("trials: [0-9]+", "trials: 9", text))
    assert answer("check", str(campaign))["ok"]
    rehearsed = answer("rehearse", str(campaign), "-n", "1")
    run = answer("run", str(campaign), "--trials", "9", "--data-dir", str(tmp_path / "data"))
    assert run["trials"]["measured"] == 9
    mean = run["best"]["outcomes"]["y"]["mean"]
    assert rehearsed["best"][-1]["mean"] == pytest.approx(mean, rel=1e-9)
    for row in results(tmp_path / "data", run["campaign_id"]):
        expected = 9 - (float(row["time"]) - best[names[int(row["solvent"])]]) ** 2
        assert float(row["y"]) == pytest.approx(expected, abs=0.5)


def test_a_unit_that_is_not_known_is_told(table: Path, tmp_path: Path) -> None:
    table.write_text(table.read_text().replace("time,", "t (shifts),"))
    header = table.with_suffix(".yaml")
    header.write_text(
        header.read_text().replace("{unit: min}", '{column: "t (shifts)", unit: min}')
    )
    made = labwright("twin", "--table", str(table), "--write", str(tmp_path / "lab"))
    assert "warning: the title of column 't (shifts)'" in made.stdout
    assert "'shifts' is no unit that is known here" in made.stdout


def test_a_bad_table_is_refused_before_anything_starts(table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    labwright("twin", "--table", str(table), "--write", str(folder))
    table.write_text(table.read_text() + "30,hot,50\n")
    for verb in (["twin", "--table", str(table)], ["run", str(folder / "campaign.yaml")]):
        refused = labwright(*verb, "--data-dir", str(tmp_path / "data"), code=2)
        assert "column 'time', row " in refused.stderr
        assert "found 'hot'" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_a_name_that_no_campaign_can_have_leaves_no_files(table: Path, tmp_path: Path) -> None:
    header = table.with_suffix(".yaml")
    header.write_text(header.read_text().replace("yield_:", "state:"))
    refused = labwright("twin", "--table", str(table), "--write", str(tmp_path / "lab"), code=2)
    assert "outcome 'state'" in refused.stderr
    assert not list((tmp_path / "lab").iterdir())


def test_options_that_do_not_go_together_are_refused(table: Path) -> None:
    for arguments in ([], ["soft", "--table", str(table)], ["soft", "--write", "x"]):
        assert "--table FILE" in labwright("twin", *arguments, code=2).stderr


def test_a_table_twin_by_hand_says_what_it_is_worth(table: Path, data_dir: Path) -> None:
    twin = start("twin", "--table", str(table), "--json", "--data-dir", str(data_dir))
    assert twin.stdout is not None
    about = json.loads(twin.stdout.readline())
    assert about["twin"] == "reactor"
    assert about["table"]["distinct_points"] > 100
    assert {"pv": "REACTOR:TIME:SP", "unit": "min", "what": "time: setpoint"} in about["pvs"]
    twin.send_signal(signal.SIGINT)
    assert finish(twin)[0] == 0
