"""Load a model as Unsloth does, add an adapter, and check that both are as requested."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForSequenceClassification, BitsAndBytesConfig, set_seed
from trl.trainer.utils import disable_dropout_in_model
from unsloth import FastLanguageModel

from ftsdk.engines.runner_support import RunnerError

Config = Mapping[str, Any]

_UNSLOTH_ARGUMENTS = frozenset({"random_state", "use_gradient_checkpointing"})
"""Arguments of ``get_peft_model`` that PEFT's own ``LoraConfig`` does not have."""
_HEADS = ("lm_head", "score")


def load(config: Config, tokenizer: Any) -> Any:
    """The base with its adapter, if there is one.

    A reward model is loaded by Transformers and PEFT: Unsloth loads no score head on a CPU.

    Raises:
        RunnerError: Another model or adapter was loaded than requested, or it lacks embeddings for some tokens.
    """
    base, adapter = config["from_pretrained"], config["get_peft_model"]
    _check_length(base)
    model = _scorer(base, tokenizer.pad_token_id) if config["method"] == "reward_modeling" else _base(base)
    _check_base(model, base, len(tokenizer))
    if config["method"] in ("dpo", "kto"):
        disable_dropout_in_model(model)  # a reference with dropout would be random; the adapter's is added later
    if adapter is not None:
        model = _adapted(model, adapter, config["method"])
        _check_adapter(model, adapter)
    return model


def hold_in_float32(model: Any) -> None:
    """Convert trainable weights to float32."""
    # TRL keeps an adapter on a quantized base in bfloat16, where small updates are rounded away.
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def save(model: Any, config: Config, output: Path) -> None:
    """Save what was learned: the adapter, or the whole model in the precision that its base came in."""
    model.config.use_cache = True
    if config["get_peft_model"] is not None:
        model.save_pretrained(output, selected_adapters=["default"])  # TRL's copy for the reference is another adapter
        return
    base = config["from_pretrained"]
    stored = AutoConfig.from_pretrained(base["model_name"], trust_remote_code=base["trust_remote_code"]).dtype
    model.to(dtype=stored or torch.float32).save_pretrained(output)


def _base(requested: Config) -> Any:
    model, _ = FastLanguageModel.from_pretrained(**{**requested, "dtype": getattr(torch, requested["dtype"])})
    return model


def _scorer(requested: Config, pad: int) -> Any:
    dtype = getattr(torch, requested["dtype"])
    quantized = BitsAndBytesConfig(
        load_in_4bit=requested["load_in_4bit"],
        load_in_8bit=requested["load_in_8bit"],
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=["score"],
    )
    model, loading = AutoModelForSequenceClassification.from_pretrained(
        requested["model_name"],
        num_labels=1,
        dtype=torch.float32 if requested["full_finetuning"] else dtype,
        quantization_config=quantized if requested["load_in_4bit"] or requested["load_in_8bit"] else None,
        trust_remote_code=requested["trust_remote_code"],
        device_map={"": 0 if torch.cuda.is_available() else "cpu"},
        use_safetensors=True,
        output_loading_info=True,
        **{name: requested[name] for name in ("attn_implementation",) if name in requested},
    )
    if type(getattr(model, "score", None)) is not torch.nn.Linear:
        raise RunnerError("engine_error", f"Transformers has no linear score head for {type(model).__name__}")
    model.score.float()
    if "score.weight" in loading["missing_keys"]:
        torch.nn.init.zeros_(model.score.weight)  # no random rewards at the start, as in the local engine
    model.config.use_cache = False
    model.config.get_text_config().pad_token_id = pad
    model.max_seq_length = requested["max_seq_length"]
    return model


def _adapted(model: Any, requested: Config, method: str) -> Any:
    if method != "reward_modeling":
        return FastLanguageModel.get_peft_model(model, **requested)
    set_seed(requested["random_state"])
    lora = {name: value for name, value in requested.items() if name not in _UNSLOTH_ARGUMENTS}
    return get_peft_model(model, LoraConfig(task_type="SEQ_CLS", modules_to_save=["score"], **lora))


