import numpy as np
import pandas as pd
import pytest

from simulators.table import reading
from simulators.table.errors import BadTable
from simulators.table.header import read_header
from simulators.table.instrument import TableTwin
from simulators.table.reading import read_table
from simulators.table.report import lines, report
from simulators.table.units import SAME, differ, known, unit_in
from simulators.twins import own_pvs, twin_module, twin_names

HEADER = """
parameters:
  temperature: {column: "T (C)", unit: degC}
  time: {unit: min}
outcomes:
  yield_: {column: "yield", unit: "%"}
"""


def rows(count=10):
    return [[20.0 + 7 * (i % 5), 1.0 + i, round(50 + 10 * np.sin(i), 3)] for i in range(count)]


def csv(folder, cells=None, titles="T (C),time,yield", name="data.csv"):
    file = folder / name
    lines = [titles, *(",".join(map(str, row)) for row in (rows() if cells is None else cells))]
    file.write_text("\n".join(lines) + "\n")
    return file


def header(folder, text=HEADER):
    file = folder / "data.yaml"
    file.write_text(text)
    return file


def read(folder, cells=None, text=HEADER, **options):
    file = csv(folder, cells, **options)
    return read_table(file, read_header(header(folder, text), file))


def refusal(folder, cells=None, text=HEADER, **options):
    with pytest.raises(BadTable) as caught:
        read(folder, cells, text, **options)
    return str(caught.value)


def test_columns_come_in_the_order_of_the_header(tmp_path):
    table = read(tmp_path)
    assert table.rows == 10
    assert table.x.tolist() == [row[:2] for row in rows()]
    assert table.y.tolist() == [row[2:] for row in rows()]


def test_parquet_reads_as_csv_does(tmp_path):
    file = tmp_path / "data.parquet"
    pd.DataFrame(rows(), columns=["T (C)", "time", "yield"]).to_parquet(file)
    table = read_table(file, read_header(header(tmp_path), file))
    assert table.x.tolist() == read(tmp_path).x.tolist()


def test_a_table_without_titles_gets_them_from_the_header(tmp_path):
    text = "titles: [T (C), time, yield]\n" + HEADER
    first, *others = [",".join(map(str, row)) for row in rows()]
    table = read(tmp_path, [[line] for line in others], text, titles=first)
    assert table.x.tolist() == [row[:2] for row in rows()]
    assert "3 columns, and the header 2 titles" in refusal(
        tmp_path, text="titles: [a, b]\n" + HEADER
    )


def test_a_missing_column_names_the_near_ones(tmp_path):
    said = refusal(tmp_path, titles="T (K),time,yield")
    assert "has no column 'T (C)' for temperature; there is 'T (K)'" in said
    said = refusal(tmp_path, [["1;2;3"]], titles="T (C);time;yield")
    assert said.endswith("the header needs 3; are its cells parted by commas?")
    many = ",".join(f"column{i}" for i in range(40))
    assert "'column11' and 28 more" in refusal(tmp_path, [], titles=many)
    assert "2 columns 'time'" in refusal(tmp_path, titles="T (C),time,time,yield", cells=[])


def test_a_title_may_look_like_a_missing_value(tmp_path):
    text = HEADER.replace("yield_: {column", "other: {column: NA}\n  yield_: {column")
    cells = [[*row, 2 * row[2]] for row in rows()]
    assert read(tmp_path, cells, text, titles="T (C),time,yield,NA").y[:, 0].tolist() == [
        row[3] for row in cells
    ]


def test_a_row_of_units_is_called_so(tmp_path):
    said = refusal(tmp_path, [["degC", "min", "%"], *rows()])
    assert "row 1: found 'min', a unit; the titles take one row alone" in said


