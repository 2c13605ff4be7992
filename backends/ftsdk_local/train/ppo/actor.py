"""Run the base as one of its roles: sample responses, and forward passes over them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ftsdk.modeling.attention import ROW_BY_ROW
from ftsdk.modeling.batches import Bin, Example, best_fit_decreasing, lay_end_to_end
from ftsdk.modeling.memory import MicroBatch, until_it_fits
from ftsdk.modeling.objective import Route, hidden_states, logits_at
from ftsdk_local.train.ppo.log_probs import TokenLogProbs, linear_log_probs, log_probs_of
from ftsdk_local.train.ppo.roles import Roles
from ftsdk_local.train.ppo.rollouts import Rollouts
from ftsdk_local.train.rl.sampling import Tokens, sample

IndexedBin = tuple[list[int], Bin]
"""Indices of some rows, and the bin of these rows."""


class Actor:
    """Runs prompts and rows through one base, as much at a time as fits in memory.

    Args:
        roles: The base and its adapters.
        route: How the base is run over rows, from :func:`find_route`.
        micro_batch: Tokens at a time in forward passes; halved when memory runs out.
        sampling: Responses sampled at a time; halved when memory runs out.
        autocast: Gives the context of mixed precision.
        warn: Called with a message for each halving.
    """

    def __init__(
        self,
        roles: Roles,
        route: Route,
        *,
        micro_batch: MicroBatch,
        sampling: MicroBatch,
        autocast: Callable[[], AbstractContextManager[Any]],
        warn: Callable[[str], None],
    ) -> None:
        self.roles = roles
        self.route = route
        self.micro_batch = micro_batch
        self.sampling = sampling
        self.autocast = autocast
        self.warn = warn
        self.device: torch.device = roles.value_head.weight.device

    def generate(
        self,
        role: str,
        prompts: Sequence[Tokens],
        uniform_BR: NDArray[np.float64],
        *,
        temperature: float,
        stops: frozenset[int],
    ) -> list[Tokens]:
        """One response for each prompt; see :func:`sampling.sample`."""
        base = self.roles.base
        base.eval()
        uniform = torch.from_numpy(uniform_BR).to(self.device)

        def attempt() -> list[Tokens]:
            at_once = self.sampling.rows or len(prompts)
            return [
                response
                for start in range(0, len(prompts), at_once)
                for response in sample(
                    base,
                    prompts[start : start + at_once],
                    uniform[start : start + at_once],
                    temperature=temperature,
                    stops=stops,
                )
            ]

        longest = max(len(prompt) for prompt in prompts) + uniform_BR.shape[1]
        with self._padded_attention(), self.roles.active_adapter(role), self.autocast():
            return self._halve_until_it_fits(attempt, self.sampling, longest)

    def bins(self, rows: Sequence[Example], indices: Sequence[int]) -> Iterator[IndexedBin]:
        """Some of the rows, in bins of as much as fits, on the device."""
        lengths = [len(rows[index].input_ids) for index in indices]
        for bin_ in best_fit_decreasing(lengths, self.micro_batch.tokens, self.micro_batch.rows):
            bin_indices = [indices[place] for place in bin_]
            yield bin_indices, lay_end_to_end([rows[index] for index in bin_indices]).to(self.device)

    def log_probs(self, bin_: Bin, temperature: float) -> TokenLogProbs:
        """Log-probabilities of the labelled tokens of a bin, by the active role."""
        positions_N = (bin_.labels_T >= 0).nonzero().squeeze(-1)
        tokens_N = bin_.labels_T[positions_N]
        if self.route.bare_head:
            head_VH = self.roles.base.get_output_embeddings().weight
            return linear_log_probs(hidden_states(self.roles.base, bin_)[positions_N], head_VH, tokens_N, temperature)
        return log_probs_of(logits_at(self.roles.base, bin_, positions_N), tokens_N, temperature)

    def values(self, bin_: Bin) -> Tensor:
        """The value before each labelled token of a bin, by the active role."""
        return self.roles.values(hidden_states(self.roles.base, bin_)[bin_.labels_T >= 0])

    @torch.no_grad()
    def forward(self, rollouts: Rollouts, role: str, compute: Callable[[Bin], Sequence[Tensor]]) -> list[Tensor]:
        """What a role computes for every token of the rollouts, B x R each, 0 at padding.

        Args:
            rollouts: The responses.
            role: The role to compute as.
            compute: Gives one or more numbers for each labelled token of a bin.
        """
        self.roles.base.eval()

        def attempt() -> list[Tensor]:
            outputs: list[Tensor] = []
            for indices, bin_ in self.bins(rollouts.rows, range(len(rollouts.rows))):
                parts = compute(bin_)
                outputs = outputs or [torch.zeros(rollouts.mask_BR.shape, device=self.device) for _ in parts]
                for part_N, output_BR in zip(parts, outputs, strict=True):
                    rollouts.scatter(part_N, indices, output_BR)
            return outputs

        with self.roles.active_adapter(role), self.autocast():
            return self.until_it_fits(attempt, rollouts.rows)

    @torch.no_grad()
    def last_hidden_states(self, rows: Sequence[Example], role: str) -> Tensor:
        """The hidden states of each row's last token, B x H, in float32."""
        self.roles.base.eval()

        def attempt() -> Tensor:
            states: dict[int, Tensor] = {}
            for indices, bin_ in self.bins(rows, range(len(rows))):
                last = hidden_states(self.roles.base, bin_)[bin_.starts[1:].long() - 1]
                states.update(zip(indices, last.float(), strict=True))
            return torch.stack([states[index] for index in range(len(rows))])

        with self.roles.active_adapter(role), self.autocast():
            return self.until_it_fits(attempt, rows)

    def until_it_fits(self, compute: Callable[[], Any], rows: Sequence[Example]) -> Any:
        """Compute over rows; out of memory, compute again with smaller bins."""
        return self._halve_until_it_fits(compute, self.micro_batch, max(len(row.input_ids) for row in rows))

    def _halve_until_it_fits(self, compute: Callable[[], Any], micro_batch: MicroBatch, longest: int) -> Any:
        # Gradients that the failed attempt has left would be counted twice.
        def clean_up() -> None:
            self.roles.model.zero_grad(set_to_none=True)
            self.roles.value_head.zero_grad(set_to_none=True)

        return until_it_fits(
            compute, micro_batch, longest=longest, device=self.device, warn=self.warn, clean_up=clean_up
        )

    @contextmanager
    def _padded_attention(self) -> Iterator[None]:
        """While sampling, an attention that supports padding and a cache; the one for rows laid end to end does not."""
        base = self.roles.base
        attention = base.config._attn_implementation  # noqa: SLF001 - Transformers has no public way to read it
        if attention != ROW_BY_ROW:
            yield
            return
        try:
            base.set_attn_implementation("sdpa")
        except ValueError:  # the architecture has plain attention only
            base.set_attn_implementation("eager")
        try:
            yield
        finally:
            base.set_attn_implementation(attention)
