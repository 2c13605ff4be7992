"""Axolotl's trainers of preferences, which take rows as tokens and labels.

Their losses are theirs. What is ours: nothing is tokenized again, and labels say where the answer is. They stand beside
Axolotl in its own Python.
"""

from functools import partial
from typing import Any

from axolotl.core.trainers import AxolotlKTOTrainer, AxolotlORPOTrainer
from axolotl.core.trainers.dpo.trainer import AxolotlDPOTrainer

from ftsdk.engines.batches import paired_batch, unpaired_batch

Row = dict[str, Any]


class DPO(AxolotlDPOTrainer):
    """Direct preference optimization."""

    def __init__(self, *given: Any, processing_class: Any, **options: Any) -> None:
        batch = partial(paired_batch, pad=processing_class.pad_token_id)
        super().__init__(*given, processing_class=processing_class, data_collator=batch, **options)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


class KTO(AxolotlKTOTrainer):
    """Kahneman-Tversky optimization."""

    def __init__(self, *given: Any, processing_class: Any, **options: Any) -> None:
        batch = partial(unpaired_batch, pad=processing_class.pad_token_id)
        super().__init__(*given, processing_class=processing_class, data_collator=batch, **options)
        self.args.train_sampling_strategy = "random"  # TRL pairs rows beforehand, and so needs a fixed order

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


class ORPO(AxolotlORPOTrainer):
    """Odds-ratio preference optimization; its own batches are made of tokens and labels."""

    def tokenize_row(self, feature: Row, model: Any = None) -> Row:  # noqa: ARG002
        """A row is tokens already."""
        return feature
