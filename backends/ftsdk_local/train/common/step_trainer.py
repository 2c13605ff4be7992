"""Transformers' Trainer, whose batch is one whole optimizer step: what is computed at a time is cut inside the step.

What Trainer does well it keeps doing: optimizer, schedule, clipping, the order of rows, checkpoints, resume, trackers.
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
    """The frame of a trainer; :meth:`accumulate` and :meth:`held_out` say what is computed in it.

    Args:
        micro_batch: How much to compute at a time; halved when memory runs out.
        warn: Told what the user should know.
        options: As for the trainer underneath; ``args.per_device_train_batch_size`` is the global batch size.
    """

    def __init__(self, *, micro_batch: MicroBatch, warn: Callable[[str], None], **options: Any) -> None:
        super().__init__(**options)
        self.data_collator = list
        self.micro_batch = micro_batch
        self.warn = warn
        self.tokens_seen = 0
        self.seconds = 0.0
        self._means: list[dict[str, float]] = []

    def accumulate(self, units: Sequence[Unit]) -> Sums:
        """Forward and backward over one optimizer step; the mean ``loss``, and other means, without gradients."""
        raise NotImplementedError

    def held_out(self, units: Sequence[Unit]) -> Sums:
        """The sums, over units that are not learned from, of the loss and other metrics."""
        raise NotImplementedError

    def pace(self) -> tuple[int, float]:
        """Tokens seen, and seconds spent on them, in this attempt."""
        return self.tokens_seen, self.seconds

    def training_step(self, model: Any, inputs: Sequences, num_items_in_batch: Any = None) -> Tensor:  # noqa: ARG002
        """Forward and backward over one optimizer step; gradients are left on the parameters.

        Returns:
            The mean loss by the units' weight, a float32 scalar.
        """
        began = time.perf_counter()
        model.train()
        units = [unit for sequence in inputs for unit in sequence]
        means = self._until_it_fits(lambda: self.accumulate(units), units)
        loss = means.pop("loss")
        taught = {
            "tokens_per_step": float(sum(map(tokens_of, units))),
            "labels_per_step": float(sum(row.labelled for unit in units for row in unit.rows)),
        }
        self._means.append({name: mean.item() for name, mean in means.items()} | taught)
        self.tokens_seen += int(taught["tokens_per_step"])
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
            clean_up=lambda: self.model.zero_grad(set_to_none=True),
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Beside the loss, the mean of each metric over the same steps."""
        if "loss" in logs and self._means:
            logs |= {name: fmean(means[name] for means in self._means) for name in self._means[0]}
            self._means.clear()
        super().log(logs, start_time)

    @torch.no_grad()
    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """The mean loss over the held-out units, as ``eval_loss``, and the other metrics in the same way."""
        self.model.eval()
        units = [unit for sequence in self.eval_dataset for unit in sequence]
        sums = self._until_it_fits(lambda: self.held_out(units), units)
        weight = sum(unit.weight for unit in units)
        metrics = {f"{metric_key_prefix}_{name}": total.item() / weight for name, total in sums.items()}
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002
        """Nobody reads this number, and a wrong one is worse than none."""
        return 0
