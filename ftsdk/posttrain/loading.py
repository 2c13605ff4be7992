"""Load a whole model or its tokenizer from a folder, quietly, and say in the user's words why it cannot be done."""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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
from ftsdk.errors import ArtifactError
from ftsdk.modeling.loading import what_lacks
from ftsdk.modeling.memory import is_out_of_memory


def load_model(folder: Path, *, scores: bool, **options: Any) -> Any:
    """A whole model on the CPU, in the precision of its files: these are mapped, not copied into memory.

    Args:
        folder: Holds its configuration and its weights, in safetensors.
        scores: Whether it gives scores, or text.
        options: More for ``from_pretrained``.

    Raises:
        ArtifactError: It cannot be loaded.
    """
    auto = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    with told(folder), quietly(), _one_by_one():
        model, loading = auto.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, **{"device_map": {"": "cpu"}, **options}
        )
    if what := what_lacks(set(loading["missing_keys"]) - ({"score.weight"} if scores else set())):
        raise ArtifactError(f"the files of the model in {folder} {what}", hint="bring the model here anew")
    return model.eval()


def skeleton_of(folder: Path, *, scores: bool, **config: Any) -> Any:
    """A model's layers, without numbers.

    Args:
        folder: Holds its configuration.
        scores: As for :func:`load_model`.
        config: Changes to the configuration.

    Raises:
        ArtifactError: There is no such model in Transformers.
    """
    said = json.loads((folder / CONFIG).read_text("utf-8"))
    if "auto_map" in said and said.get("model_type") not in CONFIG_MAPPING:
        raise ArtifactError(
            f"the model in {folder} needs code that comes with it, and only Transformers' own models are taken here",
            hint="merge it with PEFT's merge_and_unload, or quantize it with the tool of its makers",
        )
    auto = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    with told(folder), quietly(), torch.device("meta"):
        settings = AutoConfig.from_pretrained(folder, **config)
        return auto.from_config(settings)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer that a folder holds.

    Raises:
        ArtifactError: It cannot be loaded.
    """
    with told(folder):
        return AutoTokenizer.from_pretrained(folder)


def quantized_by(folder: Path) -> str | None:
    """The library that has quantized the model in a folder; None: it is in full precision, or no model."""
    config = folder / CONFIG
    said = json.loads(config.read_text("utf-8")) if config.is_file() else {}
    by: str | None = (said.get("quantization_config") or {}).get("quant_method")
    return by


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Turn the libraries' errors into one that names the folder."""
    try:
        yield
    except (ImportError, MemoryError, OSError, RuntimeError, SafetensorError, ValueError) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        if is_out_of_memory(error):
            raise ArtifactError(f"{folder} does not fit into memory: {why}", hint="use a machine with more") from error
        raise ArtifactError(
            f"the model in {folder} cannot be loaded: {why}",
            hint="give the folder of a model that Transformers loads, with weights in safetensors",
        ) from error


@contextmanager
def _one_by_one() -> Iterator[None]:
    """Let Transformers read one weight at a time: several threads hold many of them at once."""
    name = "HF_DEACTIVATE_ASYNC_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


@contextmanager
def quietly() -> Iterator[None]:
    """Without Transformers' bars and reports, and the libraries' warnings of their next versions."""
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
