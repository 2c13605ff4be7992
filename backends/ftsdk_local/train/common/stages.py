"""The stages that trainings share: the machine, the tokenizer, the callbacks, the run itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import EarlyStoppingCallback, Trainer, set_seed
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from ftsdk.errors import DataError
from ftsdk.modeling.loading import load_tokenizer, pick_device, versions
from ftsdk.modeling.memory import limit_memory
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.outcome import Stopped
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.batch_sizing import BatchSizing
from ftsdk_local.train.common.callbacks import EventCallback, SealCallback, StopCallback, StopRequest
from ftsdk_local.train.common.checkpoint import SealedCheckpoint
from ftsdk_local.train.common.sequences import read_template


class TrainedModel(NamedTuple):
    """A trained model, ready to be exported."""

    model: Any
    tokenizer: Any


def prepare_machine(settings: Settings) -> torch.device:
    """Pick the device, limit the process's memory, and seed every random generator."""
    device = pick_device()
    limit_memory(device, settings.memory_limit)
    # Seeded before the model is made: new adapters, dropout and noise draw from these generators. A resumed run seeds
    # them in the same way and then takes their states from the checkpoint, so its first draws do not matter.
    set_seed(settings.arguments["seed"])
    return device


def prepare_tokenizer(settings: Settings) -> Any:
    """The model's tokenizer, with the chat template of the dataset where it names one."""
    return load_tokenizer(settings.model, read_template(settings.data.dataset))


def check_vocabulary(model: Any, tokenizer: Any) -> None:
    """Raise a DataError where the tokenizer has tokens that the model has no embedding for."""
    embeddings = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > embeddings:
        raise DataError(
            f"the tokenizer has {len(tokenizer)} tokens, but the model has embeddings for {embeddings}",
            hint="use the tokenizer that belongs to the model",
        )


def checkpoint_facts(sizing: BatchSizing) -> dict[str, Any]:
    """What a checkpoint seals, so that a resumed run computes the same sums in the same order."""
    # Additions of floats do not commute: another micro-batch, another number of threads or another version of a
    # library gives sums that differ in their last bits, and after some steps losses that differ visibly. The first
    # two are restored or compared, the last is compared. Old jobs are resumed by these keys: never rename them.
    return {
        "tokens_at_a_time": sizing.micro_batch.tokens,
        "rows_at_a_time": sizing.micro_batch.rows,
        "gradient_checkpointing": sizing.gradient_checkpointing,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def warn_of_changes(facts: dict[str, Any], reporter: EventWriter) -> None:
    """Warn of what has changed since the checkpoint was sealed, and may change the last bits."""
    now = {"threads": torch.get_num_threads(), **versions()}
    before = {"threads": facts["threads"], **facts["versions"]}
    changes = [f"{name} {before[name]} -> {now.get(name)}" for name in before if before[name] != now.get(name)]
    if changes:
        reporter.warning(f"changed since the checkpoint, so the last bits may differ: {', '.join(changes)}")


def add_callbacks(
    trainer: Trainer,
    settings: Settings,
    reporter: EventWriter,
    stop: StopRequest,
    *,
    throughput: Callable[[], tuple[int, float]],
    facts: Callable[[], dict[str, Any]],
) -> None:
    """Let a Trainer write events, stop on request, and seal its checkpoints.

    Args:
        trainer: Any trainer of Transformers or TRL.
        settings: The plan.
        reporter: Writes the events.
        stop: Whether a stop was requested.
        throughput: Tokens processed, and seconds spent on them.
        facts: What each checkpoint seals; see :func:`checkpoint_facts`.
    """
    # Both would print to the worker's log what is in the events already.
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(EventCallback(reporter, throughput))
    trainer.add_callback(StopCallback(stop))
    trainer.add_callback(SealCallback(reporter, facts))
    if settings.early_stopping_patience is not None:
        trainer.add_callback(EarlyStoppingCallback(settings.early_stopping_patience, settings.early_stopping_threshold))


def run_trainer(
    trainer: Trainer, checkpoint: SealedCheckpoint | None, reporter: EventWriter, stop: StopRequest
) -> None:
    """Train, from the checkpoint where there is one, and evaluate the held-out rows once more.

    Raises:
        Stopped: A stop was requested; a checkpoint is sealed.
    """
    if checkpoint:
        reporter.log(f"resuming from {checkpoint.folder.name}")
        warn_of_changes(checkpoint.facts, reporter)
        # The first attempt has evaluated the untrained model; Trainer would evaluate again at every start, and the
        # evaluation would count for early stopping.
        trainer.args.eval_on_start = False
        trainer.args.max_steps = _early_stopping_step(checkpoint.folder) or trainer.args.max_steps
    reporter.stage("training")
    trainer.train(resume_from_checkpoint=str(checkpoint.folder) if checkpoint else None)
    if stop.requested and trainer.state.global_step < trainer.state.max_steps:
        raise Stopped(stop.reason or "cancel")
    if trainer.eval_dataset is not None and not _evaluated_last(trainer):
        trainer.evaluate()


def _early_stopping_step(checkpoint: Path) -> int | None:
    """The step at which early stopping has ended the run already; None where it has not."""
    # Killed between the last step and the export, a stopped run would be resumed and train on: the callback counts
    # evaluations, but asks for the end only at the next one. Trainer ends at once where max_steps is reached.
    state = json.loads((checkpoint / TRAINER_STATE_NAME).read_text("utf-8"))
    early = state["stateful_callbacks"].get(EarlyStoppingCallback.__name__)
    if (
        early is None
        or early["attributes"]["early_stopping_patience_counter"] < early["args"]["early_stopping_patience"]
    ):
        return None
    return int(state["global_step"])


def _evaluated_last(trainer: Trainer) -> bool:
    """Whether the current weights were evaluated at the last step."""
    state = trainer.state
    # load_best_model_at_end has put an earlier checkpoint back: the last evaluation was of other weights.
    if trainer.args.load_best_model_at_end and state.best_global_step != state.global_step:
        return False
    return any("eval_loss" in entry and entry["step"] == state.global_step for entry in state.log_history)
