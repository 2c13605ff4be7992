"""The trainer of SFT and reward models: rows without padding, a loss without whole logits."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from ftsdk.modeling.batches import Bin, Unit, bins_of
from ftsdk.modeling.losses import neftune_noise
from ftsdk.modeling.objective import Sums
from ftsdk_local.train.common.step_trainer import StepTrainer


class BinObjective(Protocol):
    """A loss over bins, such as :class:`ftsdk.modeling.objective.Objective`."""

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

    def __init__(self, *, objective: BinObjective, neftune_alpha: float | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.objective = objective
        self._lengths: list[int] = []
        if neftune_alpha is not None:
            # Trainer's own NEFTune scales its noise by the length of the batch: that of a bin, not of each row.
            objective.model.get_input_embeddings().register_forward_hook(self._add_noise(neftune_alpha))

    def accumulate(self, units: Sequence[Unit]) -> Sums:
        """Forward and backward, bin by bin."""
        weight = sum(unit.weight for unit in units)
        means: Sums = {}
        for bin_ in bins_of(units, self.micro_batch.tokens, self.micro_batch.rows):
            self._lengths = bin_.lengths  # for the noise: a hook on the embeddings does not see where rows begin
            # Divided by the weight of the whole step before the backward pass: so the gradients are those of the mean
            # over the step, however it is cut into bins, and float16's loss scale sees values of the usual size.
            with self.accelerator.autocast():
                parts = {name: part / weight for name, part in self.objective(bin_.to(self.args.device)).items()}
            self.accelerator.backward(parts["loss"])
            means = _add_sums(means, parts)
        return means

    def evaluate_units(self, units: Sequence[Unit]) -> Sums:
        """Forward, bin by bin."""
        sums: Sums = {}
        for bin_ in bins_of(units, self.micro_batch.tokens, self.micro_batch.rows):
            with self.accelerator.autocast():
                sums = _add_sums(sums, self.objective(bin_.to(self.args.device)))
        return sums

    def _add_noise(self, alpha: float) -> Callable[[Any, Any, Tensor], Tensor]:
        def hook(module: Any, _: Any, embedded_1TH: Tensor) -> Tensor:
            if not module.training:
                return embedded_1TH
            return embedded_1TH + neftune_noise(embedded_1TH[0], self._lengths, alpha)[None]

        return hook


def _add_sums(totals: Sums, parts: Sums) -> Sums:
    """Totals and parts added, without their graphs, which would keep the activations of every bin alive."""
    return {name: totals.get(name, 0.0) + part.detach() for name, part in parts.items()}
