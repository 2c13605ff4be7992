"""Supervised fine-tuning, from the plan to the trained model: the stages in their order."""

from ftsdk.job_folder import JobFolder
from ftsdk.modeling.loading import load_base
from ftsdk.modeling.objective import Objective, find_route
from ftsdk.modeling.qat import round_linears
from ftsdk.spec import JobSpec
from ftsdk.workers.event_writer import EventWriter
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.adapter import prepare_adapter
from ftsdk_local.train.common.arguments import training_arguments
from ftsdk_local.train.common.batch_sizing import size_batches
from ftsdk_local.train.common.callbacks import StopRequest
from ftsdk_local.train.common.checkpoint import newest_sealed
from ftsdk_local.train.common.row_trainer import RowTrainer
from ftsdk_local.train.common.sequences import read_sequences
from ftsdk_local.train.common.stages import (
    TrainedModel,
    add_callbacks,
    check_vocabulary,
    checkpoint_facts,
    prepare_machine,
    prepare_tokenizer,
    run_trainer,
)


def train(
    folder: JobFolder, spec: JobSpec, settings: Settings, reporter: EventWriter, stop: StopRequest
) -> TrainedModel:
    """Run supervised fine-tuning; continue from the newest sealed checkpoint where there is one.

    Raises:
        Stopped: A stop was requested; a checkpoint is sealed.
        WorkerError: It cannot fit, or it diverged.
        DataError: Rows cannot be trained on.
    """
    # 1. The machine
    device = prepare_machine(settings)

    # 2. The rows
    reporter.stage("reading data")
    tokenizer = prepare_tokenizer(settings)
    training, held_out = read_sequences(settings, tokenizer, folder, reporter)

    # 3. The model
    reporter.stage("loading model")
    base = load_base(settings.model, device, trains=settings.lora is None)
    check_vocabulary(base, tokenizer)
    model = prepare_adapter(base, settings)
    if settings.quantization_aware:
        layers = round_linears(model, settings.quantization_aware)
        reporter.log(f"{layers} linear layers compute with weights rounded to {settings.quantization_aware}")

    # 4. How to compute the loss, and how much at a time
    reporter.stage("preparing")
    checkpoint = newest_sealed(folder.checkpoints)
    route = find_route(base, [sequence[0] for sequence in training], settings.model.attention)
    sizing = size_batches(spec, settings, base, device, checkpoint)
    if not route.end_to_end:
        sizing.micro_batch.rows = 1
    reporter.log(f"{device}: {route}, {sizing}")

    # 5. The trainer
    trainer = RowTrainer(
        model=model,
        args=training_arguments(settings, folder, device, sizing, sequences=len(training), held_out=len(held_out)),
        train_dataset=training,
        eval_dataset=held_out or None,
        objective=Objective(base, route),
        micro_batch=sizing.micro_batch,
        neftune_alpha=settings.neftune_noise_alpha,
        warn=reporter.warning,
    )
    add_callbacks(
        trainer, settings, reporter, stop, throughput=trainer.throughput, facts=lambda: checkpoint_facts(sizing)
    )

    # 6. Training, and a final evaluation of the held-out rows
    run_trainer(trainer, checkpoint, reporter, stop)
    return TrainedModel(model, tokenizer)
