"""Axolotl's trainers of preferences, which take rows as tokens and labels.

Their losses are theirs. What is ours: nothing is tokenized again, and labels say where the answer is. They stand beside
Axolotl in its own Python.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from axolotl.core.trainers import AxolotlKTOTrainer, AxolotlORPOTrainer
from axolotl.core.trainers.dpo.trainer import AxolotlDPOTrainer
from torch.nn.utils.rnn import pad_sequence

from ftsdk.kit.encoding import IGNORED

Text = tuple[list[int], list[int]]
"""Tokens and labels."""
Row = dict[str, Any]
Batch = dict[str, torch.Tensor]


def padded(texts: Iterable[Text], pad: int) -> Batch:
    """Texts as a batch, with the mask of their answers."""
    ids, labels = zip(*texts, strict=True)
    answers = [[int(label != IGNORED) for label in each] for each in labels]
    return {
        "input_ids": _stacked(ids, pad),
        "attention_mask": _stacked([[1] * len(each) for each in ids], 0),
        "completion_mask": _stacked(answers, 0),
    }


def _stacked(rows: Iterable[Sequence[int]], fill: int) -> torch.Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=fill)


def pairs_batch(pad: int, rows: Sequence[Row]) -> Batch:
    """All chosen answers, then all rejected ones."""
    sides = ("chosen", "rejected")
    return padded([(row[f"{side}_input_ids"], row[f"{side}_labels"]) for side in sides for row in rows], pad)


def judged_batch(pad: int, rows: Sequence[Row]) -> Batch:
    """Each row, and its prompt with another row's answer, on which KTO estimates how far the policy is."""
    batch = padded([(row["input_ids"], row["labels"]) for row in rows], pad)
    other = padded([(row["other_input_ids"], row["other_labels"]) for row in rows], pad)
    label = torch.tensor([row["label"] for row in rows])
    return {**batch, **{f"KL_{name}": values for name, values in other.items()}, "label": label}


class DPO(AxolotlDPOTrainer):
    """Direct preference optimization."""

    def __init__(self, *given: Any, processing_class: Any, **options: Any) -> None:
        batch = partial(pairs_batch, processing_class.pad_token_id)
        super().__init__(*given, processing_class=processing_class, data_collator=batch, **options)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


class KTO(AxolotlKTOTrainer):
    """Kahneman-Tversky optimization."""

    def __init__(self, *given: Any, processing_class: Any, **options: Any) -> None:
        batch = partial(judged_batch, processing_class.pad_token_id)
        super().__init__(*given, processing_class=processing_class, data_collator=batch, **options)
        self.args.train_sampling_strategy = "random"  # TRL pairs rows beforehand, and so needs a fixed order

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


class ORPO(AxolotlORPOTrainer):
    """Odds-ratio preference optimization; its own batches are made of tokens and labels."""

    def tokenize_row(self, feature: Row, model: Any = None) -> Row:  # noqa: ARG002
        """A row is tokens already."""
        return feature
