"""The two models of an artifact, base and tuned, measured one after the other under the same conditions."""

import gc
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from ftsdk.artifact import Manifest
from ftsdk.artifact.model_files import ADAPTER_CONFIG
from ftsdk.errors import ArtifactError
from ftsdk.modeling.loading import load_base, load_scorer, pick_device
from ftsdk.modeling.memory import empty_cache, is_out_of_memory
from ftsdk.modeling.settings import ModelSettings
from ftsdk.posttrain.base_model import base_of
from ftsdk.posttrain.loading import load_model, quantization_library, require_library
from ftsdk.spec.adapter import BASE_CHANGING_INITS
from ftsdk.translation.model_source import is_reward_model
from ftsdk.workers.outcome import WorkerError

Measurement = TypeVar("Measurement")


def base_settings(folder: Path, manifest: Manifest) -> ModelSettings:
    """The base as the job loaded it; for a whole model, the base unquantized.

    Code that comes with a model never runs here, whatever a manifest says.

    Raises:
        ArtifactError: The manifest names no base model.
    """
    if manifest.kind == "model" and not manifest.base_model:
        raise ArtifactError(
            f"{folder}: its manifest names no base model to compare with", hint="fetch the artifact of a job"
        )
    # A merged model holds full-precision weights, so its base is measured in full precision, too.
    unquantized = {"quantization": None} if manifest.kind == "model" else {}
    return base_of(folder).model_copy(update={"trust_remote_code": False, "attention": "auto", **unquantized})


def measure_both(
    folder: Path, manifest: Manifest, measure: Callable[[Any], Measurement]
) -> tuple[Measurement, Measurement]:
    """Measure the base, then the artifact.

    An adapter's base is loaded once, and measured with the adapter off and on. Of whole models, only one at a time is
    in memory.

    Args:
        folder: The artifact.
        manifest: Its manifest.
        measure: Gets a model without a PEFT wrapper around it, in evaluation mode.

    Raises:
        ArtifactError: One of the two cannot be loaded, or does not fit into memory.
        MissingExtra: One of the two is quantized by a library that is not installed.
    """
    settings = base_settings(folder, manifest)
    with _artifact_errors():
        if manifest.kind == "adapter" and not _changes_its_base(folder):
            model = _load_adapted(settings, folder)
            with model.disable_adapter():
                base = measure(model.get_base_model())
            return base, measure(model.get_base_model())
        base = measure(_load(settings, folder))
        # The base's tensors must be gone before the next model is loaded: memory may hold only one of them.
        gc.collect()
        empty_cache(pick_device())
        if manifest.kind == "adapter":
            return base, measure(_load_adapted(settings, folder).get_base_model())
        tuned = settings.model_copy(update={"name": str(folder), "revision": None})
        return base, measure(_load(tuned, folder))


def _load(settings: ModelSettings, folder: Path) -> Any:
    if quantization_library(Path(settings.name)):  # a saved quantization works only in the precision it was saved in
        return load_model(Path(settings.name), scores=is_reward_model(folder), device_map={"": pick_device()})
    require_library("bitsandbytes" if settings.quantization else None, "local")
    load = load_scorer if is_reward_model(folder) else load_base
    return load(settings, pick_device(), trains=False).eval()


def _load_adapted(settings: ModelSettings, folder: Path) -> Any:
    from peft import PeftModel  # noqa: PLC0415 - a whole model does not need it

    return PeftModel.from_pretrained(_load(settings, folder), folder).eval()


def _changes_its_base(folder: Path) -> bool:
    """Whether loading the adapter changes the base's weights; with it switched off, they are not the base's then."""
    init = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8")).get("init_lora_weights")
    return isinstance(init, str) and init.startswith(tuple(BASE_CHANGING_INITS))


@contextmanager
def _artifact_errors() -> Iterator[None]:
    # The loaders are those of training and raise a worker's errors; here a user waits, who catches ours.
    try:
        yield
    except WorkerError as error:
        raise ArtifactError(error.message, hint=error.hint) from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ArtifactError(
            f"the memory of {pick_device()} ran out: {reason}",
            hint="ask tasks one question at a time: batch_size=1, --batch-size 1; or free the device",
        ) from error


def dtype_name(dtype: torch.dtype) -> str:
    """A precision by the name that a spec has for it."""
    return str(dtype).removeprefix("torch.")
