"""Load the base model and its tokenizer."""

import errno
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
)

from ftsdk.data.row_labels import PLAIN_TEMPLATE
from ftsdk.errors import DataError, SpecError
from ftsdk.job_types import Reason
from ftsdk.modeling.memory import is_out_of_memory
from ftsdk.modeling.settings import ModelSettings
from ftsdk.workers.outcome import WorkerError

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
_USE_LESS = "set compute.quantization=nf4, raise compute.memory_limit, or use a smaller model"


def pick_device() -> torch.device:
    """The first NVIDIA GPU, or the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision of computation, from ``auto`` or the name of a torch dtype.

    Raises:
        SpecError: The device does not train in it.
    """
    if name == "float16" and device.type == "cpu":
        raise SpecError("compute.dtype=float16 trains on GPUs only", hint="set compute.dtype to auto or bfloat16")
    if name != "auto":
        return _DTYPES[name]
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def load_tokenizer(settings: ModelSettings, chat_template: str | None) -> Any:
    """The model's tokenizer, with a chat template in any case.

    Args:
        settings: Which model.
        chat_template: Jinja source that takes the place of the tokenizer's own.

    Raises:
        SpecError: The model has no fast tokenizer, so characters cannot be matched to tokens.
    """
    with explain_load_errors(settings.name):
        tokenizer = AutoTokenizer.from_pretrained(
            settings.name, revision=settings.revision, trust_remote_code=settings.trust_remote_code
        )
    if not tokenizer.is_fast:
        # Labels are put on characters of the rendered conversation; only fast tokenizers give character offsets.
        raise SpecError(f"the tokenizer of {settings.name} is not a fast one (no tokenizer.json)", hint="convert it")
    if chat_template is not None:
        tokenizer.chat_template = chat_template
    elif tokenizer.chat_template is None:
        if tokenizer.eos_token is None:
            raise DataError(
                f"{settings.name} has neither a chat template nor an end-of-text token",
                hint="set dataset.chat_template to a Jinja file that ends each answer with a token of its own",
            )
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


def load_base(settings: ModelSettings, device: torch.device, *, trains: bool) -> Any:
    """The base model on its device, from safetensors only.

    Args:
        settings: Which model, and how it is quantized.
        device: Where to.
        trains: Whether its own weights train; then they are stored in float32, and autocast computes in ``dtype``.
    """
    return _load(AutoModelForCausalLM, settings, device, trains=trains)[0]


def load_scorer(settings: ModelSettings, device: torch.device, *, trains: bool) -> Any:
    """The base with a head ``score`` of one output in place of the language-modeling head.

    The head is never quantized, and is in float32: a new one of zeros, or the base's own where it has one.

    Args:
        settings: As for :func:`load_base`.
        device: Where to.
        trains: As for :func:`load_base`.

    Raises:
        WorkerError: Transformers has no such head for the architecture.
    """
    model, missing = _load(AutoModelForSequenceClassification, settings, device, trains=trains, num_labels=1)
    head = getattr(model, "score", None)
    if type(head) is not nn.Linear:
        raise WorkerError(
            Reason.ENGINE_ERROR,
            f"model: Transformers has no linear score head for {type(model).__name__}",
            "use a model of another architecture, such as Llama, Qwen, Mistral or Gemma",
        )
    head.float()
    if "score.weight" in missing:
        # Zeros instead of Transformers' random start: a random preference would have to be unlearned first, and with
        # zeros the loss begins at exactly log 2, which shows that nothing was loaded wrongly.
        nn.init.zeros_(head.weight)
    return model


