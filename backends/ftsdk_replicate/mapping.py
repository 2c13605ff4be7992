"""Map the fields of a spec onto a trainer's inputs: each is sent, always so, or refused. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ftsdk.backend import PlanNote
from ftsdk.translation.ledger import Ledger
from ftsdk_replicate import names
from ftsdk_replicate.profile import Profile
from ftsdk_replicate.schema import Input

SECTION = "backend_options.replicate"
_ALWAYS = "what the trainer always does"


class Trainer(NamedTuple):
    """One version of a trainer, and what is known of it."""

    inputs: Mapping[str, Input]
    profile: Profile
    """With the options laid over it."""


def meanings(ledger: Ledger, trainer: Trainer) -> dict[str, str]:
    """From each input that a field of the spec decides to that field."""
    said = trainer.profile.field_map
    for name in sorted(said.keys() - trainer.inputs.keys()):
        ledger.refuse(f"{SECTION}.field_map", f"the trainer has no input {name}", "see its inputs in the plan's error")
    found = {name: field for name, field in said.items() if name in trainer.inputs}
    for name, each in trainer.inputs.items():
        field = names.field_of(each)
        if field and name not in found and name not in trainer.profile.constants and field not in found.values():
            found[name] = field
    return found


def send_fields(ledger: Ledger, trainer: Trainer, meant: Mapping[str, str]) -> dict[str, Any]:
    """The values of a spec by the names of the trainer's inputs."""
    sent = {}
    for name, field in meant.items():
        if field in ("dataset", "eval_dataset") or not ledger.has(field):
            continue
        value = _native(trainer, name, ledger.value(field))
        if value is None:
            ledger.use(field, f"{name}, left out")
        elif not (flaw := trainer.inputs[name].flaw(value)):
            ledger.use(field, name)
            sent[name] = value
        elif ledger.is_set(field):
            ledger.refuse("method" if field == "method.type" else field, flaw)
        else:
            ledger.backend_defaults.append(PlanNote(field, f"{flaw}; its default is {trainer.inputs[name].default!r}"))
    return sent


def _native(trainer: Trainer, name: str, value: Any) -> Any:
    """A value in the trainer's own words and type; None: it is not sent, for Replicate refuses null."""
    words = trainer.profile.value_map.get(name, {})
    word = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return trainer.inputs[name].fitted(words.get(word, value))


def send_constants(ledger: Ledger, trainer: Trainer) -> dict[str, Any]:
    """The profile's fixed values."""
    sent: dict[str, Any] = {}
    for name, value in trainer.profile.constants.items():
        each = trainer.inputs.get(name)
        where = f"{SECTION}.constants.{name}"
        if each is None or name in names.NEVER:
            ledger.refuse(where, f"the trainer has no input {name}, and Replicate would drop it without a word")
        elif flaw := each.flaw(each.fitted(value)):
            ledger.refuse(where, flaw)
        else:
            sent[name] = each.fitted(value)
    return sent


def check_facts(ledger: Ledger, trainer: Trainer) -> None:
    """Take the fields that the trainer always treats as the spec wants; refuse or tell of the others."""
    for said, value in trainer.profile.facts.items():
        field = "method.type" if said == "method" else said
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


def send_batches(ledger: Ledger, trainer: Trainer, meant: Mapping[str, str], sent: Mapping[str, Any]) -> dict[str, int]:
    """One step of accumulation where the batch is the whole step; refuse batches whose unit nobody knows."""
    unclear = [name for name in names.GUARDED if name in trainer.inputs and name not in meant and name not in sent]
    whole = "training.global_batch_size"
    if unclear and ledger.is_set(whole) and whole not in ledger.honoured:
        what = f"{unclear[0]} counts rows of one step, one device or one pass: the trainer does not say which"
        ledger.refuse(whole, what, f"set {SECTION}.field_map: {{{unclear[0]}: {whole}}} if you know")
    accumulates = names.ACCUMULATION in trainer.inputs and names.ACCUMULATION not in {*meant, *sent}
    return {names.ACCUMULATION: 1} if accumulates and whole in ledger.honoured else {}


def send_validation(ledger: Ledger, trainer: Trainer, sent: Mapping[str, Any], *, held_out: bool) -> dict[str, Any]:
    """Say whether rows are held out: many a trainer takes 50 of them away when nobody says anything."""
    said = trainer.inputs.keys() - sent.keys()
    if names.RUN_VALIDATION in said:
        return {names.RUN_VALIDATION: held_out}
    if names.VALIDATION_ROWS in said and not held_out and names.RUN_VALIDATION not in sent:
        each = trainer.inputs[names.VALIDATION_ROWS]
        if not each.flaw(0):
            return {names.VALIDATION_ROWS: 0}
        ledger.backend_defaults.append(
            PlanNote(names.VALIDATION_ROWS, f"the trainer takes {each.default} rows out of the training")
        )
    return {}


def close(ledger: Ledger, trainer: Trainer, sent: Mapping[str, Any]) -> None:
    """Refuse what nobody accounts for, and tell of the trainer's own defaults."""
    for name, each in trainer.inputs.items():
        if name in sent:
            continue
        if each.required:
            ledger.refuse(f"{SECTION}.constants.{name}", f"the trainer needs it: {each.description or each.name}")
        else:
            ledger.backend_defaults.append(PlanNote(name, f"the trainer's own default, {each.default!r}"))
    told = {note.field for note in ledger.backend_defaults}
    for field in names.NAMES:
        if field in ledger.honoured or not ledger.has(field) or field in told:
            continue
        if ledger.is_set(field) and not field.startswith("compute."):
            if not {field, field.split(".")[0]} & {problem.where for problem in ledger.problems}:
                what = "the trainer has no input for it, and no profile says that it does so anyway"
                ledger.refuse(field, what, f"leave it out, or set {SECTION}.field_map or .facts")
        elif not ledger.is_set(field):
            ledger.backend_defaults.append(PlanNote(field, "the trainer decides"))
    ledger.ignore_advice({}, "the trainer decides how it fits its machine")
    ledger.close()
