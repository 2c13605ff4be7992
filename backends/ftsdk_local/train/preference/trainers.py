"""What TRL's preference trainers compute, cut inside the optimizer step so that the cut changes nothing.

Each class stands before a trainer of TRL's, whose losses and metrics it keeps.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ftsdk.modeling.batches import Unit
from ftsdk.modeling.objective import Sums
from ftsdk_local.train.common.reference import reference_of
from ftsdk_local.train.common.step_trainer import StepTrainer
from ftsdk_local.train.preference.padding import Batch, mismatched, padded, parts_of
from ftsdk_local.train.preference.unpaired import Judged


class PreferenceSteps(StepTrainer):
    """A step in parts, each of which counts by its units.

    Args:
        batch_of: Makes the batch of a part, given the token that pads.
        pad: That token.
        options: As for :class:`ftsdk_local.train.common.step_trainer.StepTrainer`.
    """

    def __init__(self, *, batch_of: Callable[[Any, int], Batch], pad: int, **options: Any) -> None:
        super().__init__(**options)
        self.batch_of, self.pad = batch_of, pad

    def look_at(self, units: Sequence[Any]) -> None:
        """Note what a part must know of the whole step."""

    def accumulate(self, units: Sequence[Unit]) -> Sums:
        """Forward and backward, part by part."""

        def learn(batch: Batch, share: float) -> Tensor:
            with self.compute_loss_context_manager():
                loss = self.compute_loss(self.model, batch) * share
            self.accelerator.backward(loss)
            return loss.detach()

        return self._summed(units, learn, 1 / len(units))

    def held_out(self, units: Sequence[Unit]) -> Sums:
        """Forward, part by part."""
        return self._summed(units, lambda batch, share: self.prediction_step(self.model, batch, True)[0] * share, 1.0)

    def _summed(self, units: Sequence[Unit], loss_of: Callable[[Batch, float], Tensor], share: float) -> Sums:
        self.look_at(units)
        total = torch.zeros((), device=self.args.device)
        for part in parts_of(units, self.micro_batch.tokens, self.micro_batch.rows):
            batch = self._prepare_inputs(self.batch_of(part, self.pad))
            total += loss_of(batch, share * len(part))
        return {"loss": total}

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """The artifact has a card of ours."""


class KtoSteps(PreferenceSteps):
    """KTO's KL is that of the whole step: TRL would estimate it anew on what is computed at a time."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.args.train_sampling_strategy = "random"  # TRL needs a fixed order, as it pairs rows beforehand; we do not

    @torch.no_grad()
    def look_at(self, units: Sequence[Judged]) -> None:
        """Estimate the KL on mismatched rows of the step; TRL takes its mean, and 0 where that is negative."""
        total = torch.zeros((), device=self.args.device)
        for part in parts_of(mismatched(units, self.args.max_length), self.micro_batch.tokens, self.micro_batch.rows):
            rows = padded([unit.example for unit in part], self.pad)
            batch = self._prepare_inputs({f"KL_{name}": tensor for name, tensor in rows.items()})
            with reference_of(self) as reference:
                total -= super()._compute_kl_logps(reference, batch).sum()
            total += super()._compute_kl_logps(self.model, batch).sum()
        self._difference = total / len(units)
        self._for_policy = True

    def _compute_kl_logps(self, model: Any, batch: Batch) -> Tensor:  # noqa: ARG002
        """TRL asks for the policy's, then for the reference's; only their difference counts."""
        answer = self._difference if self._for_policy else torch.zeros_like(self._difference)
        self._for_policy = not self._for_policy
        return answer


class OrpoSteps(PreferenceSteps):
    """ORPO's SFT loss is the mean over the tokens of the whole step: TRL's is over those computed at a time."""

    def look_at(self, units: Sequence[Any]) -> None:
        """Count the tokens that the SFT loss is a mean of, for each pair."""
        self._tokens = sum(len(pair.chosen.input_ids) - 1 for pair in units) / len(units)

    def concatenated_forward(self, model: Any, batch: Batch) -> tuple[Tensor, ...]:
        """TRL's, with the SFT loss, its fifth part, weighted so that the mean over parts is that over tokens."""
        found = super().concatenated_forward(model, batch)
        tokens = batch["chosen_attention_mask"][:, 1:].sum() / len(batch["chosen_attention_mask"])
        return (*found[:4], found[4] * tokens / self._tokens, *found[5:])
