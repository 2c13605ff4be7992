"""TRL's preference trainers with micro-batches that change nothing: means are over the whole optimizer step.

Each class is mixed in before a trainer of TRL's, whose losses and metrics it keeps.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ftsdk.modeling.batches import Unit
from ftsdk.modeling.objective import Sums
from ftsdk_local.train.common.reference import reference_model
from ftsdk_local.train.common.step_trainer import StepTrainer
from ftsdk_local.train.preference.padding import Batch, mismatch_answers, pad_rows, split_units
from ftsdk_local.train.preference.unpaired import UnpairedExample


class PreferenceTrainer(StepTrainer):
    """A step in parts, each weighted by its number of units.

    Args:
        batch_of: Makes the batch of a part, padded with a token.
        pad: That token.
        options: As for :class:`ftsdk_local.train.common.step_trainer.StepTrainer`.
    """

    def __init__(self, *, batch_of: Callable[[Any, int], Batch], pad: int, **options: Any) -> None:
        super().__init__(**options)
        self.batch_of, self.pad = batch_of, pad

    def prepare_step(self, units: Sequence[Any]) -> None:
        """Compute what the loss of a part needs from the whole step."""

    def accumulate(self, units: Sequence[Unit]) -> Sums:
        """Forward and backward, part by part."""

        def backward(batch: Batch, share: float) -> Tensor:
            # compute_loss is TRL's: the loss and its metrics. Its training_step, which would call it on a whole batch,
            # is shadowed by StepTrainer's.
            with self.compute_loss_context_manager():
                loss = self.compute_loss(self.model, batch) * share
            self.accelerator.backward(loss)
            return loss.detach()

        return self._sum_parts(units, backward, 1 / len(units))

    def evaluate_units(self, units: Sequence[Unit]) -> Sums:
        """Forward, part by part."""
        # TRL's prediction_step computes the loss and stores its metrics under "eval".
        return self._sum_parts(
            units, lambda batch, share: self.prediction_step(self.model, batch, True)[0] * share, 1.0
        )

    def _sum_parts(self, units: Sequence[Unit], loss_of: Callable[[Batch, float], Tensor], share: float) -> Sums:
        self.prepare_step(units)
        total = torch.zeros((), device=self.args.device)
        # TRL's losses are means over the batch, so a part counts by its share of the step's units. Unlike sums, that is
        # exact only for losses that are means over units; KTO's KL and ORPO's SFT loss are not: see below.
        for part in split_units(units, self.micro_batch.tokens, self.micro_batch.rows):
            batch = self._prepare_inputs(self.batch_of(part, self.pad))
            total += loss_of(batch, share * len(part))
        return {"loss": total}

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Nothing: Trainer calls this with each checkpoint, and TRL's card would name local folders."""


class KtoStepTrainer(PreferenceTrainer):
    """KTO with the KL of the whole step: TRL estimates it on each micro-batch, so its size would change the loss."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # TRL's constructor insists on "sequential", because it pairs each prompt with the answer of a neighbour in the
        # dataset beforehand. Here they are paired within each step, so rows are shuffled as by other methods.
        self.args.train_sampling_strategy = "random"

    @torch.no_grad()
    def prepare_step(self, units: Sequence[UnpairedExample]) -> None:
        """Estimate the KL on mismatched rows of the step; TRL takes its mean, or 0 where that is negative."""
        # From arXiv 2402.01306, section 4.1. Sums over parts, so that the mean is over the step, however it is split.
        total = torch.zeros((), device=self.args.device)
        for part in split_units(
            mismatch_answers(units, self.args.max_length), self.micro_batch.tokens, self.micro_batch.rows
        ):
            rows = pad_rows([unit.example for unit in part], self.pad)
            batch = self._prepare_inputs({f"KL_{name}": tensor for name, tensor in rows.items()})
            with reference_model(self) as reference:
                total -= super()._compute_kl_logps(reference, batch).sum()
            total += super()._compute_kl_logps(self.model, batch).sum()
        self._difference = total / len(units)
        self._for_policy = True

    def _compute_kl_logps(self, model: Any, batch: Batch) -> Tensor:  # noqa: ARG002
        """The step's difference for the policy, and 0 for the reference."""
        # TRL's _compute_loss calls this first for the policy, then for the reference, and uses the mean of the
        # difference alone. Both may be the same model (the reference is the policy with its adapter off), so the order
        # of the calls is the only way to tell them apart. Another order would turn the sign of the KL.
        log_probs = self._difference if self._for_policy else torch.zeros_like(self._difference)
        self._for_policy = not self._for_policy
        return log_probs


class OrpoStepTrainer(PreferenceTrainer):
    """ORPO with the SFT loss as a mean over the tokens of the whole step: TRL's is over those of a micro-batch."""

    def prepare_step(self, units: Sequence[Any]) -> None:
        """Count the tokens that the SFT loss is a mean of, for each pair."""
        self._tokens = sum(len(pair.chosen.input_ids) - 1 for pair in units) / len(units)

    def concatenated_forward(self, model: Any, batch: Batch) -> tuple[Tensor, ...]:
        """TRL's, with the SFT loss weighted so that the mean over parts is that over tokens."""
        # TRL gives a tuple whose fifth entry is the SFT loss, a mean over the tokens of prompts and chosen answers
        # (arXiv 2403.07691). Times tokens per pair of this part by those of the step, its mean over pairs is right.
        outputs = super().concatenated_forward(model, batch)
        tokens = batch["chosen_attention_mask"][:, 1:].sum() / len(batch["chosen_attention_mask"])
        return (*outputs[:4], outputs[4] * tokens / self._tokens, *outputs[5:])
