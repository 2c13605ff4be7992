"""Map the fields of a spec to a trainer's inputs: each is sent, true of the trainer anyway, or refused. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ftsdk.backend import PlanNote
from ftsdk.translation.ledger import Ledger
from ftsdk_replicate import names
from ftsdk_replicate.profile import Profile
from ftsdk_replicate.schema import TrainerInput

SECTION = "backend_options.replicate"
_ALWAYS = "what the trainer always does"


class TrainerVersion(NamedTuple):
    """One version of a trainer, and what is known of it."""

    inputs: Mapping[str, TrainerInput]
    profile: Profile
    """With the options merged into it."""


def map_inputs(ledger: Ledger, trainer: TrainerVersion) -> dict[str, str]:
    """From each input that a field of the spec decides to that field."""
    field_map = trainer.profile.field_map
    for name in sorted(field_map.keys() - trainer.inputs.keys()):
        ledger.refuse(f"{SECTION}.field_map", f"the trainer has no input {name}", "see its inputs in the plan's error")
    mapped = {name: field for name, field in field_map.items() if name in trainer.inputs}
    for name, input_ in trainer.inputs.items():
        field = names.field_of(input_)
        if field and name not in mapped and name not in trainer.profile.constants and field not in mapped.values():
            mapped[name] = field
    return mapped


def send_fields(ledger: Ledger, trainer: TrainerVersion, mapped: Mapping[str, str]) -> dict[str, Any]:
    """The values of a spec by the names of the trainer's inputs."""
    values = {}
    for name, field in mapped.items():
        if field in ("dataset", "eval_dataset") or not ledger.has(field):
            continue
        value = _native(trainer, name, ledger.value(field))
        if value is None:
            ledger.use(field, f"{name}, left out")
        elif not (problem := trainer.inputs[name].problem_with(value)):
            ledger.use(field, name)
            values[name] = value
        elif ledger.is_set(field):
            ledger.refuse("method" if field == "method.type" else field, problem)
        else:
            ledger.backend_defaults.append(
                PlanNote(field, f"{problem}; its default is {trainer.inputs[name].default!r}")
            )
    return values


def _native(trainer: TrainerVersion, name: str, value: Any) -> Any:
    """A value in the trainer's own words and type; None: it is not sent, because Replicate refuses null."""
    words = trainer.profile.value_map.get(name, {})
    word = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return trainer.inputs[name].converted(words.get(word, value))


def send_constants(ledger: Ledger, trainer: TrainerVersion) -> dict[str, Any]:
    """The profile's fixed values."""
    constants: dict[str, Any] = {}
    for name, value in trainer.profile.constants.items():
        input_ = trainer.inputs.get(name)
        where = f"{SECTION}.constants.{name}"
        if input_ is None or name in names.NEVER:
            ledger.refuse(where, f"the trainer has no input {name}, and Replicate would drop it without a word")
        elif problem := input_.problem_with(input_.converted(value)):
            ledger.refuse(where, problem)
        else:
            constants[name] = input_.converted(value)
    return constants


def check_facts(ledger: Ledger, trainer: TrainerVersion) -> None:
    """Use the fields that the trainer always treats as the spec says; refuse or note the others."""
    for name, value in trainer.profile.facts.items():
        field = "method.type" if name == "method" else name
        if field in ledger.honoured or not ledger.has(field):
            continue
        if _same(ledger.value(field), value):
            ledger.use(field, _ALWAYS)
        elif ledger.is_set(field):
            where = "method" if field == "method.type" else field
            ledger.refuse(where, f"the trainer always has {value!r}", str(value))
        else:
            ledger.backend_defaults.append(PlanNote(field, f"the trainer always has {value!r}"))


def _same(value: Any, fact: Any) -> bool:
    if isinstance(value, tuple):
        value = list(value)
    return bool(value == fact or (value is None and fact == "none"))


def send_batches(
    ledger: Ledger, trainer: TrainerVersion, mapped: Mapping[str, str], values: Mapping[str, Any]
) -> dict[str, int]:
    """One step of accumulation where the batch is that of a step; refuse batches whose unit is not known."""
    unclear = [
        name for name in names.AMBIGUOUS_NAMES if name in trainer.inputs and name not in mapped and name not in values
    ]
    field = "training.global_batch_size"
    if unclear and ledger.is_set(field) and field not in ledger.honoured:
        reason = f"{unclear[0]} counts rows of one step, one device or one pass: the trainer does not say which"
        ledger.refuse(field, reason, f"set {SECTION}.field_map: {{{unclear[0]}: {field}}} if you know")
    # Left to its default, accumulation would multiply the batch that was sent as that of a step.
    accumulates = names.ACCUMULATION in trainer.inputs and names.ACCUMULATION not in {*mapped, *values}
    return {names.ACCUMULATION: 1} if accumulates and field in ledger.honoured else {}


def send_validation(
    ledger: Ledger, trainer: TrainerVersion, values: Mapping[str, Any], *, held_out: bool
) -> dict[str, Any]:
    """Send whether rows are held out."""
    # Many trainers take 50 rows out of the training by default.
    open_inputs = trainer.inputs.keys() - values.keys()
    if names.RUN_VALIDATION in open_inputs:
        return {names.RUN_VALIDATION: held_out}
    if names.VALIDATION_ROWS in open_inputs and not held_out and names.RUN_VALIDATION not in values:
        input_ = trainer.inputs[names.VALIDATION_ROWS]
        if not input_.problem_with(0):
            return {names.VALIDATION_ROWS: 0}
        ledger.backend_defaults.append(
            PlanNote(names.VALIDATION_ROWS, f"the trainer takes {input_.default} rows out of the training")
        )
    return {}


def close(ledger: Ledger, trainer: TrainerVersion, values: Mapping[str, Any]) -> None:
    """Refuse fields that are not accounted for, and note the trainer's own defaults."""
    for name, input_ in trainer.inputs.items():
        if name in values:
            continue
        if input_.required:
            ledger.refuse(f"{SECTION}.constants.{name}", f"the trainer needs it: {input_.description or input_.name}")
        else:
            ledger.backend_defaults.append(PlanNote(name, f"the trainer's own default, {input_.default!r}"))
    reported = {note.field for note in ledger.backend_defaults}
    for field in names.NAMES:
        if field in ledger.honoured or not ledger.has(field) or field in reported:
            continue
        if ledger.is_set(field) and not field.startswith("compute."):
            if not {field, field.split(".")[0]} & {problem.where for problem in ledger.problems}:
                reason = "the trainer has no input for it, and no profile says that it does so anyway"
                ledger.refuse(field, reason, f"leave it out, or set {SECTION}.field_map or .facts")
        elif not ledger.is_set(field):
            ledger.backend_defaults.append(PlanNote(field, "the trainer decides"))
    ledger.ignore_advice({}, "the trainer decides how it fits its machine")
    ledger.close()
