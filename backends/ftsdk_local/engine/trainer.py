"""Transformers' Trainer, with our own step: rows without padding, a micro-batch that is found, a loss without logits.

What Trainer does well it keeps doing: optimizer, schedule, clipping, the order of rows, checkpoints, resume, trackers.
To Trainer one batch is one whole optimizer step; the micro-batches are cut inside :meth:`RowTrainer.training_step`.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer

from ftsdk.job import Reason
from ftsdk_local.engine.batches import Example, bins_of
from ftsdk_local.engine.losses import neftune_noise
from ftsdk_local.engine.memory import MicroBatch, empty_cache, is_out_of_memory, peak_bytes
from ftsdk_local.engine.objective import Objective
from ftsdk_local.outcome import Failure

Sequences = Sequence[Sequence[Example]]
"""What one optimizer step counts: each a row, or with packing several."""


class RowTrainer(Trainer):
    """Trains a causal language model on rows laid end to end.

    Args:
        objective: Sums the negative log-likelihood over a bin.
        micro_batch: How much to compute at a time; halved when memory runs out.
        neftune_alpha: Strength of noise on the embeddings. None: no noise.
        warn: Told what the user should know.
        options: As for ``transformers.Trainer``; ``args.per_device_train_batch_size`` is the global batch size.
    """

    def __init__(
        self,
        *,
        objective: Objective,
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
        if neftune_alpha is not None:
            objective.model.get_input_embeddings().register_forward_hook(self._add_noise(neftune_alpha))

    def pace(self) -> tuple[int, float]:
        """Tokens seen, and seconds spent on them, in this attempt."""
        return self.tokens_seen, self.seconds

    def training_step(self, model: Any, inputs: Sequences, num_items_in_batch: Any = None) -> Tensor:  # noqa: ARG002
        """Forward and backward over one optimizer step; gradients are left on the parameters.

        Returns:
            The mean negative log-likelihood of the step's labelled tokens, a float32 scalar.
        """
        began = time.perf_counter()
        model.train()
        examples = [example for sequence in inputs for example in sequence]
        loss = self._until_it_fits(lambda: self._accumulate(examples), examples)
        self.tokens_seen += sum(len(example.input_ids) for example in examples)
        self.seconds += time.perf_counter() - began
        return loss

    def _accumulate(self, examples: Sequence[Example]) -> Tensor:
        labelled = sum(example.labelled for example in examples)
        total = torch.zeros((), device=self.args.device)
        for bin_ in bins_of(examples, self.micro_batch.tokens, self.micro_batch.rows):
            self._lengths = bin_.lengths
            with self.accelerator.autocast():
                loss = self.objective(bin_.to(self.args.device)) / labelled
            self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def _until_it_fits(self, compute: Callable[[], Tensor], examples: Sequence[Example]) -> Tensor:
        """Try; out of memory, try again with half as much at a time."""
        while True:
            try:
                return compute()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                evidence = str(error).partition("\n")[0]
            longest = max(len(example.input_ids) for example in examples)
            before = str(self.micro_batch)
            if not self.micro_batch.halve(longest):
                raise cannot_fit(evidence, longest, peak_bytes(self.args.device))
            self.model.zero_grad(set_to_none=True)
            empty_cache(self.args.device)
            self.warn(f"out of memory with {before}; going on with {self.micro_batch}")

    @torch.no_grad()
    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """The mean negative log-likelihood of the held-out rows' labelled tokens, as ``eval_loss``."""
        self.model.eval()
        examples = [example for sequence in self.eval_dataset for example in sequence]
        total = self._until_it_fits(lambda: self._held_out_sum(examples), examples)
        loss = total.item() / sum(example.labelled for example in examples)
        metrics = {f"{metric_key_prefix}_loss": loss}
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _held_out_sum(self, examples: Sequence[Example]) -> Tensor:
        total = torch.zeros((), device=self.args.device)
        for bin_ in bins_of(examples, self.micro_batch.tokens, self.micro_batch.rows):
            with self.accelerator.autocast():
                total += self.objective(bin_.to(self.args.device))
        return total

    def _add_noise(self, alpha: float) -> Callable[[Any, Any, Tensor], Tensor]:
        def hook(module: Any, _: Any, embedded_1TH: Tensor) -> Tensor:
            if not module.training:
                return embedded_1TH
            return embedded_1TH + neftune_noise(embedded_1TH[0], self._lengths, alpha)[None]

        return hook

    def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002
        """Nobody reads this number, and a wrong one is worse than none."""
        return 0


def cannot_fit(evidence: str, longest: int, peak: int) -> Failure:
    """The failure where even a single row does not fit, with the numbers and the smallest change that helps."""
    message = f"a single row of {longest} tokens does not fit: the peak was {peak / 2**30:.2f} GiB ({evidence})"
    return Failure(Reason.OOM, message, hint=_smaller(longest))


def _smaller(longest: int) -> str:
    return (
        f"set compute.gradient_checkpointing=true; else training.max_length={max(longest // 2, 2)}; "
        "else compute.quantization=nf4, or a smaller model"
    )