def test_how_many_cells_are_bad_is_told(tmp_path):
    cells = rows()
    cells[2][1] = cells[6][1] = cells[7][1] = "n/a"
    said = refusal(tmp_path, cells)
    assert "column 'time', row 3 (and 2 more up to row 10): is empty or NaN" in said


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("hot", "found 'hot', where a number with a decimal point is needed"),
        ('"31,5"', "found '31,5', where a number with a decimal point is needed"),
        ("", "is empty or NaN"),
        ("NaN", "is empty or NaN"),
        ("inf", "found inf, where a number below 1e+100 is needed"),
        ("-1e200", "found -1e+200, where a number below 1e+100 is needed"),
    ],
)
def test_a_bad_cell_is_named_by_column_and_row(tmp_path, cell, words, monkeypatch):
    monkeypatch.setattr(reading, "PIECE", 3)  # rows are counted through all pieces
    cells = rows()
    cells[7][0] = cell
    said = refusal(tmp_path, cells)
    assert f"column 'T (C)', row 8: {words}" in said


def test_every_bad_column_is_told_and_unused_ones_may_hold_anything(tmp_path):
    cells = [[*row, "free text"] for row in rows()]
    assert read(tmp_path, cells, titles="T (C),time,yield,note").rows == 10
    cells[2][1], cells[4][2] = "x", ""
    said = refusal(tmp_path, cells, titles="T (C),time,yield,note")
    assert "column 'time', row 3" in said
    assert "column 'yield', row 5" in said


def test_true_and_false_are_no_numbers(tmp_path):
    said = refusal(tmp_path, [[i % 2 == 0, *row[1:]] for i, row in enumerate(rows())])
    assert "found 'True', which is no number; if temperature is a choice, write" in said
    assert 'temperature: {choices: ["False", "True"]}' in said


def test_a_constant_column_is_refused(tmp_path):
    cells = [[25, *row[1:]] for row in rows()]
    assert "column 'T (C)' is 25 in every row" in refusal(tmp_path, cells)
    assert "has 1 distinct point; 5 are the least" in refusal(tmp_path, rows(1))


@pytest.mark.parametrize(
    ("title", "unit", "clash"),
    [
        ("T (C)", "degC", False),
        ("T [°C]", "degC", False),
        ("T (K)", "degC", True),
        ("T (corrected)", "degC", False),
        ("T", "degC", False),
        ("T (C)", '""', False),
        ("T (degF)", "degC", True),
        ("T (F)", "degC", True),
        ("p (psi)", "bar", True),
        ("c (g/L)", "mol/L", True),
        ("c (mg/L)", "g/L", True),
        ("speed (rpm)", "Hz", True),
    ],
)
def test_units_of_title_and_header_must_agree(tmp_path, title, unit, clash):
    text = HEADER.replace('column: "T (C)", unit: degC', f'column: "{title}", unit: {unit}')
    if clash:
        said = refusal(tmp_path, text=text, titles=f"{title},time,yield")
        told = title.partition("(")[2].rstrip(")")
        says = f"the header says that temperature is in {unit}"
        assert f"column {title!r} is in {told}, and {says}" in said
    else:
        assert read(tmp_path, text=text, titles=f"{title},time,yield").rows == 10


def test_spellings_of_a_unit_are_one_unit():
    assert unit_in("volume [µL]") == "µL"
    assert unit_in("yield (HPLC)") is None
    assert unit_in("T (1)") is None
    for one, other in (
        ("uL", "µL"),
        ("g/L", "mg/mL"),
        ("mg/L", "µg/mL"),
        ("mol/L", "kmol/m³"),
        ("cm3/h", "mL/h"),
        ("Torr", "mmHg"),
        ("rpm", "min⁻¹"),
    ):
        assert known(one)
        assert known(other)
        assert not differ(one, other)
    for one, other in (("mL", "uL"), ("MW", "mW"), ("psi", "psig"), ("T", "mT"), ("g/L", "mg/L")):
        assert known(one)
        assert known(other)
        assert differ(one, other)


def test_each_spelling_is_of_one_unit():
    spellings = [spelling for same in SAME for spelling in same]
    assert len(spellings) == len(set(spellings))


def test_the_units_of_the_shipped_twins_are_known():
    for name in set(twin_names()) - {"soft"}:
        assert [
            pv.unit for pv in own_pvs(twin_module(name)) if pv.unit and not known(pv.unit)
        ] == []


