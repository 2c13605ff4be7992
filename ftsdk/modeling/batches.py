"""Lay the rows of one optimizer step end to end, in bins that fit the memory.

The way of a row, from the file to the loss, with the file of each step::

    Line -> CanonicalRow -> Row  a line; its format's form; with file and line      data/{read,schema,check}.py
    -> (ids, labels) -> Example  tokens; labels where loss falls; truncated         data/row_labels.py, encoded_rows.py
    -> Unit                      never split: Example, Pair, UnpairedExample        batches.py
    -> sequence                  one unit, or several packed; a step counts these   train/common/sequences.py
    -> Bin                       a step's units end to end, as many as fit          batches.py
    -> hidden_TH -> loss         hidden states of T tokens; a sum over labels       objective.py, losses.py
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ftsdk.modeling.losses import next_token_labels


class Unit(Protocol):
    """What is never split over bins: one row, or the rows that a loss compares."""

    @property
    def rows(self) -> "tuple[Example, ...]":
        """In their order."""

    @property
    def weight(self) -> int:
        """Its weight in the mean over a step."""


class Example(NamedTuple):
    """One row as tokens."""

    input_ids: NDArray[np.int32]
    labels: NDArray[np.int32]
    """The token itself where it carries loss, else -100; as long as ``input_ids``."""

    @property
    def labelled(self) -> int:
        """Tokens that are predicted from those before them; nothing stands before the first one."""
        return int((self.labels[1:] >= 0).sum())

    @property
    def rows(self) -> "tuple[Example, ...]":
        """The row itself."""
        return (self,)

    @property
    def weight(self) -> int:
        """Each labelled token counts."""
        return self.labelled


class Pair(NamedTuple):
    """Two answers to one prompt, each with the prompt before it."""

    chosen: Example
    rejected: Example

    @property
    def rows(self) -> tuple[Example, ...]:
        """The preferred one first."""
        return (self.chosen, self.rejected)

    @property
    def weight(self) -> int:
        """Pairs count alike, however long they are."""
        return 1


class Bin(NamedTuple):
    """Rows laid end to end: T tokens without padding."""

    input_ids_1T: Tensor
    position_ids_1T: Tensor
    """Restarting from 0 with each row."""
    labels_T: Tensor
    """The token that each position predicts: already shifted to the left, row by row."""
    starts: Tensor
    """Where rows begin, and the end: int32, one more than rows."""
    lengths: list[int]

    def to(self, device: torch.device) -> "Bin":
        """The same bin on a device."""
        return Bin(
            self.input_ids_1T.to(device),
            self.position_ids_1T.to(device),
            self.labels_T.to(device),
            self.starts.to(device),
            self.lengths,
        )


def best_fit_decreasing(lengths: Sequence[int], capacity: int, most: int | None = None) -> list[list[int]]:
    """Indices of the lengths in bins of at most ``capacity`` in all, longest first, each in the fullest that takes it.

    Args:
        lengths: Any positive numbers; one above the capacity has a bin to itself.
        capacity: The most that a bin takes.
        most: The most items in a bin. None: any number.

    Returns:
        Bins of indices; every index is in one of them. About 11/9 of the fewest bins possible, at worst.
    """
    bins: list[list[int]] = []
    open_bins: list[tuple[int, int]] = []  # (free capacity, bin), sorted, so that the best fit is found by bisection
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        best = bisect_left(open_bins, (lengths[index], 0))
        if best < len(open_bins):
            free, place = open_bins.pop(best)
        else:
            free, place = capacity, len(bins)
            bins.append([])
        bins[place].append(index)
        if most is None or len(bins[place]) < most:
            insort(open_bins, (free - lengths[index], place))
    return bins


def lay_end_to_end(examples: Sequence[Example]) -> Bin:
    """One bin from some rows."""
    lengths = [len(example.input_ids) for example in examples]
    # Labels are shifted within each row: shifted over the whole bin, the last token of a row would have to predict the
    # first one of its neighbour.
    labels = [next_token_labels(torch.from_numpy(example.labels).long()) for example in examples]
    return Bin(
        input_ids_1T=torch.from_numpy(np.concatenate([example.input_ids for example in examples])).long()[None],
        position_ids_1T=torch.cat([torch.arange(length) for length in lengths])[None],
        labels_T=torch.cat(labels),
        starts=torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32),
        lengths=lengths,
    )


def rows_alone(bin_: Bin) -> list[Bin]:
    """Each row of a bin in a bin of its own, on the same device: for models that mix neighbouring rows."""
    parts = (part.split(bin_.lengths, -1) for part in (bin_.input_ids_1T, bin_.position_ids_1T, bin_.labels_T))
    return [
        Bin(ids_1T, positions_1T, labels_T, bin_.starts.new_tensor([0, len(labels_T)]), [len(labels_T)])
        for ids_1T, positions_1T, labels_T in zip(*parts, strict=True)
    ]


def tokens_of(unit: Unit) -> int:
    """Tokens of all rows of a unit."""
    return sum(len(row.input_ids) for row in unit.rows)


def bins_of(units: Sequence[Unit], capacity: int, most: int | None = None) -> list[Bin]:
    """The units of one step, in as few bins as best-fit-decreasing needs; the rows of a unit are next to each other."""
    bins = best_fit_decreasing([tokens_of(unit) for unit in units], capacity, most)
    return [lay_end_to_end([row for i in bin_ for row in units[i].rows]) for bin_ in bins]


def pack(examples: Sequence[Example], max_length: int) -> list[list[Example]]:
    """Whole rows put together into sequences of up to ``max_length`` tokens (``training.packing``)."""
    lengths = [len(example.input_ids) for example in examples]
    return [[examples[i] for i in bin_] for bin_ in best_fit_decreasing(lengths, max_length)]
