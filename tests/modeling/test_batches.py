"""Rows laid end to end."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.modeling.batches import Example, Pair, best_fit_decreasing, bins_of, lay_end_to_end, pack, rows_alone

LENGTHS = st.lists(st.integers(1, 60), max_size=60)


def example(*tokens, labels=None):
    ids = np.array(tokens, dtype=np.int32)
    return Example(ids, ids if labels is None else np.array(labels, dtype=np.int32))


@given(LENGTHS, st.integers(1, 60), st.one_of(st.none(), st.integers(1, 5)))
def test_every_row_is_in_one_bin(lengths, capacity, most):
    """No row is lost, none doubled."""
    bins = best_fit_decreasing(lengths, capacity, most)

    assert sorted(index for bin_ in bins for index in bin_) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 60), st.one_of(st.none(), st.integers(1, 5)))
def test_bins_hold_what_they_may(lengths, capacity, most):
    """A bin exceeds its capacity only for one row that is too long for any, and never its number of rows."""
    bins = best_fit_decreasing(lengths, capacity, most)

    assert all(sum(lengths[i] for i in bin_) <= capacity or len(bin_) == 1 for bin_ in bins)
    assert all(len(bin_) <= (most or len(lengths)) for bin_ in bins)


@given(LENGTHS, st.integers(1, 60))
def test_bins_are_few(lengths, capacity):
    """Any two bins together would overflow: otherwise one of them were not needed."""
    sizes = sorted(sum(lengths[i] for i in bin_) for bin_ in best_fit_decreasing(lengths, capacity))

    assert len(sizes) < 2 or sizes[0] + sizes[1] > capacity


def test_a_bin_restarts_positions_and_labels():
    """Positions restart with each row, and no row predicts its neighbour's first token."""
    bin_ = lay_end_to_end([example(5, 6, 7), example(8, 9, labels=[-100, 9])])

    assert bin_.input_ids_1T.tolist() == [[5, 6, 7, 8, 9]]
    assert bin_.position_ids_1T.tolist() == [[0, 1, 2, 0, 1]]
    assert bin_.labels_T.tolist() == [6, 7, -100, 9, -100]
    assert bin_.starts.tolist() == [0, 3, 5]


def test_labelled_counts_what_is_asked():
    """The first token is not predicted, so it does not count."""
    assert example(5, 6, 7).labelled == 2


def test_packing_keeps_rows_whole():
    """Packed sequences hold whole rows, up to the length."""
    rows = [example(*range(1, length + 1)) for length in (5, 3, 2, 6)]

    packed = pack(rows, 8)

    assert sorted(sum(len(row.input_ids) for row in sequence) for sequence in packed) == [8, 8]


@pytest.mark.parametrize("most", [None, 1])
def test_bins_of_one_step_hold_all_its_rows(most):
    """However a step is cut, its labelled tokens are the same."""
    rows = [example(*range(1, length + 1)) for length in (5, 3, 2, 6)]

    labelled = sum(int((bin_.labels_T >= 0).sum()) for bin_ in bins_of(rows, 8, most))

    assert labelled == sum(row.labelled for row in rows)


def test_a_pair_is_never_parted():
    """The rows of a pair lie side by side in one bin, the chosen one first, even where the bin overflows."""
    pairs = [Pair(example(*range(1, n + 1)), example(*range(1, n + 2))) for n in (3, 6, 2)]

    assert [[6, 7], [3, 4, 2, 3]] == [bin_.lengths for bin_ in bins_of(pairs, capacity=12)]


def test_rows_alone_are_the_same_rows():
    """Each row of a bin in a bin of its own is what laying it down alone would give."""
    rows = [example(5, 6, 7), example(8, 9, labels=[-100, 9])]

    single_bins = rows_alone(lay_end_to_end(rows))

    for single_bin, expected in zip(single_bins, [lay_end_to_end([row]) for row in rows], strict=True):
        assert [str(part) for part in expected] == [str(part) for part in single_bin]
