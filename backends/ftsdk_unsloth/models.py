"""Load a model as Unsloth does, put an adapter on it, and see that both are what was asked for."""

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

_UNSLOTHS_OWN = frozenset({"random_state", "use_gradient_checkpointing"})
"""Arguments of ``get_peft_model`` that PEFT's own ``LoraConfig`` does not have."""
_HEADS = ("lm_head", "score")


def load(config: Config, tokenizer: Any) -> Any:
    """The base with its adapter, if there is one.

    A reward model is loaded by Transformers and PEFT: Unsloth loads no score head on a CPU.

    Raises:
        Failure: Another model has come than was asked for, or another adapter; or it does not know all tokens.
    """
    base, adapter = config["from_pretrained"], config["get_peft_model"]
    _check_length(base)
    model = _scorer(base, tokenizer.pad_token_id) if config["method"] == "reward_modeling" else _base(base)
    _check_base(model, base, len(tokenizer))
    if config["method"] in ("dpo", "kto"):
        disable_dropout_in_model(model)  # a reference with dropout would be none; the adapter's comes later
    if adapter is not None:
        model = _adapted(model, adapter, config["method"])
        _check_adapter(model, adapter)
    return model


def hold_in_float32(model: Any) -> None:
    """Hold what trains in float32; TRL holds an adapter on a quantized base in bfloat16, where small steps vanish."""
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def save(model: Any, config: Config, output: Path) -> None:
    """Save what was learned: the adapter, or the whole model in the precision that its base came in."""
    model.config.use_cache = True
    if config["get_peft_model"] is not None:
        model.save_pretrained(output, selected_adapters=["default"])  # TRL's copy for a reference is none of it
        return
    base = config["from_pretrained"]
    stored = AutoConfig.from_pretrained(base["model_name"], trust_remote_code=base["trust_remote_code"]).dtype
    model.to(dtype=stored or torch.float32).save_pretrained(output)


def _base(given: Config) -> Any:
    model, _ = FastLanguageModel.from_pretrained(**{**given, "dtype": getattr(torch, given["dtype"])})
    return model


def _scorer(given: Config, pad: int) -> Any:
    dtype = getattr(torch, given["dtype"])
    quantized = BitsAndBytesConfig(
        load_in_4bit=given["load_in_4bit"],
        load_in_8bit=given["load_in_8bit"],
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=["score"],
    )
    model, loading = AutoModelForSequenceClassification.from_pretrained(
        given["model_name"],
        num_labels=1,
        dtype=torch.float32 if given["full_finetuning"] else dtype,
        quantization_config=quantized if given["load_in_4bit"] or given["load_in_8bit"] else None,
        trust_remote_code=given["trust_remote_code"],
        device_map={"": 0 if torch.cuda.is_available() else "cpu"},
        use_safetensors=True,
        output_loading_info=True,
        **{name: given[name] for name in ("attn_implementation",) if name in given},
    )
    if type(getattr(model, "score", None)) is not torch.nn.Linear:
        raise RunnerError("engine_error", f"Transformers has no linear score head for {type(model).__name__}")
    model.score.float()
    if "score.weight" in loading["missing_keys"]:
        torch.nn.init.zeros_(model.score.weight)  # no opinion at first, as in the local engine
    model.config.use_cache = False
    model.config.get_text_config().pad_token_id = pad
    model.max_seq_length = given["max_seq_length"]
    return model


def _adapted(model: Any, given: Config, method: str) -> Any:
    if method != "reward_modeling":
        return FastLanguageModel.get_peft_model(model, **given)
    set_seed(given["random_state"])
    told = {name: value for name, value in given.items() if name not in _UNSLOTHS_OWN}
    return get_peft_model(model, LoraConfig(task_type="SEQ_CLS", modules_to_save=["score"], **told))


# What was asked for, and what has come.


def _check_length(given: Config) -> None:
    """Unsloth would stretch a model's positions (RoPE scaling) to lengths that it was not made for."""
    told = AutoConfig.from_pretrained(given["model_name"], trust_remote_code=given["trust_remote_code"])
    most = getattr(told.get_text_config(), "max_position_embeddings", None)
    if most is not None and given["max_seq_length"] > most:
        what = f"training.max_length is {given['max_seq_length']}, and the model has {most} positions"
        raise RunnerError("engine_error", f"{what}, which Unsloth would stretch; lower it")


def _check_base(model: Any, given: Config, tokens: int) -> None:
    known, name = model.get_input_embeddings().weight.shape[0], model.config.name_or_path
    if tokens > known:
        raise RunnerError("engine_error", f"the tokenizer knows {tokens} tokens, the model has embeddings for {known}")
    same_place = Path(name).resolve() == Path(given["model_name"]).resolve()
    found = {
        "model_name": given["model_name"] if same_place else name,
        "max_seq_length": model.max_seq_length,
        "attn_implementation": model.config._attn_implementation,  # noqa: SLF001 - Transformers tells it nowhere else
        **_bits(model),
    }
    wrong = [
        f"{name}={value!r} instead of {given.get(name)!r}"
        for name, value in found.items()
        if value != given.get(name, value)
    ]
    held = {str(weight.dtype).removeprefix("torch.") for weight in model.parameters() if weight.is_floating_point()}
    if given["full_finetuning"] and held != {"float32"}:
        wrong.append(f"weights in {', '.join(sorted(held))} instead of float32")
    if wrong:
        raise RunnerError("engine_error", f"Unsloth has loaded another model: {', '.join(wrong)}")


def _bits(model: Any) -> dict[str, bool]:
    """In how few bits the weights are, by what they are and not by what is said of them."""
    kinds = {type(module).__name__ for module in model.modules()}
    how = getattr(model.config, "quantization_config", None) or {}
    told = how if isinstance(how, dict) else how.to_dict()
    doubled = told.get("bnb_4bit_quant_type") == "nf4" and told.get("bnb_4bit_use_double_quant") is True
    return {"load_in_4bit": "Linear4bit" in kinds and doubled, "load_in_8bit": "Linear8bitLt" in kinds}


def _check_adapter(model: Any, given: Config) -> None:
    told = model.peft_config["default"]
    named = {name: value for name, value in given.items() if name not in _UNSLOTHS_OWN | {"target_modules"}}
    wrong = [f"{name}={found!r} instead of {value!r}" for name, value, found in _compared(told, named)]
    reached = {name.rpartition(".")[2] for name, module in model.named_modules() if hasattr(module, "lora_A")}
    asked = given["target_modules"]
    expected = set(_linear_layers(model)) if asked == "all-linear" else {name.rpartition(".")[2] for name in asked}
    if reached != expected:
        wrong.append(f"target_modules={sorted(reached)} instead of {sorted(expected)}")
    if wrong:
        raise RunnerError("engine_error", f"Unsloth has made another adapter: {', '.join(wrong)}")


def _compared(told: Any, given: Config) -> Iterator[tuple[str, Any, Any]]:
    for name, value in given.items():
        found = getattr(told, name)
        if found != value:
            yield name, value, found


def _linear_layers(model: Any) -> Iterator[str]:
    """The last part of each linear layer's name, but for the head's."""
    for name, module in model.named_modules():
        inner = getattr(module, "base_layer", module)
        if "Linear" in type(inner).__name__ and hasattr(inner, "in_features") and "lora_" not in name:
            last = name.removesuffix(".base_layer").rpartition(".")[2]
            if not any(head in name.split(".") for head in _HEADS):
                yield last