@pytest.mark.parametrize(
    ("title", "unit", "unknown"),
    [("p (kip)", "bar", "'kip'"), ("p (bar)", "kip", "'kip'"), ("T (raw)", "degC", "'raw'")],
)
def test_a_unit_that_is_not_known_is_served_with_a_warning(tmp_path, title, unit, unknown):
    text = HEADER.replace('column: "T (C)", unit: degC', f'column: "{title}", unit: {unit}')
    (said,) = read(tmp_path, text=text, titles=f"{title},time,yield").warnings
    assert f"column {title!r}" in said
    assert f"temperature is in {unit}; {unknown} is no unit that is known here" in said


@pytest.mark.parametrize(
    ("title", "unit"),
    [("T (kip)", "kip"), ("T (kip)", '""'), ("yield (NMR)", "%"), ("T (C)", "degC")],
)
def test_no_warning_without_two_units(tmp_path, title, unit):
    text = HEADER.replace('column: "T (C)", unit: degC', f'column: "{title}", unit: {unit}')
    text = text.replace("unit: %", 'unit: "%"')
    assert read(tmp_path, text=text, titles=f"{title},time,yield").warnings == ()


def test_ragged_empty_and_unreadable_files_are_refused(tmp_path):
    for extra in ([4], [4, 5]):
        said = refusal(tmp_path, [*rows(), [1, 2, 3, *extra]])
        assert f"Expected 3 fields in line 12, saw {3 + len(extra)}" in said
        assert "row 1 has more cells" in refusal(tmp_path, [[1, 2, 3, *extra], *rows()])
    assert "row 11: is empty" in refusal(tmp_path, [*rows(), [1, 2]])
    assert "has no rows below its titles" in refusal(tmp_path, [])
    file = csv(tmp_path)
    for content, words in ((b"", "is empty"), (b"T (C),time,yield\n\xff,2,3\n", "not UTF-8")):
        file.write_bytes(content)
        with pytest.raises(BadTable, match=words):
            read_table(file, read_header(header(tmp_path), file))
    book = tmp_path / "data.xlsx"
    book.write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(BadTable, match="a workbook; save its sheet as CSV"):
        read_table(book, read_header(header(tmp_path), book))
    file.rename(tmp_path / "data.parquet")
    with pytest.raises(BadTable, match="no Parquet file"):
        read_table(tmp_path / "data.parquet", read_header(header(tmp_path), file))
    with pytest.raises(BadTable, match="cannot read"):
        read_table(tmp_path / "gone.csv", read_header(header(tmp_path), file))


def test_of_many_rows_a_seeded_sample_is_kept_and_every_row_is_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PIECE", 64)
    monkeypatch.setattr(reading, "MOST_ROWS", 100)
    cells = rows(1000)
    table, again = read(tmp_path, cells), read(tmp_path, cells)
    assert (table.rows, len(table.x)) == (1000, 100)
    assert table.x.tolist() == again.x.tolist()
    kept = table.x[:, 1]
    assert list(kept) == sorted(kept)  # in the order of the file
    assert kept.min() < 200
    assert kept.max() > 800
    assert (kept.min(), kept.max()) == (1.0, 1000.0)  # what the limits of a setpoint are made of
    monkeypatch.setattr(reading, "PIECE", 999)
    assert read(tmp_path, cells).x.tolist() == table.x.tolist()
    cells[990][1] = "oops"
    assert "column 'time', row 991: found 'oops', where a number" in refusal(tmp_path, cells)
    cells[999][1], cells[990][1] = "oops", 3  # alone in its piece
    assert "column 'time', row 1000: found 'oops', where a number" in refusal(tmp_path, cells)


def test_limits_must_lie_inside_the_data(tmp_path):
    wide = HEADER.replace("unit: min", "unit: min, limits: [0, 5]")
    said = refusal(tmp_path, text=wide)
    assert "column 'time' goes from 1 to 10" in said
    assert "limits [0.0, 5.0]" in said