def _load(
    auto: Any, settings: ModelSettings, device: torch.device, *, trains: bool, **options: Any
) -> tuple[Any, set[str]]:
    """The model, and the names of weights that its files lack."""
    dtype = pick_dtype(settings.dtype, device)
    with explain_load_errors(settings.name):
        model, loading = auto.from_pretrained(
            settings.name,
            revision=settings.revision,
            # Weights that train stay in float32: an update of 1e-5 of a weight is lost in bfloat16's 8 bits.
            dtype=torch.float32 if trains else dtype,
            quantization_config=quantization_of(settings, dtype),
            device_map={"": device},
            trust_remote_code=settings.trust_remote_code,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    # Transformers fills missing weights with random numbers and only logs it; a training would continue with them.
    missing = set(loading["missing_keys"])
    required = missing - {"score.weight"} if auto is AutoModelForSequenceClassification else missing
    if description := describe_missing_weights(required):
        raise WorkerError(
            Reason.ENGINE_ERROR, f"model: the files of {settings.name} {description}", "download the model again"
        )
    model.config.use_cache = False  # a cache of keys and values is of no use in training, and warns with checkpointing
    _keep_trainable(model)
    return model, missing


def describe_missing_weights(missing: Collection[str]) -> str:
    """The weights that a model's files lack, as the end of a sentence; empty where they lack none."""
    if not missing:
        return ""
    first, *rest = sorted(missing)
    return f"lack {first}" + (f" and {len(rest)} other weights" if rest else "")


def _keep_trainable(model: Any) -> None:
    """Keep bitsandbytes from repacking 4-bit weights."""
    # On CPUs with AVX512-BF16, Linear4bit.forward repacks its weight in place on the first call in evaluation mode with
    # an input without gradient. Repacked weights have no backward pass: after one evaluation nothing would train.
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def choose_attention(model: Any, attention: str) -> None:
    """Set ``compute.attention``; ``auto`` leaves Transformers' choice.

    Raises:
        SpecError: The model, or this machine, does not have it.
    """
    if attention == "auto":
        return
    try:
        model.set_attn_implementation(attention)
    except (ValueError, ImportError) as error:
        message = str(error).partition("\n")[0]
        raise SpecError(f"compute.attention={attention}: {message}", hint="set compute.attention=auto") from error


def without_dropout(model: nn.Module) -> None:
    """Switch off all dropout: where probabilities of the same tokens are compared, it must not change them."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        # Attention layers pass their rate to the kernel as a number, without an nn.Dropout.
        for name in ("attention_dropout", "dropout_p"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def stored_dtype(settings: ModelSettings) -> torch.dtype:
    """The precision that the base's weights have on disk; float32 where its config does not say."""
    config = AutoConfig.from_pretrained(
        settings.name, revision=settings.revision, trust_remote_code=settings.trust_remote_code
    )
    return config.dtype if isinstance(config.dtype, torch.dtype) else _DTYPES.get(str(config.dtype), torch.float32)


@contextmanager
def explain_load_errors(name: str) -> Iterator[None]:
    """Turn the libraries' errors while a model loads into errors that name the cause and the next step.

    Args:
        name: The model, for the message.

    Raises:
        WorkerError: The model is gated, cannot be loaded, or does not fit.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise  # a full disk has a reason of its own, which the worker gives
        # Transformers wraps the Hub's error in an OSError, as its cause or its context depending on the file.
        causes = {type(cause).__name__ for cause in (error, error.__cause__, error.__context__)}
        if "GatedRepoError" in causes:
            page = f"https://huggingface.co/{name}"
            raise WorkerError(
                Reason.GATED_MODEL, f"model: {name} is gated", f"ask for access at {page}, set HF_TOKEN"
            ) from error
        raise WorkerError(
            Reason.ENGINE_ERROR,
            f"model: {name} cannot be loaded: {str(error).partition(chr(10))[0]}",
            "check the name and the network; weights must be in safetensors",
        ) from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        message = str(error).partition("\n")[0] or type(error).__name__
        raise WorkerError(Reason.OOM, f"model: {name} does not fit: {message}", _USE_LESS) from error


def quantization_of(settings: ModelSettings, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    """How the base is quantized; None: it is not."""
    if settings.quantization is None:
        return None
    options = dict(settings.quantization)
    if options.get("load_in_4bit"):
        # bitsandbytes' default is float32, in which a GPU computes several times slower.
        options["bnb_4bit_compute_dtype"] = dtype
    return BitsAndBytesConfig(**options)


def versions() -> dict[str, str]:
    """Versions of the packages that decide what a run computes."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    installed = {"torch": torch.__version__, "transformers": transformers.__version__}
    for name in ("peft", "bitsandbytes", "accelerate", "ftsdk"):
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed
