"""Arrays in a document file: read when they are looked at, not before."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.adapters.documents.frames import Frames
from orchestrator.adapters.documents.plain import number

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr


@dataclass(frozen=True)
class StoredArray:
    """The array that an event holds under one data key.

    It indexes, iterates and converts (``numpy.asarray``) as an array does, and is read at the
    first of these.

    Attributes:
        path: of the document file.
        offset: of the event's line in it, bytes.
        key: data key.
        row: of an event page; None for an event.
    """

    path: Path
    offset: int
    key: str
    row: int | None = None

    def read(self) -> "np.ndarray":
        """Read it anew.

        Raises:
            OSError, ValueError: the file is gone or damaged.
        """
        import numpy as np

        with self.path.open("rb") as file:
            file.seek(self.offset)
            _, document = json.loads(file.readline())
        value = document["data"][self.key]
        return np.asarray(number(value if self.row is None else value[self.row]))

    @cached_property
    def values(self) -> "np.ndarray":
        """The array, read once."""
        return self.read()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> "np.ndarray":
        """For numpy."""
        import numpy as np

        return np.array(self.values, dtype=dtype, copy=copy)

    def __getitem__(self, index: Any) -> Any:
        return self.values[index]

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> "Iterator[Any]":
        return iter(self.values)


def stored(
    data: Mapping[str, Any],
    keys: Mapping[str, Any],
    path: Path,
    offset: int,
    row: int | None = None,
) -> dict[str, Any]:
    """The data of an event, with what stands for its arrays in their place."""
    return {
        key: StoredArray(path, offset, key, row)
        if isinstance(item, list) and keys.get(key, {}).get("dtype") == "array"
        else item
        for key, item in data.items()
    }


def dataset(rows: Sequence[tuple[int, float, Mapping[str, Any]]], keys: Mapping[str, Any]) -> Any:
    """A stream as an ``xarray.Dataset`` along ``seq_num``; arrays are read when they are needed.

    Args:
        rows: sequence number, Unix time and data of each event, in their order.
        keys: the stream's data keys.
    """
    import xarray as xr

    variables: dict[str, Any] = {"time": ("seq_num", [time for _, time, _ in rows])}
    for key, about in keys.items():
        cells = [data.get(key) for _, _, data in rows]
        units = {"units": about["units"]} if about.get("units") else {}
        variables[key] = _variable(key, cells, units)
    return xr.Dataset(variables, coords={"seq_num": [number for number, _, _ in rows]})


def _variable(key: str, cells: Sequence[Any], attributes: Mapping[str, Any]) -> "xr.Variable":
    import numpy as np
    import xarray as xr
    from xarray.core import indexing

    if cells and all(isinstance(cell, StoredArray | Frames) for cell in cells):
        column = _column(cells)
        values: Any = indexing.LazilyIndexedArray(column)
    else:
        values = column = np.asarray([number(cell) for cell in cells])
    inner = [f"{key}_{axis}" for axis in range(len(column.shape) - 1)]
    return xr.Variable(["seq_num", *inner], values, attributes)


def _column(cells: Sequence[StoredArray | Frames]) -> Any:
    """What xarray asks for the events that are looked at, and for nothing else."""
    import numpy as np
    from xarray.backends import BackendArray
    from xarray.core import indexing

    first = cells[0].read()

    class Column(BackendArray):
        shape = (len(cells), *first.shape)
        dtype = first.dtype

        def __getitem__(self, key: Any) -> Any:
            support = indexing.IndexingSupport.BASIC
            return indexing.explicit_indexing_adapter(key, self.shape, support, self._read)

        def _read(self, key: tuple[Any, ...]) -> Any:
            rows, *inner = key
            if isinstance(rows, slice):
                return np.stack([cell.read() for cell in cells[rows]])[(slice(None), *inner)]
            return cells[rows].read()[tuple(inner)]

    return Column()
