"""Fields of a spec that every engine receives alike: those of Transformers' Trainer, and of our runners.

Pure except that it checks the files that a spec names.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.data.download import SCHEMES
from ftsdk.data.formats import FORMATS_OF_METHOD
from ftsdk.forecast import MemoryEstimate, TrainerProfile, estimate_memory
from ftsdk.spec import SFT, Dataset, JobSpec
from ftsdk.spec.training import BLANK_SAVE_SHARE
from ftsdk.translation.dataset_paths import with_absolute_paths
from ftsdk.translation.ledger import Ledger
from ftsdk.translation.model_source import check_model_folder, config_of, model_folder
from ftsdk.workers.hardware import Machine

OUTPUT = "out"
"""The folder that an engine writes into."""


class ModelReference(NamedTuple):
    """A base model."""

    name: str
    """A folder, or a name on the Hub."""
    revision: str | None
    """The Hub's commit, which our runner downloads."""


def resolve_model(ledger: Ledger, commit: str | None, native: str) -> ModelReference:
    """The model's folder, or its name and the Hub's commit; ``native`` is the engine's name of the field."""
    name: str = ledger.use("model", native)
    revision: str | None = ledger.use("model_revision", "the runner's download")
    folder = model_folder(ledger, "model", name)
    if folder is None:
        return ModelReference(name, commit or revision)
    if revision is not None:
        ledger.refuse("model_revision", "a folder has no revisions", "leave it out")
    check_model_folder(ledger, "model", folder)
    return ModelReference(str(folder), None)


def memory_of(
    spec: JobSpec, model: ModelReference, machine: Machine, *, rows: int, halves: bool, **computing: int | None
) -> MemoryEstimate:
    """The forecast for an engine on Transformers' Trainer; ``Plan(**memory_of(...).fields)`` takes it.

    Args:
        spec: What to train.
        model: From :func:`resolve_model`.
        machine: What it runs on.
        rows: In a batch of the device.
        halves: Whether it computes in 16 bits, by mixed precision.
        computing: In what the engine differs from Trainer (see :class:`ftsdk.forecast.TrainerProfile`): ``logit_rows``
            where its loss takes a chunk of logits at a time, ``plain_width`` where it widens what quantization leaves.
    """
    profile = TrainerProfile(
        width=2 if halves else 4,
        checkpointing=spec.compute.gradient_checkpointing is not False,
        cuda=machine.cuda,
        score_matrix=spec.compute.attention == "eager",
        **computing,
    )
    return estimate_memory(spec, config_of(*model), profile, rows=rows)


def integer_alpha(ledger: Ledger, native: str, engine: str) -> int:
    """LoRA's alpha, for an engine that takes whole numbers."""
    alpha = float(ledger.use("adapter.alpha", native))
    if not alpha.is_integer():
        ledger.refuse("adapter.alpha", f"{engine} takes whole numbers", f"{round(alpha)}")
    return int(alpha)


def warmup_steps(ledger: Ledger) -> float:
    """Steps; below 1, Transformers 5 reads a share of all steps."""
    steps, ratio = ledger.use("training.warmup_steps"), ledger.use("training.warmup_ratio", "warmup_steps")
    return float(ratio if steps is None else steps)


def cadence(ledger: Ledger) -> dict[str, Any]:
    """When to save, and to evaluate where rows are held out: Trainer's strategies and steps."""
    save_steps, eval_steps = ledger.use("training.save_steps"), ledger.use("training.eval_steps")
    ledger.use("val_size", "the runner's validation rows")
    ledger.use("eval_dataset", "the runner's validation rows")
    saving = {"save_strategy": "steps", "save_steps": save_steps or BLANK_SAVE_SHARE}
    if not holds_out(ledger):
        return {**saving, "eval_strategy": "no"}
    return {
        **saving,
        **({"eval_strategy": "steps", "eval_steps": eval_steps} if eval_steps else {"eval_strategy": "epoch"}),
    }


def holds_out(ledger: Ledger) -> bool:
    """Whether rows are held out."""
    return bool(ledger.spec.val_size) or ledger.spec.eval_dataset is not None


