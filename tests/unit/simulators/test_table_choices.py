"""Columns of names: how they are read, emulated, served and written."""

import asyncio
import math

import numpy as np
import pandas as pd
import pytest

from orchestrator.adapters.walks.twin_in_process import TwinByPlan, twin_in_process
from orchestrator.campaign_files import read_files
from simulators.pv import PutRefused
from simulators.table.emulator import Emulator
from simulators.table.errors import BadTable
from simulators.table.header import read_header
from simulators.table.instrument import TableTwin
from simulators.table.reach import Reach
from simulators.table.reading import read_table
from simulators.table.report import report
from simulators.table.write import write_files
from tests.unit.simulators.rig import Lab

HEADER = """
name: mix
parameters:
  time: {unit: min}
  solvent: {choices: [THF, DMF, None], settle_s: 60}
outcomes:
  yield_: {column: "yield", unit: "%"}
"""
SOLVENTS = ("THF", "DMF", "None")
PEAKS = np.array([2.0, 4.0, 3.0])


def smooth(x):
    """Each solvent has its own best time."""
    return 80.0 * np.exp(-((x[:, 0] - PEAKS[x[:, 1].astype(int)]) ** 2))


def points(count=90, seed=0):
    random = np.random.default_rng(seed)
    return np.column_stack([random.uniform(1, 5, count), np.arange(count) % 3])


def write(folder, text=HEADER, rows=None, name="data.csv"):
    file = folder / name
    if rows is None:
        x = points()
        rows = [
            (time, SOLVENTS[int(number)], value)
            for (time, number), value in zip(x, smooth(x), strict=True)
        ]
    lines = ["time,solvent,yield", *(",".join(map(str, row)) for row in rows)]
    file.write_text("\n".join(lines) + "\n")
    file.with_suffix(".yaml").write_text(text)
    return file


def read(folder, text=HEADER, rows=None):
    file = write(folder, text, rows)
    return read_table(file, read_header(file.with_suffix(".yaml"), file))


def refusal(folder, text=HEADER, rows=None):
    with pytest.raises(BadTable) as caught:
        read(folder, text, rows)
    return str(caught.value)


@pytest.fixture
def twin(tmp_path):
    file = write(tmp_path)
    return TableTwin(file, file.with_suffix(".yaml"))


def lab_of(twin):
    return Lab(twin.create, "MIX:DETECTOR", {"time": "MIX:TIME", "solvent": "MIX:SOLVENT"})


def choose(lab, value, step=1.0):
    """Put a position and let time pass until the put is complete; gives the lab seconds."""

    async def go():
        put = asyncio.ensure_future(lab.pvs["MIX:SOLVENT:SP"].accept(value))
        passed = 0.0
        await asyncio.sleep(0)
        while not put.done():
            lab.twin.step(step)
            passed += step
            await asyncio.sleep(0)
        await put
        return passed

    return asyncio.run(go())


def test_names_are_counted_in_the_order_of_the_header(tmp_path):
    x = points()
    assert read(tmp_path).x.tolist() == x.tolist()
    other = read(tmp_path, HEADER.replace("THF, DMF, None", "None, THF, DMF")).x
    assert other[:, 1].tolist() == [(number + 1) % 3 for number in x[:, 1]]


def test_what_looks_like_a_number_or_like_nothing_may_be_a_name(tmp_path):
    text = HEADER.replace("THF, DMF, None", '"1", "True", NA')
    rows = [(1 + i / 10, ("1", " True", "NA")[i % 3], i) for i in range(12)]
    assert read(tmp_path, text, rows).x[:, 1].tolist() == [0.0, 1.0, 2.0] * 4
    rows[4] = (1.4, "", 4)
    assert "column 'solvent', row 5: is empty" in refusal(tmp_path, text, rows)
    rows[4] = ("n/a", "NA", 4)
    assert "column 'time', row 5: is empty" in refusal(tmp_path, text, rows)


@pytest.mark.parametrize("kind", ["string", "category"])
def test_parquet_reads_as_csv_does(tmp_path, kind):
    table = read(tmp_path)
    file = tmp_path / "data.parquet"
    names = pd.Series([SOLVENTS[int(number)] for number in table.x[:, 1]]).astype(kind)
    columns = {"time": table.x[:, 0], "solvent": names, "yield": table.y[:, 0]}
    pd.DataFrame(columns).to_parquet(file)
    again = read_table(file, read_header(tmp_path / "data.yaml", file))
    assert again.x.tolist() == table.x.tolist()


def test_a_name_that_is_no_choice_is_refused_with_those_that_are(tmp_path):
    rows = [(1 + i, ("THF", "DMF", "None", "ACN")[i % 4], i) for i in range(12)]
    said = refusal(tmp_path, rows=rows)
    assert "column 'solvent', row 4 (and 2 more up to row 12): found 'ACN'" in said
    assert said.endswith("none of the header's choices: THF, DMF, None")
    said = refusal(tmp_path, HEADER.replace("None]", "None, ACN, EtOH]"))
    assert "no row that is used has 'ACN' in column 'solvent'" in said
    assert "no row that is used has 'EtOH'" in said


