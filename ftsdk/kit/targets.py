"""Whether a model has the layers that an adapter is meant for."""

from ftsdk.errors import nearest
from ftsdk.forecast import Shape
from ftsdk.kit.ledger import Ledger
from ftsdk.kit.sources import config_of
from ftsdk.spec.wording import shown_key

_BESIDE = frozenset({"lm_head", "embed_tokens", "wte", "wpe", "score"})
"""Layers outside the blocks, by the names that Transformers gives them."""


def check_targets(ledger: Ledger, model: str, revision: str | None) -> None:
    """Refuse names of layers that a model does not have, where its type is known; no weights are loaded.

    Args:
        ledger: Has the spec.
        model: The base's folder, or its id on the Hub.
        revision: Of the Hub id.
    """
    adapter = ledger.spec.adapter
    config = config_of(model, revision) or {}
    shape = Shape.from_config(config)
    experts = any(name in config for name in ("num_experts", "num_local_experts"))  # whose parts have many names
    if adapter is None or isinstance(adapter.target_modules, str) or shape is None or experts:
        return
    known = sorted({layer.name for layer in shape.linears})
    for target in adapter.target_modules:
        if (name := target.rpartition(".")[2]) not in {*known, *_BESIDE}:
            what = f"a model of type {config['model_type']} has no layer {shown_key(target)}"
            ledger.refuse("adapter.target_modules", what, nearest(name, known, f"there are {', '.join(known)}"))
