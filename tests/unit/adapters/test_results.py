import csv
import io
import json
import struct
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.adapters.outputs.results import as_csv, as_json, write_parquet

EXACT = [0.1 + 0.2, -0.0, 1e308, 5e-324, 1 / 3, 1.7976931348623157e308, 1e22, 1e16, 123456789.0]
floats = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(EXACT)


def _bits(value: float) -> bytes:
    return struct.pack("<d", value)


def _parquet(columns: list[str], rows: list[dict[str, Any]]) -> Any:
    file = io.BytesIO()
    write_parquet(file, columns, rows)
    file.seek(0)
    return pyarrow.parquet.read_table(file)


@settings(max_examples=50, deadline=None)
@given(st.lists(floats, min_size=1, max_size=20))
def test_floats_survive_csv_bit_by_bit(values):
    text = as_csv(["y"], [{"y": value} for value in values])
    back = [float(row["y"]) for row in csv.DictReader(io.StringIO(text))]
    assert list(map(_bits, back)) == list(map(_bits, values))


@settings(max_examples=50, deadline=None)
@given(st.lists(floats | st.none(), min_size=1, max_size=20))
def test_floats_survive_parquet_bit_by_bit(values):
    back = _parquet(["y"], [{"y": value} for value in values])["y"].to_pylist()
    assert [v is None or _bits(v) for v in back] == [v is None or _bits(v) for v in values]


@settings(max_examples=50, deadline=None)
@given(st.lists(floats | st.none(), max_size=20))
def test_floats_survive_json_bit_by_bit(values):
    back = json.loads(as_json([{"y": value} for value in values]))
    assert repr(back) == repr([{"y": value} for value in values])


COLUMNS = ["trial_id", "state", "gas", "y", "y_sem"]
ROWS = [
    {"trial_id": 1, "state": "measured", "gas": 'N2, "dry"\nline', "y": 1.5, "y_sem": None},
    {"trial_id": 2, "state": "queued", "gas": "°C", "y": None, "y_sem": None},
]


def test_csv_has_empty_cells_and_keeps_text():
    text = as_csv(COLUMNS, ROWS)
    assert text.splitlines()[0] == "trial_id,state,gas,y,y_sem"
    assert text.endswith("2,queued,°C,,\n")
    first, second = csv.DictReader(io.StringIO(text))
    assert first["gas"] == 'N2, "dry"\nline'
    assert (second["y"], second["y_sem"]) == ("", "")


def test_parquet_has_nulls_and_the_same_order():
    table = _parquet(COLUMNS, ROWS)
    assert table.column_names == COLUMNS
    assert table.to_pylist() == ROWS


def test_json_has_nulls():
    assert json.loads(as_json(ROWS)) == ROWS


def test_a_table_without_trials_has_its_columns():
    assert as_csv(COLUMNS, []) == "trial_id,state,gas,y,y_sem\n"
    assert as_json([]) == "[]"
    table = _parquet(COLUMNS, [])
    assert (table.column_names, table.num_rows) == (COLUMNS, 0)


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ([1, 2, None], [1, 2, None]),
        ([1, 2.5, None], [1.0, 2.5, None]),
        ([True, False], [True, False]),
        ([1, "auto"], ["1", "auto"]),
        ([True, 2], ["True", "2"]),
        ([None, None], [None, None]),
    ],
)
def test_a_parquet_column_has_one_type(values, stored):
    back = _parquet(["x"], [{"x": value} for value in values])["x"].to_pylist()
    assert list(map(repr, back)) == list(map(repr, stored))


def test_a_value_that_is_no_number_is_not_written_as_json():
    with pytest.raises(ValueError, match="Out of range float"):
        as_json([{"y": float("nan")}])
