"""Compare what Axolotl will do with what it was told: it ignores a key that it does not know.

It stands beside Axolotl in its own Python, and needs nothing of ours but the desk.
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

_ELSEWHERE = frozenset({"trust_remote_code", "warmup_ratio"})
"""Keys that Trainer, which has arguments of these names, is not given: the model is loaded, the share is in steps."""

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
    """What would be done otherwise than it was told; empty: all as it was told.

    Args:
        config: Axolotl's configuration, as it was written.
        arguments: Trainer's arguments that our plugin hands over.
        resolved: Axolotl's configuration, as it took it.
        trainer: Which will train.
    """
    told = {ARGUMENTS.get(key, key): value for key, value in config.items() if key not in _ELSEWHERE}
    adapter = {name: config[key] for key, name in ADAPTER.items() if key in config}
    return [
        *_unlike(config, resolved),
        *_unlike({name: value for name, value in told.items() if hasattr(trainer.args, name)}, vars(trainer.args)),
        *_unlike(arguments, vars(trainer.args)),
        *_unlike(adapter, vars(trainer.model.peft_config["default"]) if adapter else {}),
        *_unlike(_quantization(config), _quantization_of(trainer.model)),
        *_another_kind(config, trainer.model),
    ]


def _another_kind(config: Mapping[str, Any], model: Any) -> Iterator[str]:
    """Whether a model was loaded that gives no scores, where one was wanted."""
    wanted = config.get("type_of_model", "").removeprefix("AutoModel")
    found = type(model.get_base_model() if hasattr(model, "get_base_model") else model).__name__
    if not found.endswith(wanted):
        yield f"a {found} was loaded instead of one {wanted}"


def _quantization(config: Mapping[str, Any]) -> dict[str, Any]:
    bits = {key: True for key in ("load_in_4bit", "load_in_8bit") if config.get(key)}
    return {**bits, **config.get("bnb_config_kwargs", {})}


def _quantization_of(model: Any) -> dict[str, Any]:
    found = getattr(model.config, "quantization_config", None)
    return {} if found is None else found.to_dict()


def _unlike(told: Mapping[str, Any], taken: Mapping[str, Any]) -> Iterator[str]:
    for name, value in told.items():
        if name not in taken:
            yield f"{name} is ignored"
        elif not _alike(value, taken[name]):
            yield f"{name}={taken[name]!r} instead of {value!r}"


def _alike(told: Any, taken: Any) -> bool:
    """Whether it was taken as it was told; sections may have got more keys, by default."""
    if isinstance(told, dict):
        return all(name in taken and _alike(value, taken[name]) for name, value in told.items())
    if isinstance(told, list):
        return len(told) == len(taken) and all(map(_alike, told, taken))
    return values_match(taken, told)
