"""Lay the rows of one optimizer step end to end, in bins that fit the memory. Pure functions over lengths."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ftsdk.modeling.losses import next_token_labels


class Unit(Protocol):
    """What is never parted: one row, or the rows that a loss compares."""

    @property
    def rows(self) -> "tuple[Example, ...]":
        """In their order."""

    @property
    def weight(self) -> int:
        """How much it counts in the mean of a step."""


class Example(NamedTuple):
    """One row as tokens."""

    input_ids: NDArray[np.int32]
    labels: NDArray[np.int32]
    """The token itself where it carries loss, else -100; as long as ``input_ids``."""

    @property
    def labelled(self) -> int:
        """Tokens that the model is asked for; the first token is asked for by nobody."""
        return int((self.labels[1:] >= 0).sum())

    @property
    def rows(self) -> "tuple[Example, ...]":
        """It stands alone."""
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
        """The better one first."""
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
    """What each position is asked for: already moved to the left."""
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
    """Indices of the lengths in bins of at most ``capacity`` in all, longest first, each where the least room is left.

    Args:
        lengths: Any positive numbers; one above the capacity has a bin to itself.
        capacity: The most a bin may hold.
        most: The most items in a bin. None: any number.

    Returns:
        Bins of indices; every index stands in one of them. About 11/9 of the fewest bins possible, at worst.
    """
    bins: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # (room left, bin), sorted
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        at = bisect_left(rooms, (lengths[index], 0))
        if at < len(rooms):
            room, place = rooms.pop(at)
        else:
            room, place = capacity, len(bins)
            bins.append([])
        bins[place].append(index)
        if most is None or len(bins[place]) < most:
            insort(rooms, (room - lengths[index], place))
    return bins


def lay_end_to_end(examples: Sequence[Example]) -> Bin:
    """One bin from some rows."""
    lengths = [len(example.input_ids) for example in examples]
    labels = [next_token_labels(torch.from_numpy(example.labels).long()) for example in examples]
    return Bin(
        input_ids_1T=torch.from_numpy(np.concatenate([example.input_ids for example in examples])).long()[None],
        position_ids_1T=torch.cat([torch.arange(length) for length in lengths])[None],
        labels_T=torch.cat(labels),
        starts=torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32),
        lengths=lengths,
    )


def rows_alone(bin_: Bin) -> list[Bin]:
    """Each row of a bin in a bin of its own, on the same device."""
    parts = (part.split(bin_.lengths, -1) for part in (bin_.input_ids_1T, bin_.position_ids_1T, bin_.labels_T))
    return [
        Bin(ids_1T, positions_1T, labels_T, bin_.starts.new_tensor([0, len(labels_T)]), [len(labels_T)])
        for ids_1T, positions_1T, labels_T in zip(*parts, strict=True)
    ]


def tokens_of(unit: Unit) -> int:
    """Tokens of all rows of a unit."""
    return sum(len(row.input_ids) for row in unit.rows)


def bins_of(units: Sequence[Unit], capacity: int, most: int | None = None) -> list[Bin]:
    """The units of one step, in as few bins as best-fit-decreasing needs; the rows of a unit lie side by side."""
    bins = best_fit_decreasing([tokens_of(unit) for unit in units], capacity, most)
    return [lay_end_to_end([row for i in bin_ for row in units[i].rows]) for bin_ in bins]


def pack(examples: Sequence[Example], max_length: int) -> list[list[Example]]:
    """Whole rows put together into sequences of up to ``max_length`` tokens (``training.packing``)."""
    lengths = [len(example.input_ids) for example in examples]
    return [[examples[i] for i in bin_] for bin_ in best_fit_decreasing(lengths, max_length)]
