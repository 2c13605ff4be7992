"""Adapters on a model: a new one, or one loaded from a folder."""

from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from ftsdk.artifact.model_files import ADAPTER_WEIGHTS
from ftsdk.errors import SpecError
from ftsdk.job_types import Reason
from ftsdk.workers.outcome import WorkerError
from ftsdk_local.settings import Settings


def prepare_adapter(model: Any, settings: Settings) -> Any:
    """Put the job's adapter on its base: a new one, or the one to continue from; without one, all weights train."""
    model = add_adapter(model, settings.lora)
    if settings.adapter_from is not None:
        load_adapter(model, Path(settings.adapter_from))
    return model


def load_adapter(model: Any, folder: Path, name: str = "default") -> None:
    """Load the weights in an adapter's folder into an adapter that is on the model already.

    Args:
        model: A PEFT model.
        folder: Holds ``adapter_model.safetensors``; weights that the model's adapter lacks, such as a score head, are
            left out.
        name: The adapter of the model that takes them.

    Raises:
        WorkerError: They do not fit.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict  # noqa: PLC0415 - heavy, and for adapters only

    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise WorkerError(
            Reason.ENGINE_ERROR,
            f"{folder} holds no {ADAPTER_WEIGHTS}",
            "save the adapter in safetensors: a pickle is never loaded",
        )
    stored = load_file(folder / ADAPTER_WEIGHTS)
    current = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    # PEFT loads what matches and only returns the rest: an adapter of another base would train from its random start.
    mismatches = [key for key in {**stored, **current} if ".lora_" in key and not (key in stored and key in current)]
    if mismatches:
        raise WorkerError(
            Reason.ENGINE_ERROR,
            f"the adapter in {folder} does not fit the model: {mismatches[0]}",
            "give the base model that it was trained on",
        )
    set_peft_model_state_dict(model, {key: stored.get(key, current[key]) for key in current}, adapter_name=name)


def add_adapter(model: Any, lora: dict[str, Any] | None) -> Any:
    """Freeze the base and put LoRA matrices on it, in float32; without settings, every weight trains."""
    if lora is None:
        return model
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - a full fine-tune does not need it

    try:
        # In float32 whatever the base: checkpoints and optimizer work on these very weights, and rounded to bfloat16 a
        # resumed run would differ from an uninterrupted one.
        return get_peft_model(model, LoraConfig(**lora), autocast_adapter_dtype=True)
    except ValueError as error:
        if "target" not in str(error).lower():
            raise
        raise SpecError(
            f"adapter.target_modules: {str(error).partition(chr(10))[0]}",
            hint="name linear layers of this model, or set all-linear",
        ) from error
