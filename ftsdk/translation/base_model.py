"""What the configuration of a base model says against a spec; no weights are loaded."""

from collections.abc import Collection, Mapping
from typing import Any

from ftsdk.errors import nearest
from ftsdk.forecast import Architecture
from ftsdk.spec import JobSpec
from ftsdk.spec.validation_messages import shown_key
from ftsdk.translation.ledger import Ledger
from ftsdk.translation.model_source import config_of

_BESIDE = frozenset({"lm_head", "embed_tokens", "wte", "wpe", "score"})
"""Layers outside the blocks, by the names that Transformers gives them."""


def check_base(ledger: Ledger, model: str, revision: str | None, packed: Collection[str] = ()) -> None:
    """Refuse a base that is saved in few bits, and an adapter for layers that it does not have.

    Args:
        ledger: Has the spec.
        model: The base's folder, or its id on the Hub.
        revision: Of the Hub id.
        packed: Methods of quantization (``quant_method``) whose files the engine can train an adapter on.
    """
    config = config_of(model, revision) or {}
    few_bits = config.get("quantization_config")
    method = few_bits.get("quant_method", "it does not say how") if isinstance(few_bits, dict) else None
    if method is not None and method not in packed:
        why = f"it is saved in few bits ({method}), and these are not what it learned"
        ledger.refuse("model", why, "give the full-precision model; compute.quantization packs it for training")
    _check_targets(ledger, config)


def _check_targets(ledger: Ledger, config: Mapping[str, Any]) -> None:
    """Where the type of the model is known, so are its layers."""
    adapter = ledger.spec.adapter
    shape = Architecture.from_config(config)
    experts = any(name in config for name in ("num_experts", "num_local_experts"))  # whose parts have many names
    if adapter is None or isinstance(adapter.target_modules, str) or shape is None or experts:
        return
    known = sorted({layer.name for layer in shape.linears})
    for target in adapter.target_modules:
        if (name := target.rpartition(".")[2]) not in {*known, *_BESIDE}:
            what = f"a model of type {config['model_type']} has no layer {shown_key(target)}"
            ledger.refuse("adapter.target_modules", what, nearest(name, known, f"there are {', '.join(known)}"))


def max_positions(model: str, revision: str | None) -> int | None:
    """The longest row that a model was made for, in tokens; None where its config is not at hand, or has no bound."""
    most = (config_of(model, revision) or {}).get("max_position_embeddings")
    return most if isinstance(most, int) else None


def model_warnings(spec: JobSpec, model: str, revision: str | None) -> tuple[str, ...]:
    """What should be known of a model before it trains, by its config."""
    most = max_positions(model, revision)
    if most is None or spec.training.max_length <= most:
        return ()
    return (f"training.max_length={spec.training.max_length} is beyond the {most} positions of the model",)
