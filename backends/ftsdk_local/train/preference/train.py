"""DPO, KTO and ORPO, from the plan to the trained model: the stages in their order. The losses are TRL's."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from ftsdk.job_folder import JobFolder
from ftsdk.modeling.loading import choose_attention, load_base
from ftsdk.spec import JobSpec
from ftsdk.workers.event_writer import EventWriter
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.adapter import prepare_adapter
from ftsdk_local.train.common.arguments import complete_arguments
from ftsdk_local.train.common.batch_sizing import size_batches
from ftsdk_local.train.common.callbacks import StopRequest
from ftsdk_local.train.common.checkpoint import newest_sealed
from ftsdk_local.train.common.reference import configure_reference, drop_reference, refuse_adapted_head
from ftsdk_local.train.common.sequences import Sequences, read_pairs
from ftsdk_local.train.common.stages import (
    TrainedModel,
    add_callbacks,
    checkpoint_facts,
    prepare_machine,
    prepare_tokenizer,
    run_trainer,
)
from ftsdk_local.train.common.trl import load_trl_base, preserve_weights, quiet_trl, tokenizer_for_trl
from ftsdk_local.train.preference.padding import Batch, dpo_batch, kto_batch, orpo_batch
from ftsdk_local.train.preference.trainers import KtoStepTrainer, OrpoStepTrainer, PreferenceTrainer
from ftsdk_local.train.preference.unpaired import read_unpaired


class PreferenceMethod(NamedTuple):
    """A preference method as TRL has it."""

    trainer_module: str
    """The module of TRL with ``NAMETrainer`` and ``NAMEConfig``."""
    name: str
    step_trainer: type[PreferenceTrainer]
    """Mixed in before TRL's trainer."""
    read: Callable[..., Sequences[Any]]
    """Reads the units."""
    batch_of: Callable[[Any, int], Batch]
    rows: int
    """Rows of a unit."""
    has_reference: bool
    arguments: Mapping[str, Any]
    """Arguments that TRL would otherwise set to its own defaults."""
    sample_row: Mapping[str, Any]
    """A row of the format that TRL tokenizes."""


_QUESTION = [{"role": "user", "content": "1"}]
_ANSWER = [{"role": "assistant", "content": "2"}]
_PAIR = {"prompt": _QUESTION, "chosen": _ANSWER, "rejected": _ANSWER}
_WITH_REFERENCE = {
    "pad_to_multiple_of": None,
    "precompute_ref_log_probs": False,
    "activation_offloading": False,
    "sync_ref_model": False,
}
_DPO = {
    "truncation_mode": "keep_start",
    "padding_free": False,
    "ld_alpha": None,
    "f_divergence_type": "reverse_kl",
    "use_weighting": False,
}

METHODS = {
    "dpo": PreferenceMethod(
        "trl",
        "DPO",
        PreferenceTrainer,
        read_pairs,
        dpo_batch,
        2,
        has_reference=True,
        arguments=_WITH_REFERENCE | _DPO,
        sample_row=_PAIR,
    ),
    "kto": PreferenceMethod(
        "trl",
        "KTO",
        KtoStepTrainer,
        read_unpaired,
        kto_batch,
        1,
        has_reference=True,
        arguments=_WITH_REFERENCE | {"loss_type": "kto", "train_sampling_strategy": "sequential"},
        sample_row={"prompt": _QUESTION, "completion": _ANSWER, "label": True},
    ),
    "orpo": PreferenceMethod(
        "trl.experimental.orpo",
        "ORPO",
        OrpoStepTrainer,
        read_pairs,
        orpo_batch,
        2,
        has_reference=False,
        arguments={"generate_during_eval": False},
        sample_row=_PAIR,
    ),
}
"""From a method's type; TRL's trainer is imported only for the method that runs."""


