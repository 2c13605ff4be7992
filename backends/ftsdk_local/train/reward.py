"""Reward modeling, from the plan to the trained scorer: the stages in their order."""

from ftsdk.data.row_labels import choose_padding
from ftsdk.job_folder import JobFolder
from ftsdk.modeling.loading import load_scorer
from ftsdk.modeling.objective import find_route
from ftsdk.modeling.pair_objective import PairObjective, end_tokens
from ftsdk.spec import JobSpec
from ftsdk.workers.event_writer import EventWriter
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.adapter import prepare_adapter
from ftsdk_local.train.common.arguments import training_arguments
from ftsdk_local.train.common.batch_sizing import size_batches
from ftsdk_local.train.common.callbacks import StopRequest
from ftsdk_local.train.common.checkpoint import newest_sealed
from ftsdk_local.train.common.row_trainer import RowTrainer
from ftsdk_local.train.common.sequences import read_pairs
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
    """Train a reward model on pairs; continue from the newest sealed checkpoint where there is one.

    Raises:
        Stopped: A stop was requested; a checkpoint is sealed.
        WorkerError: It cannot fit, it diverged, or the architecture has no score head.
        DataError: Rows cannot be compared.
    """
    # 1. The machine
    device = prepare_machine(settings)

    # 2. The pairs
    reporter.stage("reading data")
    tokenizer = prepare_tokenizer(settings)
    training, held_out = read_pairs(settings, tokenizer, folder, reporter)
    # Transformers' classification models read the score at the last token that is not padding: no row may end with it.
    choose_padding(tokenizer, end_tokens([*training, *held_out]))

    # 3. The model
    reporter.stage("loading model")
    base = load_scorer(settings.model, device, trains=settings.lora is None)
    check_vocabulary(base, tokenizer)
    base.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    model = prepare_adapter(base, settings)

    # 4. How to compute the scores, and how much at a time
    reporter.stage("preparing")
    checkpoint = newest_sealed(folder.checkpoints)
    route = find_route(base, training[0][0].rows, settings.model.attention)
    sizing = size_batches(spec, settings, base, device, checkpoint, rows=2)
    reporter.log(f"{device}: {route}, {sizing}")

    # 5. The trainer
    trainer = RowTrainer(
        model=model,
        args=training_arguments(settings, folder, device, sizing, sequences=len(training), held_out=len(held_out)),
        train_dataset=training,
        eval_dataset=held_out or None,
        objective=PairObjective(base, route, settings.options["center_rewards_coefficient"]),
        micro_batch=sizing.micro_batch,
        warn=reporter.warning,
    )
    add_callbacks(
        trainer, settings, reporter, stop, throughput=trainer.throughput, facts=lambda: checkpoint_facts(sizing)
    )

    # 6. Training, and a final evaluation of the held-out pairs
    run_trainer(trainer, checkpoint, reporter, stop)
    return TrainedModel(model, tokenizer)
