"""A random sample of the rows of a table, made while they are read."""

from collections.abc import Sequence

import numpy as np

from simulators.arrays import Array


class Sample:
    """Some of many rows: at random, and those with the lowest and highest value of each column.

    Without these, the limits of a setpoint would not be those of the data; and one row of each
    name, without which a rare one would be missing. The sample is the same however the rows are
    parted.

    Args:
        most: rows that are kept; at least twice the columns, and one for each name.
        width: columns.
        seed: of the choice.
        named: places of the columns that hold numbers of names.
    """

    def __init__(self, most: int, width: int, seed: int, named: Sequence[int] = ()) -> None:
        self.rows = 0
        """Rows that have been added."""
        self._most, self._width, self._named = most, width, named
        self._random = np.random.default_rng(seed)
        # Behind the columns, a random number by which a row is chosen, and its place.
        self._some = np.zeros((0, width + 2))
        self._ends = np.zeros((0, width + 2))

    def add(self, numbers: Array) -> None:
        """Rows of shape (n, width), without NaN; none of them changes nothing."""
        if not len(numbers):
            return
        places = np.arange(self.rows, self.rows + len(numbers), dtype=np.float64)
        piece = np.column_stack([numbers, self._random.random(len(numbers)), places])
        self.rows += len(numbers)
        self._some = self._chosen(np.concatenate([self._some, piece]), self._most)
        candidates = np.concatenate([self._ends, piece])
        values = candidates[:, : self._width]
        firsts = [np.unique(values[:, at], return_index=True)[1] for at in self._named]
        ends = np.concatenate([values.argmin(axis=0), values.argmax(axis=0), *firsts])
        self._ends = candidates[np.unique(ends)]

    def kept(self) -> Array:
        """The sample in the order of the rows, shape (n, width)."""
        if self.rows <= self._most:
            return self._some[:, : self._width]
        others = self._some[~np.isin(self._some[:, -1], self._ends[:, -1])]
        some = self._chosen(others, self._most - len(self._ends))
        kept = np.concatenate([self._ends, some])
        return kept[np.argsort(kept[:, -1])][:, : self._width]

    def _chosen(self, rows: Array, most: int) -> Array:
        if len(rows) <= most:
            return rows
        return rows[np.sort(np.argpartition(rows[:, -2], most)[:most])]
