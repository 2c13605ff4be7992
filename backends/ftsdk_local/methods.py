"""Each method's options for the engine, and the settings that are incompatible with it. Pure tables."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ftsdk.data.formats import FORMATS_OF_METHOD
from ftsdk.spec import JobSpec
from ftsdk.translation.ledger import Ledger

_PPO_FIELDS = (
    "kl_coef",
    "kl_estimator",
    "target_kl",
    "num_ppo_epochs",
    "num_mini_batches",
    "max_new_tokens",
    "temperature",
    "cliprange",
    "cliprange_value",
    "vf_coef",
    "gamma",
    "lam",
    "whiten_rewards",
    "missing_eos_penalty",
)

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "sft": {},
    "dpo": {"beta": "beta", "loss_type": "loss_type", "label_smoothing": "label_smoothing"},
    "kto": {
        "beta": "beta",
        "desirable_weight": "desirable_weight",
        "undesirable_weight": "undesirable_weight",
    },
    "orpo": {"beta": "beta"},
    "reward_modeling": {"center_rewards_coefficient": "center_rewards_coefficient"},
    "ppo": {name: name for name in _PPO_FIELDS},
    "grpo": {
        "num_generations": "num_generations",
        "beta": "beta",
        "epsilon": "epsilon",
        "max_new_tokens": "max_completion_length",
        "temperature": "temperature",
    },
}
"""From a method's fields to its trainer's names; DPO, KTO, ORPO and GRPO have TRL's trainers."""

SAMPLING = frozenset({"ppo", "grpo"})
"""Methods that learn from the model's own responses, scored by a reward."""


class Incompatibility(NamedTuple):
    """A setting that some methods do not support."""

    methods: frozenset[str]
    is_set: Callable[[JobSpec], bool]
    field: str
    reason: str
    fix: str


_SFT = frozenset({"sft"})
_NOT_SFT = frozenset(OPTIONS) - _SFT
_INCOMPATIBILITIES = (
    Incompatibility(
        _NOT_SFT, lambda spec: spec.training.packing, "training.packing", "only sft packs rows", "leave it out"
    ),
    Incompatibility(
        _NOT_SFT,
        lambda spec: spec.training.neftune_noise_alpha is not None,
        "training.neftune_noise_alpha",
        "noise on the embeddings is for sft",
        "leave it out",
    ),
    Incompatibility(
        _NOT_SFT,
        lambda spec: spec.training.quantization_aware is not None,
        "training.quantization_aware",
        "only sft trains with rounded weights",
        "leave it out, or train the last stage with sft",
    ),
    Incompatibility(
        _SFT,
        lambda spec: spec.training.quantization_aware is not None and spec.compute.quantization is not None,
        "training.quantization_aware",
        "rounds a base in full precision, but compute.quantization quantizes it",
        "compute.quantization=none",
    ),
    Incompatibility(
        _SFT,
        lambda spec: (
            spec.training.quantization_aware is not None
            and spec.adapter is not None
            and (spec.adapter.use_dora or spec.adapter.dropout > 0)
        ),
        "training.quantization_aware",
        "rounds the merged weight, which does not exist with DoRA or with dropout in the adapter",
        "adapter.use_dora=false, adapter.dropout=0",
    ),
    Incompatibility(
        SAMPLING,
        lambda spec: spec.training.early_stopping_patience is not None,
        "training.early_stopping_patience",
        "there is no held-out loss where the model learns from its own responses",
        "leave it out; watch the reward",
    ),
    Incompatibility(
        SAMPLING,
        lambda spec: getattr(spec.method, "max_new_tokens", 0) >= spec.training.max_length,
        "method.max_new_tokens",
        "leaves no room for a prompt below training.max_length, which counts prompt and response",
        "lower it, or raise training.max_length",
    ),
    Incompatibility(
        frozenset({"ppo"}),
        lambda spec: spec.adapter is None,
        "adapter",
        "PPO keeps policy, reference and value on one base, which only adapters can share",
        "set an adapter, such as lora",
    ),
    Incompatibility(
        frozenset({"ppo"}),
        lambda spec: spec.adapter is not None and spec.adapter.dropout > 0,
        "adapter.dropout",
        "PPO compares probabilities of the same response before and after a step; dropout would change them at random",
        "set it to 0",
    ),
    Incompatibility(
        frozenset({"grpo"}),
        lambda spec: spec.adapter is not None and spec.adapter.dropout > 0,
        "adapter.dropout",
        "GRPO learns from responses of the current model; dropout would sample from another one",
        "set it to 0",
    ),
    Incompatibility(
        frozenset({"dpo"}),
        lambda spec: (
            getattr(spec.method, "label_smoothing", 0) > 0 and getattr(spec.method, "loss_type", "") != "sigmoid"
        ),
        "method.label_smoothing",
        "is defined for the sigmoid loss",
        "leave it out, or set method.loss_type=sigmoid",
    ),
    Incompatibility(
        frozenset({"kto"}),
        lambda spec: spec.training.global_batch_size < 2,
        "training.global_batch_size",
        "KTO estimates its KL on prompts paired with the answer to another prompt of the step",
        "set it to 2 or more; 8 or more give a good estimate",
    ),
    Incompatibility(
        frozenset({"grpo"}),
        lambda spec: spec.training.global_batch_size % getattr(spec.method, "num_generations", 1) != 0,
        "training.global_batch_size",
        "counts responses, so it must be a multiple of method.num_generations",
        "set it to a multiple",
    ),
)


def options_of(ledger: Ledger) -> dict[str, Any]:
    """The method's own settings, by its trainer's names."""
    method = ledger.use("method.type")
    options = {native: ledger.use(f"method.{field}", native) for field, native in OPTIONS[method].items()}
    return options | (_dpo_losses(**options) if method == "dpo" else {})


def _dpo_losses(loss_type: str, label_smoothing: float, **_: Any) -> dict[str, Any]:
    """TRL's losses and their weights."""
    if not label_smoothing:
        return {"loss_type": [loss_type], "loss_weights": [1.0]}
    # TRL has label smoothing s in its robust loss only: R = ((1 - s) f(x) - s f(-x)) / (1 - 2s), where f(x) is the
    # sigmoid loss. Conservative DPO, (1 - s) f(x) + s f(-x), is therefore 2 (1 - s) f(x) - (1 - 2s) R.
    return {
        "loss_type": ["sigmoid", "robust"],
        "loss_weights": [2 * (1 - label_smoothing), 2 * label_smoothing - 1],
    }


def refuse_incompatible(ledger: Ledger) -> None:
    """Refuse settings that are incompatible with the spec's method."""
    spec = ledger.spec
    method = spec.method.type
    for entry in _INCOMPATIBILITIES:
        if method in entry.methods and entry.is_set(spec):
            ledger.refuse(entry.field, entry.reason, entry.fix)
    for field in ("dataset.format", "eval_dataset.format"):
        if (ledger.value(field) or "auto") not in {"auto", *FORMATS_OF_METHOD[method]}:
            ledger.refuse(
                field, f"{method} does not learn from this format", ", ".join(sorted(FORMATS_OF_METHOD[method]))
            )
