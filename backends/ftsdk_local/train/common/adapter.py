"""Adapters on a model: a new one, or one that a folder holds."""

from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from ftsdk.artifact.model_files import ADAPTER_WEIGHTS
from ftsdk.errors import SpecError
from ftsdk.job_types import Reason
from ftsdk.workers.outcome import WorkerError
from ftsdk_local.settings import Settings


def prepare_adapter(model: Any, settings: Settings) -> Any:
    """Put the job's adapter on its base: a new one, or the one that it goes on from; without one, all weights train."""
    model = add_adapter(model, settings.lora)
    if settings.adapter_from is not None:
        load_adapter(model, Path(settings.adapter_from))
    return model


def load_adapter(model: Any, folder: Path, name: str = "default") -> None:
    """Put the weights of an adapter's folder into an adapter that is on the model already.

    Args:
        model: A PEFT model.
        folder: Holds ``adapter_model.safetensors``; what the model's adapter lacks is left out, such as a score head.
        name: Which adapter of the model takes them.

    Raises:
        Failure: They do not fit.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict  # noqa: PLC0415 - heavy, and for adapters only

    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise WorkerError(
            Reason.ENGINE_ERROR,
            f"{folder} holds no {ADAPTER_WEIGHTS}",
            "save the adapter in safetensors: a pickle is never loaded",
        )
    found = load_file(folder / ADAPTER_WEIGHTS)
    own = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    strange = [key for key in {**found, **own} if ".lora_" in key and not (key in found and key in own)]
    if strange:
        raise WorkerError(
            Reason.ENGINE_ERROR,
            f"the adapter in {folder} does not fit the model: {strange[0]}",
            "give the base model that it was trained on",
        )
    set_peft_model_state_dict(model, {key: found.get(key, own[key]) for key in own}, adapter_name=name)


def add_adapter(model: Any, lora: dict[str, Any] | None) -> Any:
    """Freeze the base and put LoRA matrices on it, in float32; without settings, leave every weight to train.

    Adapters are kept in float32 whatever the base: in fewer bits a resumed run would differ from an uninterrupted one.
    """
    if lora is None:
        return model
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - a full fine-tune does not need it

    try:
        return get_peft_model(model, LoraConfig(**lora), autocast_adapter_dtype=True)
    except ValueError as error:
        if "target" not in str(error).lower():
            raise
        raise SpecError(
            f"adapter.target_modules: {str(error).partition(chr(10))[0]}",
            hint="name linear layers of this model, or take all-linear",
        ) from error
