"""Axolotl's actual settings are compared with the requested ones: its own, Trainer's, PEFT and bitsandbytes."""

from types import SimpleNamespace

import pytest

from ftsdk_axolotl.settings import differences

CONFIG = {
    "lora_r": 8,
    "load_in_4bit": True,
    "bnb_config_kwargs": {"bnb_4bit_quant_type": "nf4"},
    "micro_batch_size": 4,
    "datasets": [{"path": "tokens/train"}],
}


def taken(config=None, arguments=None, adapter=None, quantization=None):
    """The differences for settings as requested except for some changes."""
    resolved = {**CONFIG, "datasets": [{"path": "tokens/train", "more": "by default"}], **(config or {})}
    bits = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", **(quantization or {})}
    model = SimpleNamespace(
        peft_config={"default": SimpleNamespace(**{"r": 8, **(adapter or {})})},
        config=SimpleNamespace(quantization_config=SimpleNamespace(to_dict=lambda: bits)),
    )
    args = SimpleNamespace(**{"per_device_train_batch_size": 4, "warmup_steps": 1.0, **(arguments or {})})
    return resolved, SimpleNamespace(args=args, model=model)


class LlamaForCausalLM:
    """Stands for a model that writes text."""

    config = SimpleNamespace()


def test_a_model_that_gives_no_scores():
    """Axolotl may load another kind of model than the one that was named."""
    kind = {"type_of_model": "AutoModelForSequenceClassification"}
    trainer = SimpleNamespace(args=SimpleNamespace(), model=LlamaForCausalLM())

    assert ["a LlamaForCausalLM was loaded instead of one ForSequenceClassification"] == differences(
        kind, {}, kind, trainer
    )


def reported_differences(config=None, **changes):
    return differences({**CONFIG, **(config or {})}, {"warmup_steps": 1.0}, *taken(**changes))


def test_equal_settings_have_no_difference():
    """There is no difference; keys that Axolotl adds by default are no difference."""
    assert [] == reported_differences()


def test_a_key_that_axolotl_ignores():
    """A misspelt key is reported by its name."""
    assert ["max_grad_nrom is ignored"] == reported_differences({"max_grad_nrom": 1.0})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"config": None, "arguments": {"per_device_train_batch_size": 2}}, "per_device_train_batch_size=2"),
        ({"arguments": {"warmup_steps": 2}}, "warmup_steps=2"),
        ({"adapter": {"r": 16}}, "r=16"),
        ({"quantization": {"bnb_4bit_quant_type": "fp4"}}, "bnb_4bit_quant_type='fp4'"),
    ],
    ids=["argument", "our argument", "adapter", "quantization"],
)
def test_a_value_that_is_another(changes, expected):
    """Whatever stage changes it, both values are reported."""
    (difference,) = reported_differences(**changes)

    assert difference.startswith(f"{expected} instead of ")