def test_a_column_of_names_that_is_not_declared_shows_how_to(tmp_path):
    plain = HEADER.replace("choices: [THF, DMF, None], ", "")
    rows = [(1 + i, ("THF", "DMF", "A b")[i % 3], i) for i in range(12)]
    said = refusal(tmp_path, plain, rows)
    line = said.rpartition("write into the header: ")[2]
    assert line == 'solvent: {choices: ["A b", "DMF", "THF"]}'
    shown = plain.replace("solvent: {settle_s: 60}", line)
    assert read(tmp_path, shown, rows).x[:, 1].tolist() == [2.0, 1.0, 0.0] * 4
    rows = [(1 + i, f"run{i}", i) for i in range(17)]
    assert "17 different texts are too many for a choice" in refusal(tmp_path, plain, rows)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ("THF", "parameters.solvent.choices: found 'THF': write a list, such as [a, b]"),
        ("[THF]", "choices are 2 to 16 names"),
        ("[THF, THF]", "each of them once"),
        (str([f"n{i}" for i in range(17)]), "choices are 2 to 16 names"),
        ("[THF, a name that is much too long]", "a name has 1 to 25 ASCII characters"),
        ('[THF, " DMF"]', "a name has 1 to 25 ASCII characters"),
        ("[THF, 2]", "parameters.solvent.choices.1: found 2: write a text, in quotes"),
        ("[yes, no]", "parameters.solvent.choices.0: found True: write a text, in quotes"),
        ("[THF, DMF], unit: mL", "choices have neither unit nor limits"),
        ("[THF, DMF], limits: [0, 1]", "choices have neither unit nor limits"),
    ],
)
def test_mistakes_in_choices_are_named(tmp_path, choices, words):
    assert words in refusal(tmp_path, HEADER.replace("[THF, DMF, None]", choices))


@pytest.mark.parametrize("kind", ["gaussian-process", "nearest"])
def test_each_name_has_its_own_response(kind):
    x, fresh = points(300), points(200, seed=5)
    emulator = Emulator(x, smooth(x)[:, None], kind, names=[0, 3])
    found = np.array([emulator.evaluate(point)[0] for point in fresh])
    assert np.max(np.abs(found - smooth(fresh))) < (1.0 if kind == "gaussian-process" else 12.0)
    assert emulator.quality[0].r2 > 0.98


def test_a_rare_name_is_not_told_of_by_the_others(monkeypatch):
    monkeypatch.setattr("simulators.table.emulator.MOST_POINTS", 30)
    x = np.column_stack([np.linspace(0, 1, 1000), np.zeros(1000)])
    x[::100, 1] = 1
    y = 10 * x[:, 1:] + np.sin(6 * x[:, :1])
    emulator = Emulator(x, y, names=[0, 2])
    assert emulator.used == 30
    assert emulator.evaluate([0.5, 1])[0] == pytest.approx(10 + np.sin(3), abs=0.5)


def test_names_have_no_order():
    random = np.random.default_rng(2)
    x = np.column_stack([random.uniform(size=120), np.arange(120) % 4])
    y = (np.sin(4 * x[:, 0]) + np.isin(x[:, 1], [0, 3]))[:, None]
    renamed = np.column_stack([x[:, 0], np.array([2, 0, 3, 1])[x[:, 1].astype(int)]])
    one = Emulator(x, y, names=[0, 4]).evaluate([0.4, 3])
    assert one == pytest.approx(Emulator(renamed, y, names=[0, 4]).evaluate([0.4, 1]), abs=0.01)


def test_the_nearest_point_has_the_same_name():
    x = np.array([[0.0, 0], [0.5, 0], [1.0, 0], [0.6, 1], [0.7, 1], [0.9, 1]])
    emulator = Emulator(x, np.arange(6.0)[:, None], "nearest", names=[0, 2])
    assert emulator.evaluate([0.6, 0]) == [1.0]
    assert emulator.evaluate([0.0, 1]) == [3.0]


def test_names_that_were_never_together_are_out_of_reach():
    x = np.array([[t, a, b] for t in np.linspace(0, 1, 11) for a, b in ((0, 0), (0, 1), (1, 0))])
    reach = Reach(x, names=[0, 2, 2])
    assert reach.distance([0.55, 1, 0]) <= reach.limit < 2.0
    assert reach.distance([0.55, 1, 1]) == math.inf


def test_a_lone_row_of_a_name_does_not_widen_the_reach():
    x = np.array([[t, 0] for t in np.linspace(0, 1, 11)] + [[0.5, 1]])
    reach = Reach(x, names=[0, 2])
    assert reach.limit < 5.0
    assert reach.distance([0.5, 1]) == 0.0
    assert reach.distance([1.0, 1]) == pytest.approx(5.0)


