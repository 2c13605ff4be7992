"""Load a whole model or its tokenizer from a folder, without library output; errors name the folder."""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from transformers.utils import logging

from ftsdk.artifact.model_files import CONFIG
from ftsdk.errors import ArtifactError, MissingExtra
from ftsdk.modeling.loading import describe_missing_weights
from ftsdk.modeling.memory import is_out_of_memory

_LIBRARIES = frozenset({"bitsandbytes", "torchao"})
"""Those that an extra of ftsdk installs; a configuration names them as they are imported."""


def require_library(library: str | None, extra: str) -> None:
    """Check that a library which quantizes is installed, before Transformers raises an error without our hint.

    Raises:
        MissingExtra: It is not.
    """
    if library in _LIBRARIES and find_spec(library) is None:
        raise MissingExtra(extra, library)


def load_model(folder: Path, *, scores: bool, **options: Any) -> Any:
    """A whole model on the CPU, in the precision of its files: these are mapped, not copied into memory.

    Args:
        folder: Holds its configuration and its weights, in safetensors.
        scores: Whether it outputs a score, or text.
        options: More for ``from_pretrained``.

    Raises:
        ArtifactError: It cannot be loaded.
        MissingExtra: It is quantized by a library that is not installed.
    """
    require_library(quantization_library(folder), "quantize")
    auto = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    with artifact_errors(folder), quiet_libraries(), _sequential_loading():
        model, loading = auto.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, **{"device_map": {"": "cpu"}, **options}
        )
    # Transformers only warns of missing weights and fills them with random numbers. A new score head may be missing.
    if problem := describe_missing_weights(set(loading["missing_keys"]) - ({"score.weight"} if scores else set())):
        raise ArtifactError(f"the files of the model in {folder} {problem}", hint="download the model again")
    return model.eval()


def build_skeleton(folder: Path, *, scores: bool, **config: Any) -> Any:
    """A model's layers on the meta device: names and shapes, without weights.

    Args:
        folder: Holds its configuration.
        scores: As for :func:`load_model`.
        config: Changes to the configuration.

    Raises:
        ArtifactError: Transformers has no such model.
    """
    model_config = json.loads((folder / CONFIG).read_text("utf-8"))
    # Models with code of their own name it in auto_map. That code is never run here, so they cannot be built.
    if "auto_map" in model_config and model_config.get("model_type") not in CONFIG_MAPPING:
        raise ArtifactError(
            f"the model in {folder} needs code that comes with it, and only Transformers' own models are supported",
            hint="merge it with PEFT's merge_and_unload, or quantize it with the tool of its makers",
        )
    auto = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    with artifact_errors(folder), quiet_libraries(), torch.device("meta"):
        settings = AutoConfig.from_pretrained(folder, **config)
        return auto.from_config(settings)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer that a folder holds.

    Raises:
        ArtifactError: It cannot be loaded.
    """
    with artifact_errors(folder):
        return AutoTokenizer.from_pretrained(folder)


def quantization_library(folder: Path) -> str | None:
    """The library that quantized the model in a folder. None: it is in full precision, or the folder holds no model."""
    path = folder / CONFIG
    model_config = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    library: str | None = (model_config.get("quantization_config") or {}).get("quant_method")
    return library


@contextmanager
def artifact_errors(folder: Path) -> Iterator[None]:
    """Raise the libraries' errors as an ArtifactError that names the folder."""
    try:
        yield
    except (ImportError, MemoryError, OSError, RuntimeError, SafetensorError, ValueError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        if is_out_of_memory(error):
            raise ArtifactError(
                f"{folder} does not fit into memory: {reason}", hint="use a machine with more memory"
            ) from error
        raise ArtifactError(
            f"the model in {folder} cannot be loaded: {reason}",
            hint="give the folder of a model that Transformers loads, with weights in safetensors",
        ) from error


@contextmanager
def _sequential_loading() -> Iterator[None]:
    """Let Transformers read one weight at a time."""
    # It reads with several threads by default, and then holds many weights in memory at once. Only the environment
    # variable turns that off.
    name = "HF_DEACTIVATE_ASYNC_LOAD"
    previous = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        if previous is not None:
            os.environ[name] = previous


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Switch off Transformers' progress bars and reports, and the libraries' deprecation warnings."""
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
