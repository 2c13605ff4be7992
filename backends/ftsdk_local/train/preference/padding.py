"""Split the units of one optimizer step into parts that fit in memory, padded as TRL's trainers take them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ftsdk.data.row_labels import IGNORED
from ftsdk.modeling.batches import Example, Pair, Unit
from ftsdk_local.train.preference.unpaired import UnpairedExample

U = TypeVar("U", bound=Unit)

Batch = dict[str, Tensor]
"""The inputs of a TRL trainer's loss, by its names; B rows of T tokens each."""


def split_units(units: Sequence[U], capacity: int, most: int | None = None) -> list[list[U]]:
    """The units of one step in parts of similar size, rows of similar length together.

    Args:
        units: Of a step; each of as many rows as the others.
        capacity: Most tokens of a part, padding included; a longer unit has a part to itself.
        most: Most units of a part. None: any number.
    """
    # By the longest unit of the step, so that every part fits; parts of like size, because a last part of one row would
    # cost a forward pass of its own.
    padded_tokens = len(units[0].rows) * max(map(_longest, units))
    at_once = max(min(capacity // padded_tokens, most or len(units)), 1)
    parts = -(-len(units) // at_once)
    by_length = sorted(units, key=_longest, reverse=True)
    cuts = [len(units) * part // parts for part in range(parts + 1)]
    return [by_length[begin:end] for begin, end in pairwise(cuts)]


def _longest(unit: Unit) -> int:
    return max(len(row.input_ids) for row in unit.rows)


def pad_rows(rows: Sequence[Example], pad: int) -> Batch:
    """Rows padded on the right, each tensor B x T of int64."""
    ids = _pad([row.input_ids for row in rows], pad)
    labels = _pad([row.labels for row in rows], IGNORED)
    completion = labels >= 0
    completion[:, 0] = False  # the first token is predicted by no other
    lengths = torch.tensor([len(row.input_ids) for row in rows])
    mask = torch.arange(ids.shape[1])[None] < lengths[:, None]
    return {"input_ids": ids, "attention_mask": mask.long(), "completion_mask": completion.long()}


def _pad(rows: Sequence[np.ndarray], fill: int) -> Tensor:
    padded = np.full((len(rows), max(map(len, rows))), fill, dtype=np.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return torch.from_numpy(padded)


def dpo_batch(pairs: Sequence[Pair], pad: int) -> Batch:
    """For ``DPOTrainer``: all chosen rows, then all rejected ones, which it splits in the middle."""
    return pad_rows([pair.chosen for pair in pairs] + [pair.rejected for pair in pairs], pad)


def kto_batch(units: Sequence[UnpairedExample], pad: int) -> Batch:
    """For ``KTOTrainer``, without the mismatched rows: their KL is estimated beforehand."""
    labels = torch.tensor([unit.good for unit in units])
    return {**pad_rows([unit.example for unit in units], pad), "label": labels}


def orpo_batch(pairs: Sequence[Pair], pad: int) -> Batch:
    """For ``ORPOTrainer``."""
    sides = {
        "chosen": pad_rows([pair.chosen for pair in pairs], pad),
        "rejected": pad_rows([pair.rejected for pair in pairs], pad),
    }
    return {
        f"{side}_{name}": tensor
        for side, batch in sides.items()
        for name, tensor in (
            ("input_ids", batch["input_ids"]),
            ("attention_mask", batch["attention_mask"]),
            ("labels", batch["input_ids"].masked_fill(batch["completion_mask"] == 0, IGNORED)),
        )
    }


def mismatch_answers(units: Sequence[UnpairedExample], max_length: int) -> list[UnpairedExample]:
    """Each prompt with the answer to the prompt before it: the rows that KTO estimates its KL on."""
    answers = [units[place - 1].example for place in range(len(units))]
    return [
        unit._replace(example=_with_answer_of(unit.example, answer, max_length))
        for unit, answer in zip(units, answers, strict=True)
    ]


def _with_answer_of(prompt_row: Example, answer_row: Example, max_length: int) -> Example:
    prompt, answer = (int(np.argmax(row.labels >= 0)) for row in (prompt_row, answer_row))  # where the answers begin
    ids = np.concatenate([prompt_row.input_ids[:prompt], answer_row.input_ids[answer:]])
    labels = np.concatenate([prompt_row.labels[:prompt], answer_row.labels[answer:]])
    return Example(ids[:max_length], labels[:max_length])
