"""Compare Axolotl's actual settings with the requested ones: it ignores a key that it does not know.

This module is copied beside Axolotl, into its own Python; of ours it imports the runner support alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ftsdk.engines.runner_support import values_match

ARGUMENTS = {
    "center_rewards_coefficient": "center_rewards_coefficient",
    "dpo_label_smoothing": "label_smoothing",
    "dpo_loss_type": "loss_type",
    "eval_batch_size": "per_device_eval_batch_size",
    "kto_desirable_weight": "desirable_weight",
    "kto_undesirable_weight": "undesirable_weight",
    "lr_scheduler": "lr_scheduler_type",
    "micro_batch_size": "per_device_train_batch_size",
    "num_epochs": "num_train_epochs",
    "optimizer": "optim",
    "orpo_alpha": "beta",
    "rl_beta": "beta",
}
"""From Axolotl's key to Trainer's argument; others have one name in both."""

_NOT_ARGUMENTS = frozenset({"trust_remote_code", "warmup_ratio"})
"""Keys that Axolotl does not pass to Trainer's arguments of these names: it has converted or used them before."""

ADAPTER = {
    "lora_r": "r",
    "lora_alpha": "lora_alpha",
    "lora_dropout": "lora_dropout",
    "peft_use_dora": "use_dora",
    "peft_use_rslora": "use_rslora",
    "peft_init_lora_weights": "init_lora_weights",
}
"""From Axolotl's key to PEFT's setting."""


def differences(config: Mapping[str, Any], arguments: Mapping[str, Any], resolved: Any, trainer: Any) -> list[str]:
    """The settings that would differ from the requested ones; empty: none.

    Args:
        config: Axolotl's configuration, as it was written.
        arguments: Trainer's arguments that our plugin hands over.
        resolved: Axolotl's configuration, as it was resolved.
        trainer: The trainer that will run.
    """
    requested = {ARGUMENTS.get(key, key): value for key, value in config.items() if key not in _NOT_ARGUMENTS}
    adapter = {name: config[key] for key, name in ADAPTER.items() if key in config}
    return [
        *_differing(config, resolved),
        *_differing(
            {name: value for name, value in requested.items() if hasattr(trainer.args, name)}, vars(trainer.args)
        ),
        *_differing(arguments, vars(trainer.args)),
        *_differing(adapter, vars(trainer.model.peft_config["default"]) if adapter else {}),
        *_differing(_quantization(config), _quantization_of(trainer.model)),
        *_wrong_class(config, trainer.model),
    ]


def _wrong_class(config: Mapping[str, Any], model: Any) -> Iterator[str]:
    """Whether a model without scores was loaded, where one with scores was requested."""
    suffix = config.get("type_of_model", "").removeprefix("AutoModel")
    name = type(model.get_base_model() if hasattr(model, "get_base_model") else model).__name__
    if not name.endswith(suffix):
        yield f"a {name} was loaded instead of one {suffix}"


def _quantization(config: Mapping[str, Any]) -> dict[str, Any]:
    bits = {key: True for key in ("load_in_4bit", "load_in_8bit") if config.get(key)}
    return {**bits, **config.get("bnb_config_kwargs", {})}


def _quantization_of(model: Any) -> dict[str, Any]:
    quantization = getattr(model.config, "quantization_config", None)
    return {} if quantization is None else quantization.to_dict()


def _differing(requested: Mapping[str, Any], actual: Mapping[str, Any]) -> Iterator[str]:
    for name, value in requested.items():
        if name not in actual:
            yield f"{name} is ignored"
        elif not _equal(value, actual[name]):
            yield f"{name}={actual[name]!r} instead of {value!r}"


def _equal(requested: Any, actual: Any) -> bool:
    """Whether two values are equal; sections may have more keys, by default."""
    if isinstance(requested, dict):
        return all(name in actual and _equal(value, actual[name]) for name, value in requested.items())
    if isinstance(requested, list):
        return len(requested) == len(actual) and all(map(_equal, requested, actual))
    return values_match(actual, requested)
