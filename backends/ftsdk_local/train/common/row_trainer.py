"""Trainer with our own computation of a step: rows without padding, a loss without logits."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from ftsdk.modeling.batches import Bin, Unit, bins_of
from ftsdk.modeling.losses import neftune_noise
from ftsdk.modeling.objective import Sums
from ftsdk_local.train.common.step_trainer import StepTrainer


class Summing(Protocol):
    """What a model is trained on, such as :class:`ftsdk.modeling.objective.Objective`."""

    model: Any

    def __call__(self, bin_: Bin) -> Sums:
        """The loss and other sums over the units of a bin."""


class RowTrainer(StepTrainer):
    """Trains a model on rows laid end to end.

    Args:
        objective: Sums the loss over a bin.
        neftune_alpha: Strength of noise on the embeddings. None: no noise.
        options: As for :class:`ftsdk_local.train.common.step_trainer.StepTrainer`.
    """

    def __init__(self, *, objective: Summing, neftune_alpha: float | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.objective = objective
        self._lengths: list[int] = []
        if neftune_alpha is not None:
            objective.model.get_input_embeddings().register_forward_hook(self._add_noise(neftune_alpha))

    def accumulate(self, units: Sequence[Unit]) -> Sums:
        """Forward and backward, bin by bin."""
        weight = sum(unit.weight for unit in units)
        means: Sums = {}
        for bin_ in bins_of(units, self.micro_batch.tokens, self.micro_batch.rows):
            self._lengths = bin_.lengths
            with self.accelerator.autocast():
                parts = {name: part / weight for name, part in self.objective(bin_.to(self.args.device)).items()}
            self.accelerator.backward(parts["loss"])
            means = _added(means, parts)
        return means

    def held_out(self, units: Sequence[Unit]) -> Sums:
        """Forward, bin by bin."""
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


def _added(totals: Sums, parts: Sums) -> Sums:
    """Both together, without their gradients."""
    return {name: totals.get(name, 0.0) + part.detach() for name, part in parts.items()}
