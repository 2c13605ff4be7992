"""Load a whole model or its tokenizer from a folder, quietly, and say in the user's words why it cannot be done."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from ftsdk.errors import ArtifactError
from ftsdk_local.engine.memory import is_out_of_memory


def load_model(folder: Path, *, scores: bool, trust_remote_code: bool = False, **options: Any) -> Any:
    """A whole model on the CPU, in the precision of its files: these are mapped, not copied into memory.

    Args:
        folder: Holds its configuration and its weights, in safetensors.
        scores: Whether it gives scores, or text.
        trust_remote_code: Whether code that comes with it may run.
        options: More for ``from_pretrained``.

    Raises:
        ArtifactError: It cannot be loaded.
    """
    auto = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    with told(folder), quietly():
        model = auto.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=trust_remote_code, **{"device_map": {"": "cpu"}, **options}
        )
    return model.eval()


def load_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The tokenizer that a folder holds.

    Raises:
        ArtifactError: It cannot be loaded.
    """
    with told(folder):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Turn the libraries' errors into one that names the folder."""
    try:
        yield
    except (ImportError, OSError, SafetensorError, ValueError) as error:
        raise ArtifactError(
            f"the model in {folder} cannot be loaded: {str(error).partition(chr(10))[0]}",
            hint="give the folder of a model that Transformers loads, with weights in safetensors",
        ) from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ArtifactError(
            f"the model in {folder} does not fit into memory: {str(error).partition(chr(10))[0]}",
            hint="use a machine with more memory",
        ) from error


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
