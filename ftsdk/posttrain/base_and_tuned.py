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
from ftsdk.posttrain.loading import load_model, quantized_by
from ftsdk.spec.adapter import BASE_CHANGING_INITS
from ftsdk.translation.model_source import is_reward_model
from ftsdk.workers.outcome import WorkerError

Found = TypeVar("Found")


def settings_of(folder: Path, manifest: Manifest) -> ModelSettings:
    """The base as the job held it; beside a model that stands alone, unquantized, as it came.

    Code that comes with a model never runs here, whatever a manifest says.

    Raises:
        ArtifactError: The manifest names no base model.
    """
    if manifest.kind == "model" and not manifest.base_model:
        raise ArtifactError(
            f"{folder}: its manifest names no base model to compare with", hint="fetch the artifact of a job"
        )
    alone = {"quantization": None} if manifest.kind == "model" else {}
    return base_of(folder).model_copy(update={"trust_remote_code": False, "attention": "auto", **alone})


def both(folder: Path, manifest: Manifest, measure: Callable[[Any], Found]) -> tuple[Found, Found]:
    """What a measure finds of the base, and of the artifact.

    An adapter's base is loaded once, and measured with the adapter off and on; of whole models, only one at a time is
    in memory.

    Args:
        folder: The artifact.
        manifest: Its manifest.
        measure: Given a model without a PEFT wrapper around it, in evaluation mode.

    Raises:
        ArtifactError: One of the two cannot be loaded, or does not fit.
    """
    base = settings_of(folder, manifest)
    with _told():
        if manifest.kind == "adapter" and not _changes_its_base(folder):
            model = _adapted(base, folder)
            with model.disable_adapter():
                before = measure(model.get_base_model())
            return before, measure(model.get_base_model())
        before = measure(_loaded(base, folder))
        gc.collect()
        empty_cache(pick_device())
        if manifest.kind == "adapter":
            return before, measure(_adapted(base, folder).get_base_model())
        tuned = base.model_copy(update={"name": str(folder), "revision": None})
        return before, measure(_loaded(tuned, folder))


def _loaded(settings: ModelSettings, folder: Path) -> Any:
    if quantized_by(Path(settings.name)):  # it computes in the precision that it was saved in, and in no other
        return load_model(Path(settings.name), scores=is_reward_model(folder), device_map={"": pick_device()})
    load = load_scorer if is_reward_model(folder) else load_base
    return load(settings, pick_device(), trains=False).eval()


def _adapted(settings: ModelSettings, folder: Path) -> Any:
    from peft import PeftModel  # noqa: PLC0415 - a whole model does not need it

    return PeftModel.from_pretrained(_loaded(settings, folder), folder).eval()


def _changes_its_base(folder: Path) -> bool:
    """Whether loading an adapter changes the weights beside it, so that without it they are not the base's."""
    init = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8")).get("init_lora_weights")
    return isinstance(init, str) and init.startswith(tuple(BASE_CHANGING_INITS))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except WorkerError as failure:
        raise ArtifactError(failure.message, hint=failure.hint) from failure
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        why = str(error).partition("\n")[0] or type(error).__name__
        raise ArtifactError(
            f"the memory of {pick_device()} ran out: {why}",
            hint="ask tasks one question at a time: batch_size=1, --batch-size 1; or free the device",
        ) from error


def dtype_name(dtype: torch.dtype) -> str:
    """A precision by the name that a spec has for it."""
    return str(dtype).removeprefix("torch.")