def test_ten_rows_are_served_with_a_warning(tmp_path):
    file = csv(tmp_path)
    about = report(TableTwin(file, header(tmp_path)))
    assert "10 distinct points for 2 parameters are few" in about["warnings"][0]
    said = "\n".join(lines(about))
    assert "10 rows: 10 distinct points, 0 replicates" in said
    assert "no evidence of which settings" in said


def test_copies_of_rows_are_told(tmp_path):
    once = report(TableTwin(csv(tmp_path, rows(20)), header(tmp_path)))
    about = report(TableTwin(csv(tmp_path, rows(20) * 2), header(tmp_path)))
    assert not [said for said in once["warnings"] if "copies" in said]
    assert "all replicates of yield_ are equal: they are taken for copies" in about["warnings"][-1]


def test_a_report_says_which_rows_are_used_and_why(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_ROWS", 60)
    monkeypatch.setattr("simulators.table.emulator.MOST_POINTS", 50)
    said = list(lines(report(TableTwin(csv(tmp_path, rows(200)), header(tmp_path)))))
    assert said[0].startswith("200 rows were read and checked; 60 are used, so that the twin is")
    assert said[1] == "60 rows: 60 distinct points, 0 replicates"
    assert said[2].startswith("gaussian-process of 50 points, chosen likewise; ")


def test_replicates_are_counted(tmp_path):
    cells = rows(20) + [[*row[:2], row[2] + 0.5] for row in rows(6)]
    about = report(TableTwin(csv(tmp_path, cells), header(tmp_path)))
    assert (about["rows"], about["distinct_points"], about["replicates"]) == (26, 20, 6)
    assert about["outcomes"]["yield_"]["noise_sd"] == pytest.approx(0.5 / 2**0.5)
    assert about["outcomes"]["yield_"]["noise_from"] == "replicates"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("time: {unit: min}", "time: {units: min}"), "parameters.time.units: unknown key"),
        (("yield_:", "yield:"), "Python uses this word; try 'yield_'"),
        (("time:", "Time:"), "a name has 1 to 40 of a-z"),
        (("unit: degC", "unit: [degC]"), "parameters.temperature.unit: found ['degC']"),
        (("unit: degC", "unit: kelvin or so"), "at most 7 ASCII characters"),
        (("time:", "detector:"), "the detector has this name"),
        (("time:", "yield_:"), "cannot be both parameter and outcome"),
        (("time: {", "time: {column: yield, "), "column 'yield' is given to both time and yield_"),
        (("time:", "temperature:"), "key 'temperature' is there twice"),
        (("{unit: min}", "{limits: [5, 2]}"), "lower < upper"),
        (("{unit: min}", "{settle_s: 0}"), "parameters.time.settle_s: found 0"),
        (("{unit: min}", "&a {unit: min}\n  other: *a"), "line 5 uses an alias"),
        (("parameters:", "name: Big One\nparameters:"), "the name of an instrument"),
        (("parameters:", "emulator: forest\nparameters:"), "emulator: found 'forest'"),
        (("outcomes:", "outcome:"), "outcomes: missing"),
        (("{unit: min}", "{unit: %}"), "no valid YAML"),
    ],
)
def test_mistakes_in_a_header_are_named(tmp_path, change, words):
    assert HEADER.replace(*change) != HEADER
    assert words in refusal(tmp_path, text=HEADER.replace(*change))


def test_a_missing_table_is_told_before_a_missing_header(tmp_path):
    with pytest.raises(BadTable, match=r"there is no table .*none\.csv"):
        TableTwin(tmp_path / "none.csv", tmp_path / "none.yaml")


def test_a_missing_header_shows_what_to_write(tmp_path):
    with pytest.raises(BadTable, match="there is no header") as caught:
        read_header(tmp_path / "none.yaml", tmp_path / "none.csv")
    example = tmp_path / "example.yaml"
    example.write_text(str(caught.value).partition("\n")[2])
    assert read_header(example, tmp_path / "My Data 1.csv").name == "my-data-1"
