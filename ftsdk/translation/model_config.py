"""Check a spec against the configuration of its base model; no weights are loaded."""

from collections.abc import Collection, Mapping
from typing import Any

from ftsdk.errors import nearest
from ftsdk.forecast import Architecture
from ftsdk.spec import JobSpec
from ftsdk.spec.validation_messages import shown_key
from ftsdk.translation.ledger import Ledger
from ftsdk.translation.model_source import config_of

_OUTER_LAYERS = frozenset({"lm_head", "embed_tokens", "wte", "wpe", "score"})
"""Layers outside the blocks, by the names that Transformers gives them."""


def check_base(ledger: Ledger, model: str, revision: str | None, packed: Collection[str] = ()) -> None:
    """Refuse a base that is saved quantized, and an adapter for layers that it does not have.

    Args:
        ledger: Has the spec.
        model: The base's folder, or its id on the Hub.
        revision: Of the Hub id.
        packed: Methods of quantization (``quant_method``) whose files the engine can train an adapter on.
    """
    config = config_of(model, revision) or {}
    quantization = config.get("quantization_config")
    method = quantization.get("quant_method", "method not given") if isinstance(quantization, dict) else None
    if method is not None and method not in packed:
        reason = f"it is saved quantized ({method}), so its full-precision weights are lost"
        ledger.refuse("model", reason, "give the full-precision model; compute.quantization quantizes it for training")
    _check_targets(ledger, config)


def _check_targets(ledger: Ledger, config: Mapping[str, Any]) -> None:
    """Refuse target modules that the model does not have, where its type is known."""
    adapter = ledger.spec.adapter
    architecture = Architecture.from_config(config)
    # Experts' parameters have different names in each type of model, so no list of them would be complete.
    experts = any(name in config for name in ("num_experts", "num_local_experts"))
    if adapter is None or isinstance(adapter.target_modules, str) or architecture is None or experts:
        return
    layers = sorted({layer.name for layer in architecture.linears})
    for target in adapter.target_modules:
        if (name := target.rpartition(".")[2]) not in {*layers, *_OUTER_LAYERS}:
            problem = f"a model of type {config['model_type']} has no layer {shown_key(target)}"
            ledger.refuse("adapter.target_modules", problem, nearest(name, layers, f"there are {', '.join(layers)}"))


def max_positions(model: str, revision: str | None) -> int | None:
    """The longest row that a model supports, in tokens; None where its config is not on this disk, or has no bound."""
    positions = (config_of(model, revision) or {}).get("max_position_embeddings")
    return positions if isinstance(positions, int) else None


def model_warnings(spec: JobSpec, model: str, revision: str | None) -> tuple[str, ...]:
    """What the user should know of a model before it trains, from its config."""
    positions = max_positions(model, revision)
    if positions is None or spec.training.max_length <= positions:
        return ()
    return (f"training.max_length={spec.training.max_length} is beyond the {positions} positions of the model",)
