"""Supervised fine-tuning, from the plan to the artifact: the stages in their order."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import EarlyStoppingCallback, set_seed
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from ftsdk.errors import DataError
from ftsdk.spec import JobSpec
from ftsdk_local.engine.arguments import training_arguments
from ftsdk_local.engine.callbacks import Narrate, SealCheckpoints, StopRequest, StopWhenAsked
from ftsdk_local.engine.checkpoint import newest_sealed
from ftsdk_local.engine.fit import fit
from ftsdk_local.engine.memory import limit_memory
from ftsdk_local.engine.model import add_adapter, load_base, load_tokenizer, pick_device, versions
from ftsdk_local.engine.objective import Objective, find_route
from ftsdk_local.engine.sequences import read_sequences, template_of
from ftsdk_local.engine.trainer import RowTrainer
from ftsdk_local.folder import JobFolder
from ftsdk_local.outcome import Stopped
from ftsdk_local.report import Reporter
from ftsdk_local.settings import Settings


class Trained(NamedTuple):
    """A trained model, ready to be exported."""

    model: Any
    tokenizer: Any


def train(folder: JobFolder, spec: JobSpec, settings: Settings, reporter: Reporter, stop: StopRequest) -> Trained:
    """Run supervised fine-tuning; go on from the newest sealed checkpoint where there is one.

    Raises:
        Stopped: It was asked to stop; a checkpoint is sealed.
        Failure: It cannot fit, or it diverged.
        DataError: Rows cannot be trained on.
    """
    # 1. The machine
    device = pick_device()
    limit_memory(device, settings.memory_limit)
    set_seed(settings.arguments["seed"])

    # 2. The rows
    reporter.stage("reading data")
    tokenizer = load_tokenizer(settings.model, template_of(settings.data.dataset))
    training, held_out = read_sequences(settings, tokenizer, folder, reporter)

    # 3. The model
    reporter.stage("loading model")
    base = load_base(settings.model, device, trains=settings.lora is None)
    _check_vocabulary(base, tokenizer)
    model = add_adapter(base, settings.lora)

    # 4. How to compute the loss, and how much at a time
    reporter.stage("preparing")
    resumed, sealed = newest_sealed(folder.checkpoints) or (None, None)
    route = find_route(base, [sequence[0] for sequence in training], settings.model.attention)
    micro_batch, checkpointing = fit(spec, settings, base, device, sealed)
    if not route.end_to_end:
        micro_batch.rows = 1
    reporter.log(f"{device}: {route}, {micro_batch}, gradient checkpointing {'on' if checkpointing else 'off'}")

    # 5. The trainer
    arguments = training_arguments(
        settings, folder, device, sequences=len(training), held_out=len(held_out), checkpointing=checkpointing
    )
    trainer = RowTrainer(
        model=model,
        args=arguments,
        train_dataset=training,
        eval_dataset=held_out or None,
        objective=Objective(base, route),
        micro_batch=micro_batch,
        neftune_alpha=settings.neftune_noise_alpha,
        warn=reporter.warning,
    )
    _add_callbacks(trainer, settings, reporter, stop)
    if resumed and sealed:
        reporter.log(f"going on from {resumed.name}")
        _warn_of_changes(sealed, reporter)
        arguments.eval_on_start = False
        arguments.max_steps = _end_of_patience(resumed) or arguments.max_steps

    # 6. Training, and a last look at the held-out rows
    reporter.stage("training")
    trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    if stop.requested and trainer.state.global_step < trainer.state.max_steps:
        raise Stopped(stop.why or "cancel")
    if held_out and not _evaluated_last(trainer):
        trainer.evaluate()
    return Trained(model, tokenizer)


def _check_vocabulary(model: Any, tokenizer: Any) -> None:
    rows_of_embedding = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows_of_embedding:
        raise DataError(
            f"the tokenizer knows {len(tokenizer)} tokens, but the model has embeddings for {rows_of_embedding}",
            hint="give the tokenizer that belongs to the model",
        )


def _add_callbacks(trainer: RowTrainer, settings: Settings, reporter: Reporter, stop: StopRequest) -> None:
    def facts() -> dict[str, Any]:
        return {
            "tokens_at_a_time": trainer.micro_batch.tokens,
            "rows_at_a_time": trainer.micro_batch.rows,
            "gradient_checkpointing": trainer.args.gradient_checkpointing,
            "threads": torch.get_num_threads(),
            "versions": versions(),
        }

    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    trainer.add_callback(Narrate(reporter, lambda: (trainer.tokens_seen, trainer.seconds)))
    trainer.add_callback(StopWhenAsked(stop))
    trainer.add_callback(SealCheckpoints(reporter, facts))
    if settings.early_stopping_patience is not None:
        trainer.add_callback(EarlyStoppingCallback(settings.early_stopping_patience, settings.early_stopping_threshold))


def _warn_of_changes(facts: dict[str, Any], reporter: Reporter) -> None:
    now = {"threads": torch.get_num_threads(), **versions()}
    before = {"threads": facts["threads"], **facts["versions"]}
    changed = [f"{name} {before[name]} -> {now.get(name)}" for name in before if before[name] != now.get(name)]
    if changed:
        reporter.warning(f"changed since the checkpoint, so the last bits may differ: {', '.join(changed)}")


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


def _evaluated_last(trainer: RowTrainer) -> bool:
    """Whether the weights at hand were evaluated; an earlier, better checkpoint that was put back was not, just now."""
    state = trainer.state
    if trainer.args.load_best_model_at_end and state.best_global_step != state.global_step:
        return False
    return any("eval_loss" in entry and entry["step"] == state.global_step for entry in state.log_history)
