"""Reward modeling, from the plan to the trained scorer: the stages in their order."""

from ftsdk.data.encoding import choose_padding
from ftsdk.job_folder import JobFolder
from ftsdk.modeling.loading import load_scorer, load_tokenizer
from ftsdk.modeling.objective import find_route
from ftsdk.modeling.pair_objective import PairObjective, ends_of
from ftsdk.spec import JobSpec
from ftsdk.workers.event_writer import EventWriter
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.adapter import prepare_adapter
from ftsdk_local.train.common.arguments import training_arguments
from ftsdk_local.train.common.batch_sizing import fit
from ftsdk_local.train.common.callbacks import StopRequest
from ftsdk_local.train.common.pairs import read_pairs
from ftsdk_local.train.common.row_trainer import RowTrainer
from ftsdk_local.train.common.sequences import template_of
from ftsdk_local.train.common.stages import (
    Trained,
    add_callbacks,
    check_vocabulary,
    facts_of,
    newest_checkpoint,
    prepare_machine,
    run_trainer,
)


def train(folder: JobFolder, spec: JobSpec, settings: Settings, reporter: EventWriter, stop: StopRequest) -> Trained:
    """Train a reward model on pairs; go on from the newest sealed checkpoint where there is one.

    Raises:
        Stopped: It was asked to stop; a checkpoint is sealed.
        Failure: It cannot fit, it diverged, or the architecture has no score head.
        DataError: Rows cannot be compared.
    """
    # 1. The machine
    device = prepare_machine(settings)

    # 2. The pairs
    reporter.stage("reading data")
    tokenizer = load_tokenizer(settings.model, template_of(settings.data.dataset))
    training, held_out = read_pairs(settings, tokenizer, folder, reporter)
    choose_padding(tokenizer, ends_of([*training, *held_out]))

    # 3. The model
    reporter.stage("loading model")
    base = load_scorer(settings.model, device, trains=settings.lora is None)
    check_vocabulary(base, tokenizer)
    base.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    model = prepare_adapter(base, settings)

    # 4. How to compute the scores, and how much at a time
    reporter.stage("preparing")
    sealed = newest_checkpoint(folder)
    route = find_route(base, training[0][0].rows, settings.model.attention)
    fitting = fit(spec, settings, base, device, sealed.facts if sealed else None, rows=2)
    reporter.log(f"{device}: {route}, {fitting}")

    # 5. The trainer
    trainer = RowTrainer(
        model=model,
        args=training_arguments(settings, folder, device, fitting, sequences=len(training), held_out=len(held_out)),
        train_dataset=training,
        eval_dataset=held_out or None,
        objective=PairObjective(base, route, settings.options["center_rewards_coefficient"]),
        micro_batch=fitting.micro_batch,
        warn=reporter.warning,
    )
    add_callbacks(trainer, settings, reporter, stop, pace=trainer.pace, facts=lambda: facts_of(fitting))

    # 6. Training, and a last look at the held-out pairs
    run_trainer(trainer, sealed, reporter, stop)
    return Trained(model, tokenizer)
