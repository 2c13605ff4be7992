"""The stages that every training of Transformers' Trainer shares: the machine, the callbacks, the run itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import EarlyStoppingCallback, Trainer, set_seed
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from ftsdk.errors import DataError
from ftsdk.job_folder import JobFolder
from ftsdk.modeling.loading import pick_device, versions
from ftsdk.modeling.memory import limit_memory
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.outcome import Stopped
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.batch_sizing import Fit
from ftsdk_local.train.common.callbacks import Narrate, SealCheckpoints, StopRequest, StopWhenAsked
from ftsdk_local.train.common.checkpoint import newest_sealed


class Trained(NamedTuple):
    """A trained model, ready to be exported."""

    model: Any
    tokenizer: Any


class Sealed(NamedTuple):
    """A checkpoint to go on from."""

    folder: Path
    facts: dict[str, Any]


def prepare_machine(settings: Settings) -> torch.device:
    """Pick the device, hold the process to its memory, and seed every source of chance."""
    device = pick_device()
    limit_memory(device, settings.memory_limit)
    set_seed(settings.arguments["seed"])
    return device


def check_vocabulary(model: Any, tokenizer: Any) -> None:
    """Raise a DataError where the tokenizer has tokens that the model has no embedding for."""
    rows_of_embedding = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows_of_embedding:
        raise DataError(
            f"the tokenizer knows {len(tokenizer)} tokens, but the model has embeddings for {rows_of_embedding}",
            hint="give the tokenizer that belongs to the model",
        )


def newest_checkpoint(folder: JobFolder) -> Sealed | None:
    """The checkpoint that a resumed job goes on from; None at the beginning."""
    found = newest_sealed(folder.checkpoints)
    return Sealed(*found) if found else None


def facts_of(fit: Fit) -> dict[str, Any]:
    """What a checkpoint seals, so that a resumed run computes the same sums in the same order."""
    return {
        "tokens_at_a_time": fit.micro_batch.tokens,
        "rows_at_a_time": fit.micro_batch.rows,
        "gradient_checkpointing": fit.gradient_checkpointing,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def warn_of_changes(facts: dict[str, Any], reporter: EventWriter) -> None:
    """Say what is other than when the checkpoint was sealed, and may change the last bits."""
    now = {"threads": torch.get_num_threads(), **versions()}
    before = {"threads": facts["threads"], **facts["versions"]}
    changed = [f"{name} {before[name]} -> {now.get(name)}" for name in before if before[name] != now.get(name)]
    if changed:
        reporter.warning(f"changed since the checkpoint, so the last bits may differ: {', '.join(changed)}")


def add_callbacks(
    trainer: Trainer,
    settings: Settings,
    reporter: EventWriter,
    stop: StopRequest,
    *,
    pace: Callable[[], tuple[int, float]],
    facts: Callable[[], dict[str, Any]],
) -> None:
    """Let a Trainer tell the reporter what it does, stop when asked, and seal its checkpoints.

    Args:
        trainer: Any trainer of Transformers or TRL.
        settings: The plan.
        reporter: Writes the events.
        stop: Whether it should stop.
        pace: Tokens seen, and seconds spent on them.
        facts: What each checkpoint seals; see :func:`facts_of`.
    """
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    trainer.add_callback(Narrate(reporter, pace))
    trainer.add_callback(StopWhenAsked(stop))
    trainer.add_callback(SealCheckpoints(reporter, facts))
    if settings.early_stopping_patience is not None:
        trainer.add_callback(EarlyStoppingCallback(settings.early_stopping_patience, settings.early_stopping_threshold))


def run_trainer(trainer: Trainer, sealed: Sealed | None, reporter: EventWriter, stop: StopRequest) -> None:
    """Train, from the checkpoint where there is one, and take a last look at the held-out rows.

    Raises:
        Stopped: It was asked to stop; a checkpoint is sealed.
    """
    if sealed:
        reporter.log(f"going on from {sealed.folder.name}")
        warn_of_changes(sealed.facts, reporter)
        trainer.args.eval_on_start = False
        trainer.args.max_steps = _end_of_patience(sealed.folder) or trainer.args.max_steps
    reporter.stage("training")
    trainer.train(resume_from_checkpoint=str(sealed.folder) if sealed else None)
    if stop.requested and trainer.state.global_step < trainer.state.max_steps:
        raise Stopped(stop.reason or "cancel")
    if trainer.eval_dataset is not None and not _evaluated_last(trainer):
        trainer.evaluate()


def _end_of_patience(checkpoint: Path) -> int | None:
    """The step at which early stopping has ended the run already, so that nothing but the export is left of it."""
    state = json.loads((checkpoint / TRAINER_STATE_NAME).read_text("utf-8"))
    early = state["stateful_callbacks"].get(EarlyStoppingCallback.__name__)
    if (
        early is None
        or early["attributes"]["early_stopping_patience_counter"] < early["args"]["early_stopping_patience"]
    ):
        return None
    return int(state["global_step"])


def _evaluated_last(trainer: Trainer) -> bool:
    """Whether the weights at hand were evaluated; an earlier, better checkpoint that was put back was not, just now."""
    state = trainer.state
    if trainer.args.load_best_model_at_end and state.best_global_step != state.global_step:
        return False
    return any("eval_loss" in entry and entry["step"] == state.global_step for entry in state.log_history)
