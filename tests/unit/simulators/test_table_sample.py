import numpy as np
import pytest

from simulators.table.sample import Sample


def kept(rows, most, pieces, seed=0, named=()):
    sample = Sample(most, rows.shape[1], seed, named)
    for piece in np.array_split(rows, pieces):
        sample.add(piece)
    assert sample.rows == len(rows)
    return sample.kept()


@pytest.fixture
def rows():
    return np.random.default_rng(3).normal(size=(5000, 3))


def test_few_rows_are_all_kept(rows):
    assert kept(rows, 5000, 7).tolist() == rows.tolist()


def test_the_lowest_and_highest_of_each_column_are_kept(rows):
    some = kept(rows, 50, 20)
    assert len(some) == 50
    assert some.min(axis=0).tolist() == rows.min(axis=0).tolist()
    assert some.max(axis=0).tolist() == rows.max(axis=0).tolist()


def test_a_row_of_each_name_is_kept_however_rare(rows):
    names = np.ones(len(rows))
    names[[0, 4321, 4999]] = 0, 2, 3
    named = np.column_stack([rows, names])
    for pieces in (1, 13):
        some = kept(named, 50, pieces, named=[3])
        assert len(some) == 50
        assert set(some[:, 3]) == {0, 1, 2, 3}
    assert 2 not in kept(named, 50, 1)[:, 3], "by chance it is left out"


def test_a_sample_does_not_depend_on_the_pieces(rows):
    rising = np.sort(rows, axis=0)  # a new highest value in each piece
    for table in (rows, rising):
        one = kept(table, 60, 1)
        for pieces in (2, 13, 400):
            assert kept(table, 60, pieces).tolist() == one.tolist()
    assert kept(rows, 60, 1, seed=1).tolist() != kept(rows, 60, 1).tolist()


def test_rows_keep_their_order_and_are_spread_evenly(rows):
    numbered = np.column_stack([rows, np.arange(5000.0)])
    places = kept(numbered, 1000, 9)[:, -1]
    assert np.all(np.diff(places) > 0)
    counts = np.histogram(places, bins=10, range=(0, 5000))[0]
    assert counts.min() > 70
    assert counts.max() < 130
