"""Batches for TRL's preference trainers, from rows that are tokens and labels already.

This module is copied beside engines, into their own Python.
"""

# TRL's own collators render and tokenize rows again, and so lose our labels: what carries loss would differ by engine.

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from ftsdk.data.row_labels import IGNORED

Row = Mapping[str, Any]
Batch = dict[str, torch.Tensor]


def paired_batch(rows: Sequence[Row], *, pad: int) -> Batch:
    """For ``DPOTrainer``: all chosen answers, then all rejected ones."""
    prefixes = [f"{answer}_" for answer in ("chosen", "rejected") for _ in rows]
    return _padded(zip(prefixes, [*rows, *rows], strict=True), pad)


def unpaired_batch(rows: Sequence[Row], *, pad: int) -> Batch:
    """For ``KTOTrainer``, which estimates its KL on each prompt with another row's answer."""
    batch, estimate = (_padded(((prefix, row) for row in rows), pad) for prefix in ("", "other_"))
    desirable = torch.tensor([row["label"] for row in rows])
    return {**batch, **{f"KL_{name}": values for name, values in estimate.items()}, "label": desirable}


def _padded(texts: Iterable[tuple[str, Row]], pad: int) -> Batch:
    """Texts of rows, by the prefix of their columns, padded on the right, with a mask of what carries loss."""
    ids, labels = zip(*((row[f"{prefix}input_ids"], row[f"{prefix}labels"]) for prefix, row in texts), strict=True)
    return {
        "input_ids": _stacked(ids, pad),
        "attention_mask": _stacked([[1] * len(text) for text in ids], 0),
        "completion_mask": _stacked([[int(label != IGNORED) for label in text] for text in labels], 0),
    }


def _stacked(rows: Iterable[Sequence[int]], fill: int) -> torch.Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=fill)
