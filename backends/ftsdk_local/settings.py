"""The local engine's native request, as its libraries receive it. Plans store it: names of fields never change."""

from typing import Any

from ftsdk.modeling.settings import ModelSettings, TrainOn
from ftsdk.spec import Dataset, Section


class DataSettings(Section):
    """Which rows, and which of their tokens carry loss."""

    dataset: Dataset
    """Rows to train on."""
    eval_dataset: Dataset | None
    """Rows to hold out."""
    val_size: float
    """Rows to hold out of ``dataset``: a share below 1, or a number."""
    train_on: TrainOn
    """Which tokens carry the loss."""
    max_length: int
    """Longest sequence in tokens."""
    packing: bool
    """Whether each sequence is filled with whole rows."""


class RewardSettings(Section):
    """What scores a response: a Python function, or a reward model."""

    function: str | None = None
    """``module:function``."""
    path: str | None = None
    """The folder of the function's module, or of its package."""
    sha256: str | None = None
    """The hash of the module's file when the plan was made."""
    model: str | None = None
    """A folder, or a Hub id: an adapter with a score head, or a whole model for sequence classification."""
    revision: str | None = None
    """The Hub revision."""


class Settings(Section):
    """One run of the engine."""

    method: str
    """The type of method."""
    options: dict[str, Any]
    """The method's own, by its trainer's names."""
    reward: RewardSettings | None = None
    """For methods that sample responses."""
    adapter_from: str | None = None
    """The folder of an adapter to continue from. None: a new one."""
    model: ModelSettings
    """The base."""
    data: DataSettings
    """The rows."""
    lora: dict[str, Any] | None
    """For ``peft.LoraConfig``; None: every weight trains."""
    arguments: dict[str, Any]
    """For ``transformers.TrainingArguments``; one batch is one optimizer step."""
    micro_batch_rows: int | None
    """Rows at a time. None: as many as fit."""
    gradient_checkpointing: bool | None
    """Recompute activations. None: where the memory estimate requires it."""
    memory_limit: int | None
    """Most bytes on the device."""
    quantization_aware: str | None = None
    """How weights are rounded in training; a name in ``ftsdk.modeling.qat.RECIPES``."""
    neftune_noise_alpha: float | None
    """Strength of noise on the embeddings."""
    save_steps: int | None
    """Steps between checkpoints. None: ten over the run."""
    eval_steps: int | None
    """Steps between evaluations. None: at the end of each epoch."""
    early_stopping_patience: int | None
    """Evaluations without a better loss before stopping."""
    early_stopping_threshold: float
    """How much lower counts as better."""
    hub_model_id: str | None
    """Where the artifact is pushed. None: nowhere."""