def train(
    folder: JobFolder, spec: JobSpec, settings: Settings, reporter: EventWriter, stop: StopRequest
) -> TrainedModel:
    """Learn from preferences; continue from the newest sealed checkpoint where there is one.

    Raises:
        Stopped: A stop was requested; a checkpoint is sealed.
        WorkerError: It cannot fit, or it diverged.
        DataError: Rows cannot be trained on.
        SpecError: The model cannot be trained with these settings.
    """
    method = METHODS[settings.method]

    # 1. The machine
    device = prepare_machine(settings)

    # 2. The rows
    reporter.stage("reading data")
    tokenizer = prepare_tokenizer(settings)
    training, held_out = method.read(settings, tokenizer, folder, reporter)

    # 3. The model
    reporter.stage("loading model")
    base = load_trl_base(settings, tokenizer, device)
    model = prepare_adapter(base, settings)
    if method.has_reference:
        refuse_adapted_head(model)

    # 4. How much at a time
    reporter.stage("preparing")
    checkpoint = newest_sealed(folder.checkpoints)
    sizing = size_batches(spec, settings, base, device, checkpoint, rows=method.rows)
    reporter.log(f"{device}: {sizing}")

    # 5. The trainer, with its reference
    with quiet_trl(reporter):
        arguments = complete_arguments(
            settings, folder, device, sizing, sequences=len(training), held_out=len(held_out)
        )
        trainer = _make_trainer(
            method,
            model,
            tokenizer,
            args=_make_config(method, arguments, settings),
            micro_batch=sizing.micro_batch,
            warn=reporter.warning,
            **_full_reference(method, settings, device),
        )
        trainer.train_dataset, trainer.eval_dataset = training, held_out or None
        configure_reference(model, settings)
        add_callbacks(
            trainer, settings, reporter, stop, throughput=trainer.throughput, facts=lambda: checkpoint_facts(sizing)
        )

        # 6. Training, and a final evaluation of the held-out rows
        run_trainer(trainer, checkpoint, reporter, stop)
    drop_reference(model)
    return TrainedModel(model, tokenizer)


def _make_config(method: PreferenceMethod, arguments: Mapping[str, Any], settings: Settings) -> Any:
    """TRL's config, with every value set that changes what is learned."""
    config = getattr(importlib.import_module(method.trainer_module), f"{method.name}Config")
    return config(
        **arguments,
        **settings.options,
        **method.arguments,
        max_length=settings.data.max_length,
        disable_dropout=False,  # it would switch off the adapter's dropout, which the spec sets; the base has none
        prediction_loss_only=True,
    )


def _full_reference(method: PreferenceMethod, settings: Settings, device: torch.device) -> dict[str, Any]:
    """The base once more, frozen, where every weight of the first one trains."""
    if settings.lora is not None or not method.has_reference:
        return {}
    # In float32, as the policy: rounded to another precision, the reference would differ from the untrained policy.
    reference = load_base(settings.model, device, trains=True)
    choose_attention(reference, settings.model.attention)
    return {"ref_model": reference.requires_grad_(False)}


def _make_trainer(method: PreferenceMethod, model: Any, tokenizer: Any, **options: Any) -> Any:
    """TRL's trainer with ours mixed in before it."""
    from datasets import Dataset  # noqa: PLC0415 - heavy

    # Ours first in the method resolution order: its training_step, evaluate and log replace TRL's, and super() reaches
    # TRL's losses. The class keeps TRL's name, which Trainer writes into its state.
    trl_trainer = getattr(importlib.import_module(method.trainer_module), f"{method.name}Trainer")
    trainer_class = type(trl_trainer.__name__, (method.step_trainer, trl_trainer), {})
    # TRL's constructor tokenizes the dataset that it is given, by rules of its own. Our rows are tokens already, so it
    # is given one sample row, and the caller puts our rows in its place.
    padding_tokenizer, row = tokenizer_for_trl(tokenizer), Dataset.from_list([dict(method.sample_row)])
    with preserve_weights(model):
        trainer = trainer_class(
            model=model,
            processing_class=padding_tokenizer,
            train_dataset=row,
            eval_dataset=row,
            batch_of=method.batch_of,
            pad=padding_tokenizer.pad_token_id,
            **options,
        )
    # TRL adds the load-balancing loss of mixtures of experts where the model's config has a coefficient; no other
    # method of the engine does, and a spec cannot set it.
    trainer.aux_loss_enabled = False
    trainer.processing_class = None  # Trainer would save the copy, with its padding token, into every checkpoint
    return trainer
