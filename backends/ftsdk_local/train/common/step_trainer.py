"""Transformers' Trainer with a whole optimizer step as its batch: micro-batches are cut inside the step.

Trainer keeps its other tasks: optimizer, schedule, clipping, the order of rows, checkpoints, resume, trackers.
"""

import time
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer

from ftsdk.modeling.batches import Unit, tokens_of
from ftsdk.modeling.memory import MicroBatch, until_it_fits
from ftsdk.modeling.objective import Sums

Sequences = Sequence[Sequence[Unit]]
"""What one optimizer step counts: each a row or a pair, or with packing several rows."""


class StepTrainer(Trainer):
    """The frame of a trainer; subclasses compute in :meth:`accumulate` and :meth:`evaluate_units`.

    Args:
        micro_batch: How much to compute at a time; halved when memory runs out.
        warn: Called with what the user should know.
        options: As for the trainer that is extended; ``args.per_device_train_batch_size`` is the global batch size.
    """

    def __init__(self, *, micro_batch: MicroBatch, warn: Callable[[str], None], **options: Any) -> None:
        super().__init__(**options)
        # A batch stays a list of sequences: what fits in memory is only known inside the step, and no tensor is padded.
        # Set after the constructor, because TRL's set one of their own.
        self.data_collator = list
        self.micro_batch = micro_batch
        self.warn = warn
        self.tokens_seen = 0
        self.seconds = 0.0
        self._means: list[dict[str, float]] = []

    def accumulate(self, units: Sequence[Unit]) -> Sums:
        """Forward and backward over one optimizer step; the mean ``loss``, and other means, without gradients."""
        raise NotImplementedError

    def evaluate_units(self, units: Sequence[Unit]) -> Sums:
        """The sums of the loss and other metrics over held-out units."""
        raise NotImplementedError

    def throughput(self) -> tuple[int, float]:
        """Tokens processed, and seconds spent on them, in this attempt."""
        return self.tokens_seen, self.seconds

    def training_step(self, model: Any, inputs: Sequences, num_items_in_batch: Any = None) -> Tensor:  # noqa: ARG002
        """Forward and backward over one optimizer step; gradients are left on the parameters.

        Returns:
            The mean loss by the units' weight, a float32 scalar.
        """
        # Replaces Trainer.training_step, which divides the loss by gradient_accumulation_steps or by the number of
        # items in the batch. Here one call is a whole step, and its mean is by the units' weight.
        began = time.perf_counter()
        model.train()
        units = [unit for sequence in inputs for unit in sequence]
        means = self._until_it_fits(lambda: self.accumulate(units), units)
        loss = means.pop("loss")
        counts = {
            "tokens_per_step": float(sum(map(tokens_of, units))),
            "labels_per_step": float(sum(row.labelled for unit in units for row in unit.rows)),
        }
        self._means.append({name: mean.item() for name, mean in means.items()} | counts)
        self.tokens_seen += int(counts["tokens_per_step"])
        self.seconds += time.perf_counter() - began
        return loss

    def _until_it_fits(self, compute: Callable[[], Sums], units: Sequence[Unit]) -> Sums:
        return until_it_fits(
            compute,
            self.micro_batch,
            longest=max(map(tokens_of, units)),
            rows=max(len(unit.rows) for unit in units),
            device=self.args.device,
            warn=self.warn,
            # Gradients of the bins before the one that did not fit would be counted twice.
            clean_up=lambda: self.model.zero_grad(set_to_none=True),
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, beside the loss, the mean of each metric over the same steps."""
        # Trainer calls this with the mean loss since the last log; it has no such means for other metrics. Evaluation
        # and the end of training log, too, without a "loss".
        if "loss" in logs and self._means:
            logs |= {name: fmean(means[name] for means in self._means) for name in self._means[0]}
            self._means.clear()
        super().log(logs, start_time)

    @torch.no_grad()
    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """The mean loss over the held-out units, as ``eval_loss``, and the other metrics in the same way."""
        # Replaces Trainer.evaluate, which averages over batches of a fixed number of rows. on_evaluate must be called
        # as Trainer calls it: early stopping and the choice of the best checkpoint depend on it.
        self.model.eval()
        units = [unit for sequence in self.eval_dataset for unit in sequence]
        sums = self._until_it_fits(lambda: self.evaluate_units(units), units)
        weight = sum(unit.weight for unit in units)
        metrics = {f"{metric_key_prefix}_{name}": total.item() / weight for name, total in sums.items()}
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002
        """0: Trainer's estimate needs padded tensors under the key ``input_ids``, and nothing reads it."""
        return 0