def test_a_choice_is_served_as_an_enumeration_and_takes_its_time(twin):
    lab = lab_of(twin)
    setpoint = lab.pvs["MIX:SOLVENT:SP"]
    assert setpoint.choices == lab.pvs["MIX:SOLVENT:RB"].choices == SOLVENTS
    assert setpoint.what == "solvent: setpoint, 0 THF, 1 DMF, 2 None"
    assert choose(lab, 2) == 60.0
    assert lab.get("MIX:SOLVENT:RB") == 2
    assert choose(lab, 2) == 0.0
    for wrong in (3, -1, 0.5):
        with pytest.raises(PutRefused, match="is none of THF, DMF, None"):
            choose(lab, wrong)


def test_a_change_is_stopped_or_gives_way_to_another(twin):
    lab, loop = lab_of(twin), asyncio.new_event_loop()
    setpoint = lab.pvs["MIX:SOLVENT:SP"]

    async def go():
        first = asyncio.ensure_future(setpoint.accept(1))
        await asyncio.sleep(0)
        assert lab.twin.step(59.0)
        second = asyncio.ensure_future(setpoint.accept(2))
        await asyncio.wait([first])
        assert lab.twin.step(59.0)
        assert lab.get("MIX:SOLVENT:RB") == 0
        await lab.pvs["MIX:SOLVENT:STOP"].accept(1)
        await asyncio.wait([second])
        assert not lab.twin.step(1.0)

    loop.run_until_complete(go())
    loop.close()
    assert lab.get("MIX:SOLVENT:SP") == lab.get("MIX:SOLVENT:RB") == 0


def test_a_measurement_is_that_of_the_chosen_name(twin):
    lab = lab_of(twin)
    lab.set({"time": 4.0})
    found = []
    for number in (0, 1, 2):
        choose(lab, number)
        found.append(lab.measure()["yield_"])
        expected = smooth(np.array([[4.0, number]]))[0]
        assert found[-1] == pytest.approx(expected, abs=3.0)
    choose(lab, 0)
    assert lab.measure()["yield_"] == found[0]  # the first trigger since it was set
    assert lab.measure()["yield_"] != found[0]


def test_names_without_data_together_refuse_the_trigger_in_words(tmp_path):
    text = HEADER.replace("outcomes:", "  base: {choices: [KOH, none]}\noutcomes:")
    pairs = [("THF", "KOH"), ("DMF", "KOH"), ("None", "none")]
    lines = [f"{1 + i / 10},{','.join(pairs[i % 3])},{i}" for i in range(30)]
    file = tmp_path / "data.csv"
    file.write_text("\n".join(["time,solvent,base,yield", *lines]) + "\n")
    file.with_suffix(".yaml").write_text(text)
    twin = TableTwin(file, file.with_suffix(".yaml"))
    lab = lab_of(twin)
    assert 0.4 < report(twin)["out_of_reach"] < 0.6  # three of six pairs
    lab.measure()
    choose(lab, 2)
    with pytest.raises(PutRefused, match="no data of these choices together"):
        lab.measure()
    assert len(lab.pvs["MIX:DETECTOR:MESSAGE"].value) <= 39


def test_a_report_says_which_names_there_are_and_which_have_few_points(tmp_path):
    rows = [(1 + i / 10, "DMF" if i == 7 else "THF", i) for i in range(40)]
    file = write(tmp_path, HEADER.replace(", None", ""), rows)
    about = report(TableTwin(file, file.with_suffix(".yaml")))
    assert about["choices"] == {"solvent": ["THF", "DMF"]}
    assert list(about["limits"]) == ["time"]
    assert "solvent 'DMF' has only 1 distinct point: little is known of it" in about["warnings"]
    assert not [said for said in about["warnings"] if "'THF'" in said]


def test_the_written_campaign_chooses_and_can_be_walked(twin, tmp_path):
    write_files(twin, tmp_path / "lab", tmp_path / "data.yaml")
    files = read_files(str(tmp_path / "lab" / "campaign.yaml"))
    assert files.instrument.devices["solvent"].limits == (0.0, 2.0)
    assert files.instrument.devices["solvent"].timeout_s == 120, "twice what it takes to settle"
    assert files.campaign.parameters["solvent"].choices == (0, 1, 2)
    text = (tmp_path / "lab" / "campaign.yaml").read_text()
    assert "choices: [0, 1, 2]}  # 0 THF, 1 DMF, 2 None" in text
    walked = twin_in_process(files.campaign, files.instrument, 0)
    assert isinstance(walked, TwinByPlan)
    measured = walked.measure({"time": 3.0, "solvent": 2})
    assert measured.at == {"time": 3.0, "solvent": 2.0}
    assert measured.moves_s >= 60.0
    assert measured.reduction.outcomes["yield_"].mean == pytest.approx(80.0, abs=3.0)


def test_a_large_table_keeps_its_names(tmp_path, monkeypatch):
    monkeypatch.setattr("simulators.table.reading.MOST_ROWS", 60)
    file = write(tmp_path)
    sampled = TableTwin(file, file.with_suffix(".yaml"))
    write_files(sampled, tmp_path / "lab", file.with_suffix(".yaml"))
    kept = tmp_path / "lab" / "sample" / "mix.parquet"
    assert set(pd.read_parquet(kept)["solvent"]) == set(SOLVENTS)
    assert TableTwin(kept, file.with_suffix(".yaml")).table.x.tolist() == sampled.table.x.tolist()
