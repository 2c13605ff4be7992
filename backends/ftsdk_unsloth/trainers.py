"""TRL's trainers, as Unsloth patches them, made to learn from our tokens as they are."""

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from ftsdk.engines.batches import paired_batch, unpaired_batch
from ftsdk.engines.runner_support import RunnerError

Row = Mapping[str, Any]
Batch = dict[str, Any]

TOLD_OTHERWISE = frozenset({"report_to"})
"""Settings that come back as something else: ``none`` becomes an empty list."""


class Kind(NamedTuple):
    """What a method is to TRL."""

    room: str
    """The module that has ``NAMETrainer`` and ``NAMEConfig``."""
    name: str
    batch_of: Callable[..., Batch] | None = None
    """Makes a batch of rows, given the padding token; None: TRL's own way keeps the labels."""
    at_first: Mapping[str, Any] = {}
    """Arguments that TRL wants to be otherwise while the trainer is made."""


def make_trainer(config: Row, model: Any, tokenizer: Any, rows: Any, held: Any) -> Any:
    """The trainer of a method, with every setting as it was given.

    Args:
        config: The job's.
        model: With its adapter.
        tokenizer: Knows the padding token.
        rows: A dataset of tokens to learn from.
        held: The same to evaluate on, or None.

    Raises:
        Failure: TRL does not know a setting, or Unsloth has changed one, or the rows.
    """
    kind, given = KINDS[config["method"]], config["arguments"]
    room = importlib.import_module(kind.room)
    try:
        arguments = getattr(room, f"{kind.name}Config")(**{**given, **kind.at_first})
    except (TypeError, ValueError) as error:
        raise RunnerError("engine_error", f"TRL refuses the settings: {error}") from error
    trainer = _keeping(getattr(room, f"{kind.name}Trainer"))(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=held,
        processing_class=tokenizer,
        data_collator=kind.batch_of and partial(kind.batch_of, pad=tokenizer.pad_token_id),
    )
    for name in kind.at_first:
        setattr(trainer.args, name, given[name])
    _check_settings(trainer.args, given)
    _check_rows(trainer.train_dataset, rows)
    _check_rows(trainer.eval_dataset, held)
    return trainer


def _keeping(trainer: Any) -> Any:
    """The class, without the steps that would tokenize rows."""

    class Keeping(trainer):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

        def tokenize_row(self, row: Row, *_: Any, **__: Any) -> Row:
            return row

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """The artifact has a card of ours."""

    return Keeping


def _check_settings(found: Any, given: Row) -> None:
    wrong = [
        f"{name}={getattr(found, name)!r} instead of {value!r}"
        for name, value in given.items()
        if name not in TOLD_OTHERWISE and getattr(found, name) != value
    ]
    if wrong:
        raise RunnerError("engine_error", f"Unsloth would train with other settings: {', '.join(wrong)}")


def _check_rows(found: Any, given: Any) -> None:
    if found is given:
        return
    kept = len(found) == len(given) and all(
        all(ours[name] == theirs.get(name) for name in ours) for ours, theirs in zip(given, found, strict=True)
    )
    if not kept:
        raise RunnerError("engine_error", "Unsloth would learn from other rows than it was given")


KINDS = {
    "sft": Kind("trl", "SFT"),
    "dpo": Kind("trl", "DPO", paired_batch),
    # TRL pairs rows beforehand by their order, and so wants to keep it; here they are paired already
    "kto": Kind("trl", "KTO", unpaired_batch, {"train_sampling_strategy": "sequential"}),
    "orpo": Kind("trl.experimental.orpo", "ORPO"),
    "reward_modeling": Kind("trl", "Reward"),
}
"""From a method to what does it."""
