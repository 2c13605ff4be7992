"""Axolotl's trainers for preferences, changed to take rows as tokens and labels.

The losses are unchanged; rows are not tokenized again, and labels mark the answer. This module is copied beside
Axolotl, into its own Python. Stored requests name its classes, so they keep their names.
"""

from functools import partial
from typing import Any

from axolotl.core.trainers import AxolotlKTOTrainer, AxolotlORPOTrainer
from axolotl.core.trainers.dpo.trainer import AxolotlDPOTrainer

from ftsdk.engines.batches import paired_batch, unpaired_batch

Row = dict[str, Any]


class DPO(AxolotlDPOTrainer):
    """Direct preference optimization."""

    def __init__(self, *arguments: Any, processing_class: Any, **options: Any) -> None:
        batch = partial(paired_batch, pad=processing_class.pad_token_id)
        super().__init__(*arguments, processing_class=processing_class, data_collator=batch, **options)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


class KTO(AxolotlKTOTrainer):
    """Kahneman-Tversky optimization."""

    def __init__(self, *arguments: Any, processing_class: Any, **options: Any) -> None:
        batch = partial(unpaired_batch, pad=processing_class.pad_token_id)
        super().__init__(*arguments, processing_class=processing_class, data_collator=batch, **options)
        self.args.train_sampling_strategy = "random"  # TRL pairs rows by order; ours are paired already

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


class ORPO(AxolotlORPOTrainer):
    """Odds-ratio preference optimization; its own batches are made of tokens and labels."""

    def tokenize_row(self, feature: Row, model: Any = None) -> Row:  # noqa: ARG002
        """The row, which is tokens already."""
        return feature
