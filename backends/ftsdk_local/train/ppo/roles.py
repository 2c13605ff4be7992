"""PPO's four roles on one base: each has an adapter, which is active while the role computes.

The policy is the adapter that trains and is exported. The reference is the base itself, or a frozen copy of the
policy's adapter at the start, where that differs from the base. The value has an adapter and a scalar head of its own.
The reward may be a reward model's adapter.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ftsdk.modeling.loading import without_dropout
from ftsdk.spec.adapter import BASE_CHANGING_INITS
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.adapter import load_adapter, prepare_adapter

POLICY, REFERENCE, VALUE, REWARD = "default", "reference", "value", "reward"
"""Names of adapters; PEFT saves the one named ``default`` at the top of an artifact's folder."""


class Roles:
    """One base model with an adapter for each role.

    Args:
        base: A causal language model on its device.
        settings: The plan.
    """

    def __init__(self, base: Any, settings: Settings) -> None:
        self.base = base
        self.model = prepare_adapter(base, settings)
        lora = settings.lora or {}
        # Not PiSSA or OLoRA, even where the policy has it: each would take its part out of the shared base once more.
        self._add(VALUE, {**lora, "init_lora_weights": True})
        self.has_reference = settings.adapter_from is not None or lora["init_lora_weights"] in BASE_CHANGING_INITS
        if self.has_reference:
            self._add(REFERENCE, {**lora, "init_lora_weights": True})
            self._copy(POLICY, REFERENCE)
        device = base.get_input_embeddings().weight.device
        hidden = base.get_input_embeddings().embedding_dim
        self.value_head = nn.Linear(hidden, 1, bias=False, device=device, dtype=torch.float32)
        # Zeros: with a random head the first advantages would be noise, and the policy would move without any reward.
        # Outside of the PEFT model, so that neither the policy's artifact nor PEFT's switching knows of it; in float32,
        # because returns are sums of many small numbers.
        nn.init.zeros_(self.value_head.weight)
        self._weights = {role: self._role_weights(role) for role in (POLICY, VALUE)}
        without_dropout(self.model)

    def add_reward(self, folder: Path, lora: dict[str, Any]) -> None:
        """Put a reward model's adapter, frozen, on the base."""
        self._add(REWARD, lora)
        load_adapter(self.model, folder, REWARD)

    def _add(self, name: str, lora: dict[str, Any]) -> None:
        from peft import LoraConfig  # noqa: PLC0415 - heavy

        self.model.add_adapter(name, LoraConfig(**{**lora, "task_type": "CAUSAL_LM"}))

    @torch.no_grad()
    def _copy(self, role: str, to: str) -> None:
        weights = dict(self.model.named_parameters())
        for name, weight in weights.items():
            if f".{role}." in name:
                weights[name.replace(f".{role}.", f".{to}.")].copy_(weight)

    def _role_weights(self, role: str) -> dict[str, Tensor]:
        head = [("value_head.weight", self.value_head.weight)] if role == VALUE else []
        return dict([pair for pair in self.model.named_parameters() if f".{role}." in pair[0]] + head)

    @contextmanager
    def active_adapter(self, role: str) -> Iterator[None]:
        """Compute as one role; gradients reach the weights of that role only."""
        if role == REFERENCE and not self.has_reference:
            # Not PEFT's disable_adapter(), which collects the status of every layer at each call.
            self.model.base_model.disable_adapter_layers()
            try:
                yield
            finally:
                self.model.base_model.enable_adapter_layers()
        else:
            # set_adapter walks over all modules, and sets requires_grad: True for this adapter, False for the others.
            # That is what keeps the value's loss out of the policy's weights.
            if self.model.active_adapter != role:
                self.model.set_adapter(role)
            yield

    def values(self, hidden_NH: Tensor) -> Tensor:
        """The value of each position, in float32."""
        return self.value_head(hidden_NH.to(self.value_head.weight.dtype)).squeeze(-1)

    def weights(self, role: str) -> dict[str, Tensor]:
        """The weights that train for a role, policy or value, by name."""
        return self._weights[role]
