"""DPO, KTO and ORPO, from the plan to the trained model: the stages in their order. The losses are TRL's."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from ftsdk.job_folder import JobFolder
from ftsdk.modeling.loading import choose_attention, load_base, load_tokenizer, without_dropout
from ftsdk.spec import JobSpec
from ftsdk.workers.event_writer import EventWriter
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.adapter import prepare_adapter
from ftsdk_local.train.common.arguments import known_arguments
from ftsdk_local.train.common.batch_sizing import fit
from ftsdk_local.train.common.callbacks import StopRequest
from ftsdk_local.train.common.pairs import read_pairs
from ftsdk_local.train.common.reference import drop_reference, refuse_adapted_head, settle_reference
from ftsdk_local.train.common.sequences import Sequences, template_of
from ftsdk_local.train.common.stages import (
    Trained,
    add_callbacks,
    check_vocabulary,
    facts_of,
    newest_checkpoint,
    prepare_machine,
    run_trainer,
)
from ftsdk_local.train.common.trl import guest_of, tokenizer_for_trl, weights_kept
from ftsdk_local.train.preference.padding import Batch, dpo_batch, kto_batch, orpo_batch
from ftsdk_local.train.preference.trainers import KtoSteps, OrpoSteps, PreferenceSteps
from ftsdk_local.train.preference.unpaired import read_judged


class Kind(NamedTuple):
    """What a method is to TRL."""

    room: str
    """The module that has ``NAMETrainer`` and ``NAMEConfig``."""
    name: str
    steps: type[PreferenceSteps]
    """Ours, before TRL's."""
    read: Callable[..., Sequences[Any]]
    """Reads the units."""
    batch_of: Callable[[Any, int], Batch]
    rows: int
    """Rows of a unit."""
    compares: bool
    """With a reference."""
    arguments: Mapping[str, Any]
    """What TRL would else decide for us."""
    row: Mapping[str, Any]
    """One of the shape that TRL tokenizes."""


_QUESTION = [{"role": "user", "content": "1"}]
_ANSWER = [{"role": "assistant", "content": "2"}]
_PAIR = {"prompt": _QUESTION, "chosen": _ANSWER, "rejected": _ANSWER}
_COMPARING = {
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

KINDS = {
    "dpo": Kind(
        "trl", "DPO", PreferenceSteps, read_pairs, dpo_batch, 2, compares=True, arguments=_COMPARING | _DPO, row=_PAIR
    ),
    "kto": Kind(
        "trl",
        "KTO",
        KtoSteps,
        read_judged,
        kto_batch,
        1,
        compares=True,
        arguments=_COMPARING | {"loss_type": "kto", "train_sampling_strategy": "sequential"},
        row={"prompt": _QUESTION, "completion": _ANSWER, "label": True},
    ),
    "orpo": Kind(
        "trl.experimental.orpo",
        "ORPO",
        OrpoSteps,
        read_pairs,
        orpo_batch,
        2,
        compares=False,
        arguments={"generate_during_eval": False},
        row=_PAIR,
    ),
}
"""From a method to what does it; TRL's trainer is imported when it is its turn."""


def train(folder: JobFolder, spec: JobSpec, settings: Settings, reporter: EventWriter, stop: StopRequest) -> Trained:
    """Learn from preferences; go on from the newest sealed checkpoint where there is one.

    Raises:
        Stopped: It was asked to stop; a checkpoint is sealed.
        Failure: It cannot fit, or it diverged.
        DataError: Rows cannot be trained on.
        SpecError: The model cannot be trained so.
    """
    kind = KINDS[settings.method]

    # 1. The machine
    device = prepare_machine(settings)

    # 2. The rows
    reporter.stage("reading data")
    tokenizer = load_tokenizer(settings.model, template_of(settings.data.dataset))
    training, held_out = kind.read(settings, tokenizer, folder, reporter)

    # 3. The model; dropout stays in the adapter alone, as a reference with dropout would be none
    reporter.stage("loading model")
    base = load_base(settings.model, device, trains=settings.lora is None)
    check_vocabulary(base, tokenizer)
    choose_attention(base, settings.model.attention)
    without_dropout(base)
    model = prepare_adapter(base, settings)
    if kind.compares:
        refuse_adapted_head(model)

    # 4. How much at a time
    reporter.stage("preparing")
    sealed = newest_checkpoint(folder)
    fitting = fit(spec, settings, base, device, sealed.facts if sealed else None, rows=kind.rows)
    reporter.log(f"{device}: {fitting}")

    # 5. The trainer, and the reference beside it
    with guest_of(reporter):
        known = known_arguments(settings, folder, device, fitting, sequences=len(training), held_out=len(held_out))
        trainer = _trainer(
            kind,
            model,
            tokenizer,
            args=_config(kind, known, settings),
            micro_batch=fitting.micro_batch,
            warn=reporter.warning,
            **_whole_reference(kind, settings, device),
        )
        trainer.train_dataset, trainer.eval_dataset = training, held_out or None
        settle_reference(model, settings)
        add_callbacks(trainer, settings, reporter, stop, pace=trainer.pace, facts=lambda: facts_of(fitting))

        # 6. Training, and a last look at the held-out rows
        run_trainer(trainer, sealed, reporter, stop)
    drop_reference(model)
    return Trained(model, tokenizer)


def _config(kind: Kind, known: Mapping[str, Any], settings: Settings) -> Any:
    """TRL's config, in which every value that changes what is learned is ours."""
    config = getattr(importlib.import_module(kind.room), f"{kind.name}Config")
    return config(
        **known,
        **settings.options,
        **kind.arguments,
        max_length=settings.data.max_length,
        disable_dropout=False,
        prediction_loss_only=True,
    )


def _whole_reference(kind: Kind, settings: Settings, device: torch.device) -> dict[str, Any]:
    """The base once more, frozen, where every weight of the first one trains."""
    if settings.lora is not None or not kind.compares:
        return {}
    reference = load_base(settings.model, device, trains=True)
    choose_attention(reference, settings.model.attention)
    return {"ref_model": reference.requires_grad_(False)}


def _trainer(kind: Kind, model: Any, tokenizer: Any, **options: Any) -> Any:
    """Our steps before TRL's trainer.

    TRL tokenizes what its constructor is given. Our rows are tokens already, so it is given one row of no account, and
    ours take their place.
    """
    from datasets import Dataset  # noqa: PLC0415 - heavy

    theirs = getattr(importlib.import_module(kind.room), f"{kind.name}Trainer")
    ours = type(theirs.__name__, (kind.steps, theirs), {})
    its_own, row = tokenizer_for_trl(tokenizer), Dataset.from_list([dict(kind.row)])
    with weights_kept(model):
        trainer = ours(
            model=model,
            processing_class=its_own,
            train_dataset=row,
            eval_dataset=row,
            batch_of=kind.batch_of,
            pad=its_own.pad_token_id,
            **options,
        )
    trainer.aux_loss_enabled = False  # only what the spec names is learned
    trainer.processing_class = None  # the artifact has the tokenizer as it came
    return trainer
