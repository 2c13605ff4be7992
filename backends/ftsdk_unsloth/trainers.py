"""TRL's trainers, as Unsloth patches them, changed to train on our tokens as they are.

This module is copied beside Unsloth, into its own Python.
"""

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from ftsdk.engines.batches import paired_batch, unpaired_batch
from ftsdk.engines.runner_support import RunnerError

Row = Mapping[str, Any]
Batch = dict[str, Any]

_NOT_COMPARED = frozenset({"report_to"})
"""Settings that are read back as another value: ``none`` becomes an empty list."""


class TrainerKind(NamedTuple):
    """TRL's trainer of a method."""

    module: str
    """The module that has ``NAMETrainer`` and ``NAMEConfig``."""
    name: str
    batch_of: Callable[..., Batch] | None = None
    """Makes a batch of rows, given the padding token; None: TRL's own way keeps the labels."""
    initial_arguments: Mapping[str, Any] = {}
    """Arguments that TRL requires while the trainer is created; the requested ones are set after it."""


def make_trainer(config: Row, model: Any, tokenizer: Any, rows: Any, held_out: Any) -> Any:
    """The trainer of a method, with every setting as requested.

    Args:
        config: The job's.
        model: With its adapter.
        tokenizer: Knows the padding token.
        rows: A dataset of tokens to train on.
        held_out: The same to evaluate on, or None.

    Raises:
        RunnerError: TRL does not know a setting, or Unsloth has changed one, or the rows.
    """
    kind, requested = TRAINERS[config["method"]], config["arguments"]
    module = importlib.import_module(kind.module)
    try:
        arguments = getattr(module, f"{kind.name}Config")(**{**requested, **kind.initial_arguments})
    except (TypeError, ValueError) as error:
        raise RunnerError("engine_error", f"TRL refuses the settings: {error}") from error
    trainer = _without_preparation(getattr(module, f"{kind.name}Trainer"))(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=held_out,
        processing_class=tokenizer,
        data_collator=kind.batch_of and partial(kind.batch_of, pad=tokenizer.pad_token_id),
    )
    for name in kind.initial_arguments:
        setattr(trainer.args, name, requested[name])
    _check_settings(trainer.args, requested)
    _check_rows(trainer.train_dataset, rows)
    _check_rows(trainer.eval_dataset, held_out)
    return trainer


def _without_preparation(trainer: Any) -> Any:
    """The class, without the steps that would tokenize rows again."""

    class WithoutPreparation(trainer):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

        def tokenize_row(self, row: Row, *_: Any, **__: Any) -> Row:
            return row

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """None: the artifact has ftsdk's own."""

    return WithoutPreparation


def _check_settings(actual: Any, requested: Row) -> None:
    wrong = [
        f"{name}={getattr(actual, name)!r} instead of {value!r}"
        for name, value in requested.items()
        if name not in _NOT_COMPARED and getattr(actual, name) != value
    ]
    if wrong:
        raise RunnerError("engine_error", f"Unsloth would train with other settings: {', '.join(wrong)}")


def _check_rows(actual: Any, requested: Any) -> None:
    if actual is requested:
        return
    unchanged = len(actual) == len(requested) and all(
        all(row[name] == actual_row.get(name) for name in row)
        for row, actual_row in zip(requested, actual, strict=True)
    )
    if not unchanged:
        raise RunnerError("engine_error", "Unsloth would train on other rows than it was given")


TRAINERS = {
    "sft": TrainerKind("trl", "SFT"),
    "dpo": TrainerKind("trl", "DPO", paired_batch),
    # TRL pairs rows by their order, and so requires to keep it; here they are paired already
    "kto": TrainerKind("trl", "KTO", unpaired_batch, {"train_sampling_strategy": "sequential"}),
    "orpo": TrainerKind("trl.experimental.orpo", "ORPO"),
    "reward_modeling": TrainerKind("trl", "Reward"),
}
"""From a method to its trainer."""