# Unsloth changes settings without an error, so what was loaded is compared with what was requested.


def _check_length(requested: Config) -> None:
    """Unsloth would stretch a model's positions (RoPE scaling) to lengths that it was not made for."""
    config = AutoConfig.from_pretrained(requested["model_name"], trust_remote_code=requested["trust_remote_code"])
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    if positions is not None and requested["max_seq_length"] > positions:
        problem = f"training.max_length is {requested['max_seq_length']}, and the model has {positions} positions"
        raise RunnerError("engine_error", f"{problem}, which Unsloth would stretch; lower it")


def _check_base(model: Any, requested: Config, tokens: int) -> None:
    embeddings, name = model.get_input_embeddings().weight.shape[0], model.config.name_or_path
    if tokens > embeddings:
        raise RunnerError(
            "engine_error", f"the tokenizer knows {tokens} tokens, the model has embeddings for {embeddings}"
        )
    same_place = Path(name).resolve() == Path(requested["model_name"]).resolve()
    actual = {
        "model_name": requested["model_name"] if same_place else name,
        "max_seq_length": model.max_seq_length,
        "attn_implementation": model.config._attn_implementation,  # noqa: SLF001 - Transformers has it nowhere else
        **_bits(model),
    }
    wrong = [
        f"{name}={value!r} instead of {requested.get(name)!r}"
        for name, value in actual.items()
        if value != requested.get(name, value)
    ]
    dtypes = {str(weight.dtype).removeprefix("torch.") for weight in model.parameters() if weight.is_floating_point()}
    if requested["full_finetuning"] and dtypes != {"float32"}:
        wrong.append(f"weights in {', '.join(sorted(dtypes))} instead of float32")
    if wrong:
        raise RunnerError("engine_error", f"Unsloth has loaded another model: {', '.join(wrong)}")


def _bits(model: Any) -> dict[str, bool]:
    """In how many bits the weights are, by the layers' classes: the configuration alone may say otherwise."""
    kinds = {type(module).__name__ for module in model.modules()}
    quantization = getattr(model.config, "quantization_config", None) or {}
    settings = quantization if isinstance(quantization, dict) else quantization.to_dict()
    double = settings.get("bnb_4bit_quant_type") == "nf4" and settings.get("bnb_4bit_use_double_quant") is True
    return {"load_in_4bit": "Linear4bit" in kinds and double, "load_in_8bit": "Linear8bitLt" in kinds}


def _check_adapter(model: Any, requested: Config) -> None:
    settings = model.peft_config["default"]
    comparable = {
        name: value for name, value in requested.items() if name not in _UNSLOTH_ARGUMENTS | {"target_modules"}
    }
    wrong = [f"{name}={actual!r} instead of {value!r}" for name, value, actual in _differences(settings, comparable)]
    reached = {name.rpartition(".")[2] for name, module in model.named_modules() if hasattr(module, "lora_A")}
    targets = requested["target_modules"]
    expected = set(_linear_layers(model)) if targets == "all-linear" else {name.rpartition(".")[2] for name in targets}
    if reached != expected:
        wrong.append(f"target_modules={sorted(reached)} instead of {sorted(expected)}")
    if wrong:
        raise RunnerError("engine_error", f"Unsloth has made another adapter: {', '.join(wrong)}")


def _differences(settings: Any, requested: Config) -> Iterator[tuple[str, Any, Any]]:
    for name, value in requested.items():
        actual = getattr(settings, name)
        if actual != value:
            yield name, value, actual


def _linear_layers(model: Any) -> Iterator[str]:
    """The last part of each linear layer's name, but for the head's."""
    for name, module in model.named_modules():
        inner = getattr(module, "base_layer", module)
        if "Linear" in type(inner).__name__ and hasattr(inner, "in_features") and "lora_" not in name:
            last = name.removesuffix(".base_layer").rpartition(".")[2]
            if not any(head in name.split(".") for head in _HEADS):
                yield last