def precision(ledger: Ledger, machine: Machine, engine: str) -> dict[str, bool]:
    """Trainer's ``bf16`` and ``fp16``; ``auto`` is bfloat16 on a card, and neither on the CPU."""
    dtype = ledger.use("compute.dtype", "bf16, fp16")
    if dtype == "float16" and not machine.cuda:
        ledger.refuse("compute.dtype", "float16 trains on GPUs only", "auto or float32")
    if dtype == "bfloat16" and not machine.cuda:
        ledger.refuse("compute.dtype", f"{engine} trains in bfloat16 on GPUs only", "auto or float32")
    return {"bf16": dtype == "bfloat16" or (dtype == "auto" and machine.cuda), "fp16": dtype == "float16"}


def attention(ledger: Ledger, machine: Machine, native: str) -> str:
    """How attention is computed, as the spec names it."""
    attention: str = ledger.use("compute.attention", native)
    if attention == "flash_attention_2" and not machine.cuda:
        ledger.refuse("compute.attention", "flash attention runs on GPUs only", "auto")
    return attention


def refuse_common_fields(ledger: Ledger, engine: str) -> None:
    """Refuse what no engine does here: uploads, rows that cannot be read, NEFTune in other methods than SFT."""
    for field in ("push_to_hub", "hub_model_id"):
        if ledger.use(field):
            ledger.refuse(field, f"{engine} never uploads by itself here", "push the artifact once it is fetched")
    if ledger.spec.training.neftune_noise_alpha is not None and ledger.spec.method.type != "sft":
        ledger.refuse("training.neftune_noise_alpha", "noise on the embeddings is for sft", "leave it out")
    ledger.use("compute.timeout", "the worker's deadline")
    ledger.use("dataset", "the runner's rows")
    for field, dataset in (("dataset", ledger.spec.dataset), ("eval_dataset", ledger.spec.eval_dataset)):
        if dataset is not None:
            _refuse_rows(ledger, field, dataset)


def _refuse_rows(ledger: Ledger, field: str, dataset: Dataset) -> None:
    method = ledger.spec.method.type
    formats = FORMATS_OF_METHOD[method] | {"auto"}
    if dataset.format not in formats:
        ledger.refuse(f"{field}.format", f"{method} does not learn from this format", ", ".join(sorted(formats)))
    for path in dataset.paths:
        if "://" in path and not path.startswith(SCHEMES):
            ledger.refuse(f"{field}.path", "rows are not taken from there", f"give a file, or {', '.join(SCHEMES)}...")
    if dataset.chat_template and not Path(dataset.chat_template).expanduser().is_file():
        ledger.refuse(f"{field}.chat_template", f"there is no file {dataset.chat_template}", "give a Jinja file")


def task_of(ledger: Ledger, commits: Mapping[str, str], model: ModelReference) -> dict[str, Any]:
    """The request of a runner beside the engine's own configuration."""
    spec = ledger.spec
    return {
        "model": model.name,
        "model_revision": model.revision,
        "trust_remote_code": spec.trust_remote_code,
        "method": spec.method.type,
        "train_on": spec.method.train_on if isinstance(spec.method, SFT) else "completion",
        "max_length": spec.training.max_length,
        "max_new_tokens": getattr(spec.method, "max_new_tokens", 0),
        "adapter": spec.adapter is not None,
        "output": OUTPUT,
        "dataset": with_absolute_paths(spec.dataset, commits.get("dataset")).model_dump(mode="json"),
        "eval_dataset": spec.eval_dataset
        and with_absolute_paths(spec.eval_dataset, commits.get("eval_dataset")).model_dump(mode="json"),
        "val_size": spec.val_size,
        "seed": spec.training.seed,
    }


_MOST_ROWS = 4
"""Rows at a time on one device, where the spec does not say."""


def split_batch(ledger: Ledger, size: str, accumulation: str) -> dict[str, int]:
    """The two native fields whose product is ``training.global_batch_size``, on one device.

    Args:
        ledger: Has the spec; a size that does not divide the step is refused there.
        size: The engine's name for rows at a time.
        accumulation: Its name for batches in a step.
    """
    step_rows: int = ledger.use("training.global_batch_size", f"{size} x {accumulation}")
    batch_rows: int | None = ledger.use("compute.per_device_train_batch_size", size)
    rows = batch_rows or next(rows for rows in range(min(_MOST_ROWS, step_rows), 0, -1) if step_rows % rows == 0)
    if step_rows % rows:
        problem = f"training.global_batch_size={step_rows} cannot be made of batches of {rows}"
        ledger.refuse("compute.per_device_train_batch_size", problem, "a divisor of it")
    return {size: rows, accumulation: step_rows // rows}
