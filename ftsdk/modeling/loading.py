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

from ftsdk.data.encoding import PLAIN_TEMPLATE
from ftsdk.errors import DataError, SpecError
from ftsdk.job_types import Reason
from ftsdk.modeling.memory import is_out_of_memory
from ftsdk.modeling.settings import ModelSettings
from ftsdk.workers.outcome import WorkerError

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
_LIGHTER = "set compute.quantization=nf4, raise compute.memory_limit, or take a smaller model"


def pick_device() -> torch.device:
    """The first NVIDIA GPU, or the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def pick_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The precision of computation.

    Raises:
        SpecError: The device does not train in it.
    """
    if wanted == "float16" and device.type == "cpu":
        raise SpecError("compute.dtype=float16 trains on GPUs only", hint="set compute.dtype to auto or bfloat16")
    if wanted != "auto":
        return _DTYPES[wanted]
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
    with told(settings.name):
        tokenizer = AutoTokenizer.from_pretrained(
            settings.name, revision=settings.revision, trust_remote_code=settings.trust_remote_code
        )
    if not tokenizer.is_fast:
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
        settings: Which model, and how it is held.
        device: Where to.
        trains: Whether its own weights train; then they are held in float32 and computed with in ``dtype``.
    """
    return _load(AutoModelForCausalLM, settings, device, trains=trains)[0]


def load_scorer(settings: ModelSettings, device: torch.device, *, trains: bool) -> Any:
    """The base with a head that gives one number, ``score``, in place of the one that gives tokens.

    The head is never quantized, and held in float32: a new one of zeros, or the base's own where it has one.

    Args:
        settings: As for :func:`load_base`.
        device: Where to.
        trains: As for :func:`load_base`.

    Raises:
        Failure: Transformers has no such head for the architecture.
    """
    model, missing = _load(AutoModelForSequenceClassification, settings, device, trains=trains, num_labels=1)
    head = getattr(model, "score", None)
    if type(head) is not nn.Linear:
        raise WorkerError(
            Reason.ENGINE_ERROR,
            f"model: Transformers has no linear score head for {type(model).__name__}",
            "take a model of another architecture, such as Llama, Qwen, Mistral or Gemma",
        )
    head.float()
    if "score.weight" in missing:
        nn.init.zeros_(head.weight)  # no opinion at first: what chance would begin with must first be unlearned
    return model


def _load(
    auto: Any, settings: ModelSettings, device: torch.device, *, trains: bool, **options: Any
) -> tuple[Any, set[str]]:
    """The model, and the names of weights that its files lack."""
    dtype = pick_dtype(settings.dtype, device)
    with told(settings.name):
        model, loading = auto.from_pretrained(
            settings.name,
            revision=settings.revision,
            dtype=torch.float32 if trains else dtype,
            quantization_config=quantization_of(settings, dtype),
            device_map={"": device},
            trust_remote_code=settings.trust_remote_code,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    missing = set(loading["missing_keys"])
    if what := what_lacks(missing - {"score.weight"} if auto is AutoModelForSequenceClassification else missing):
        raise WorkerError(
            Reason.ENGINE_ERROR, f"model: the files of {settings.name} {what}", "bring the model here anew"
        )
    model.config.use_cache = False
    _keep_trainable(model)
    return model, missing


def what_lacks(missing: Collection[str]) -> str:
    """What to say of weights that a model's files lack, which Transformers would make up by chance; empty: none."""
    if not missing:
        return ""
    first, *others = sorted(missing)
    return f"lack {first}" + (f" and {len(others)} other weights" if others else "")


def _keep_trainable(model: Any) -> None:
    """Keep bitsandbytes from repacking 4-bit weights.

    On CPUs with bfloat16 instructions it does so when asked without gradients, and repacked weights give none: the
    first evaluation would end the learning.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def choose_attention(model: Any, wanted: str) -> None:
    """Set the attention that was asked for; ``auto`` leaves Transformers' choice.

    Raises:
        SpecError: The model, or this machine, does not have it.
    """
    if wanted == "auto":
        return
    try:
        model.set_attn_implementation(wanted)
    except (ValueError, ImportError) as error:
        what = str(error).partition("\n")[0]
        raise SpecError(f"compute.attention={wanted}: {what}", hint="set compute.attention=auto") from error


def without_dropout(model: nn.Module) -> None:
    """Switch off all dropout: where probabilities of the same tokens are compared, chance must not change them."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
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
def told(name: str) -> Iterator[None]:
    """Say in the user's words why a model cannot be loaded."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
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
        why = str(error).partition("\n")[0] or type(error).__name__
        raise WorkerError(Reason.OOM, f"model: {name} does not fit: {why}", _LIGHTER) from error


def quantization_of(settings: ModelSettings, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    """How the base is held in few bits; None: it is not."""
    if settings.quantization is None:
        return None
    options = dict(settings.quantization)
    if options.get("load_in_4bit"):
        options["bnb_4bit_compute_dtype"] = dtype
    return BitsAndBytesConfig(**options)


def versions() -> dict[str, str]:
    """Versions of the packages that decide what a run computes."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    found = {"torch": torch.__version__, "transformers": transformers.__version__}
    for name in ("peft", "bitsandbytes", "accelerate", "ftsdk"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
