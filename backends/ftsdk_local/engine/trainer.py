"""Transformers' Trainer, with our own step: rows without padding, a micro-batch that is found, a loss without logits.

What Trainer does well it keeps doing: optimizer, schedule, clipping, the order of rows, checkpoints, resume, trackers.
To Trainer one batch is one whole optimizer step; the micro-batches are cut inside :meth:`RowTrainer.training_step`.
"""

import time
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import Trainer

from ftsdk_local.engine.batches import Bin, Unit, bins_of, tokens_of
from ftsdk_local.engine.losses import neftune_noise
from ftsdk_local.engine.memory import MicroBatch, until_it_fits
from ftsdk_local.engine.objective import Sums

Sequences = Sequence[Sequence[Unit]]
"""What one optimizer step counts: each a row or a pair, or with packing several rows."""


class Summing(Protocol):
    """What a model is trained on, such as :class:`ftsdk_local.engine.objective.Objective`."""

    model: Any

    def __call__(self, bin_: Bin) -> Sums:
        """The loss and other sums over the units of a bin."""


class RowTrainer(Trainer):
    """Trains a model on rows laid end to end.

    Args:
        objective: Sums the loss over a bin.
        micro_batch: How much to compute at a time; halved when memory runs out.
        neftune_alpha: Strength of noise on the embeddings. None: no noise.
        warn: Told what the user should know.
        options: As for ``transformers.Trainer``; ``args.per_device_train_batch_size`` is the global batch size.
    """

    def __init__(
        self,
        *,
        objective: Summing,
        micro_batch: MicroBatch,
        neftune_alpha: float | None = None,
        warn: Callable[[str], None],
        **options: Any,
    ) -> None:
        super().__init__(data_collator=list, **options)
        self.objective = objective
        self.micro_batch = micro_batch
        self.warn = warn
        self.tokens_seen = 0
        self.seconds = 0.0
        self._lengths: list[int] = []
        self._means: list[dict[str, float]] = []
        if neftune_alpha is not None:
            objective.model.get_input_embeddings().register_forward_hook(self._add_noise(neftune_alpha))

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
        means = self._until_it_fits(lambda: self._accumulate(units), units)
        loss = means.pop("loss")
        self._means.append({name: mean.item() for name, mean in means.items()})
        self.tokens_seen += sum(map(tokens_of, units))
        self.seconds += time.perf_counter() - began
        return loss

    def _accumulate(self, units: Sequence[Unit]) -> Sums:
        weight = sum(unit.weight for unit in units)
        means: Sums = {}
        for bin_ in bins_of(units, self.micro_batch.tokens, self.micro_batch.rows):
            self._lengths = bin_.lengths
            with self.accelerator.autocast():
                parts = {name: part / weight for name, part in self.objective(bin_.to(self.args.device)).items()}
            self.accelerator.backward(parts["loss"])
            means = _added(means, parts)
        return means

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
        sums = self._until_it_fits(lambda: self._held_out_sums(units), units)
        weight = sum(unit.weight for unit in units)
        metrics = {f"{metric_key_prefix}_{name}": total.item() / weight for name, total in sums.items()}
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _held_out_sums(self, units: Sequence[Unit]) -> Sums:
        sums: Sums = {}
        for bin_ in bins_of(units, self.micro_batch.tokens, self.micro_batch.rows):
            with self.accelerator.autocast():
                sums = _added(sums, self.objective(bin_.to(self.args.device)))
        return sums

    def _add_noise(self, alpha: float) -> Callable[[Any, Any, Tensor], Tensor]:
        def hook(module: Any, _: Any, embedded_1TH: Tensor) -> Tensor:
            if not module.training:
                return embedded_1TH
            return embedded_1TH + neftune_noise(embedded_1TH[0], self._lengths, alpha)[None]

        return hook

    def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002
        """Nobody reads this number, and a wrong one is worse than none."""
        return 0


def _added(totals: Sums, parts: Sums) -> Sums:
    """Both together, without their gradients."""
    return {name: totals.get(name, 0.0) + part.detach() for name, part in parts.items()}
