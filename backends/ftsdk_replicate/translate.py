"""Translate a spec into the request that creates a training at Replicate. Pure: all that is looked up comes in."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ftsdk.backend import Plan
from ftsdk.data import is_local
from ftsdk.spec import JobSpec
from ftsdk.translation.dataset_paths import with_absolute_paths
from ftsdk.translation.ledger import Ledger
from ftsdk_replicate import names
from ftsdk_replicate.mapping import (
    SECTION,
    Trainer,
    check_facts,
    close,
    meanings,
    send_batches,
    send_constants,
    send_fields,
    send_validation,
)
from ftsdk_replicate.options import ReplicateOptions
from ftsdk_replicate.profile import Profile
from ftsdk_replicate.schema import fingerprint, read_inputs

NAME = "replicate"
FILE = "(the address of the uploaded file)"
HELD_OUT_FILE = "(the address of the uploaded held-out rows)"
SECRET = "(from the environment)"  # noqa: S105 - a placeholder
FORMATS = frozenset({"messages", "prompt_completion", "text", "preference", "alpaca", "sharegpt"})
LARGEST = 100 * 10**6
"""Bytes of an upload (api.replicate.com: "Files must be less than 100MB in size")."""


class Known(NamedTuple):
    """What was looked up before translating."""

    version: str
    """The trainer's version, 64 hex digits."""
    document: Mapping[str, Any] | None
    """Its OpenAPI document, or the ``TrainingInput`` that the user assumes."""
    profile: Profile = Profile()
    keys: frozenset[str] = frozenset()
    """Names of environment variables that are set."""


def plan(spec: JobSpec, options: ReplicateOptions, known: Known) -> Plan:
    """The request for a spec, and what becomes of each field.

    Raises:
        UnsupportedSpec: With every field that the trainer cannot honour.
    """
    ledger = Ledger(NAME, spec)
    trainer = Trainer(_inputs(ledger, known), _over(known.profile, options))
    _check_profile(ledger, known)
    held_out = spec.eval_dataset is not None or spec.val_size > 0
    meant = meanings(ledger, trainer)
    files = _files(ledger, trainer, meant, held_out=held_out)
    sent = {**send_constants(ledger, trainer), **send_fields(ledger, trainer, meant)}
    check_facts(ledger, trainer)
    sent |= send_batches(ledger, trainer, meant, sent)
    sent |= send_validation(ledger, trainer, sent, held_out=held_out)
    sent |= _secrets(ledger, trainer, options, known)
    sent |= files
    _refuse(ledger, options)
    _refuse_of_rows(ledger)
    close(ledger, trainer, sent)
    told: dict[str, Any] = {} if options.webhook is None else {"webhook": options.webhook}
    told |= {"webhook_events_filter": list(options.webhook_events_filter)} if told else {}
    return Plan(
        backend=NAME,
        spec=spec,
        native={
            "trainer": str(options.trainer).partition(":")[0],
            "version": known.version,
            "schema_sha256": fingerprint(known.document or {}),
            "create": {"destination": options.destination, "input": sent, **told},
            "create_destination": {"hardware": options.hardware} if options.create_destination else None,
            "secrets": dict(options.secrets),
            "rows": _rows(spec, trainer.profile, sent),
            "rows_url": options.rows_url,
            "on_ambiguous": options.on_ambiguous,
            "settle_seconds": options.settle_seconds,
        },
        honoured=ledger.honoured,
        set_aside=tuple(ledger.set_aside),
        backends_own=tuple(ledger.backend_defaults),
        charge="by the second of the trainer's hardware; Replicate's API names no prices",
        warnings=tuple(_warnings(options)),
    )


def _inputs(ledger: Ledger, known: Known) -> dict[str, Any]:
    found = read_inputs(known.document) if known.document is not None else None
    if found is None:
        what = "this version publishes no inputs of a training, so nothing can be checked"
        ledger.refuse(f"{SECTION}.trainer", what, f"another version, or {SECTION}.assume_schema with its TrainingInput")
    return found or {}


def _over(profile: Profile, options: ReplicateOptions) -> Profile:
    """The profile with the options laid over it."""
    layers = ("field_map", "value_map", "constants", "facts")
    changes: dict[str, Any] = {name: {**getattr(profile, name), **getattr(options, name)} for name in layers}
    return profile.model_copy(update={**changes, "data_format": options.data_format or profile.data_format})


def _check_profile(ledger: Ledger, known: Known) -> None:
    """A profile is of certain versions, or of certain inputs: a newer trainer may mean something else by them."""
    profile = known.profile
    if profile.versions and known.version not in profile.versions:
        ledger.refuse(
            f"{SECTION}.profile", f"it is not written for the version {known.version[:12]}", "see what changed"
        )
    elif profile.schema_sha256 and profile.schema_sha256 != fingerprint(known.document or {}):
        ledger.refuse(
            f"{SECTION}.profile", "the trainer's inputs have changed since it was written", "see what changed"
        )


def _files(ledger: Ledger, trainer: Trainer, meant: Mapping[str, str], *, held_out: bool) -> dict[str, str]:
    """Placeholders for the addresses of the rows."""
    by_map = {field: name for name, field in meant.items() if field in ("dataset", "eval_dataset")}
    data = by_map.get("dataset") or next((name for name in names.DATA if name in trainer.inputs), None)
    ledger.use("dataset", data or "")
    if data is None and trainer.inputs:
        takes = ", ".join(sorted(trainer.inputs))
        what = f"it takes no training rows by a name that we know, so it may be no trainer of language models: {takes}"
        ledger.refuse(f"{SECTION}.trainer", what, f"{SECTION}.field_map: {{INPUT: dataset}} if one of them does")
    found = {data: FILE} if data else {}
    if not held_out:
        return found
    field = "eval_dataset" if ledger.spec.eval_dataset else "val_size"
    second = by_map.get("eval_dataset") or next((name for name in names.HELD_OUT if name in trainer.inputs), None)
    ledger.use(field, second or "")
    if second is None:
        ledger.refuse(field, "the trainer takes no held-out rows", "leave it out, and evaluate the artifact")
        return found
    return {**found, second: HELD_OUT_FILE}


def _secrets(ledger: Ledger, trainer: Trainer, options: ReplicateOptions, known: Known) -> dict[str, str]:
    sent = {}
    for name, variable in options.secrets.items():
        if name not in trainer.inputs:
            ledger.refuse(f"{SECTION}.secrets.{name}", f"the trainer has no input {name}")
        elif variable not in known.keys:
            ledger.refuse(f"{SECTION}.secrets.{name}", f"{variable} is not set", f"export {variable}=...")
        sent[name] = SECRET
    return sent


def _refuse(ledger: Ledger, options: ReplicateOptions) -> None:
    """What no trainer can be told, and what must be said."""
    spec = ledger.spec
    if options.destination is None:
        what = "a training becomes a version of a model of yours, which must be named"
        ledger.refuse(f"{SECTION}.destination", what, "owner/name; create_destination: true makes it, private")
    if options.create_destination and options.hardware is None:
        ledger.refuse(f"{SECTION}.hardware", "a model is created with hardware to run on", "gpu-t4, say")
    if "model" not in ledger.honoured and "model" not in {problem.where for problem in ledger.problems}:
        what = "neither the trainer's inputs nor a profile say which base model it trains"
        ledger.refuse("model", what, f"{SECTION}.facts: {{model: {spec.model}}} if it is this one")
    if options.rows_url is not None and (spec.eval_dataset is not None or spec.val_size):
        ledger.refuse(f"{SECTION}.rows_url", "held-out rows are uploaded, and these are not", "leave one of them out")


def _refuse_of_rows(ledger: Ledger) -> None:
    """What cannot be uploaded, and what a trainer has no word for."""
    spec = ledger.spec
    for dataset, field in ((spec.dataset, "dataset"), (spec.eval_dataset, "eval_dataset")):
        for path in dataset.paths if dataset else ():
            if not is_local(path):
                ledger.refuse(f"{field}.path", "rows are uploaded from this machine", "download them, give the file")
        if dataset and dataset.format not in FORMATS | {"auto"}:
            ledger.refuse(f"{field}.format", "no trainer reads this format here", ", ".join(sorted(FORMATS)))
        if dataset and dataset.chat_template is not None:
            ledger.refuse(f"{field}.chat_template", "the trainer renders its rows itself", "leave it out")
    for field in ("trust_remote_code", "push_to_hub", "hub_model_id", "report_to"):
        if ledger.use(field):
            ledger.refuse(field, "Replicate has nothing of the kind; a trainer may, by an input of its own")


def _rows(spec: JobSpec, profile: Profile, sent: Mapping[str, Any]) -> dict[str, Any]:
    """How the files are made."""
    names_of = {value: name for name, value in sent.items() if value in (FILE, HELD_OUT_FILE)}
    return {
        "method": spec.method.type,
        "format": profile.data_format,
        "dataset": with_absolute_paths(spec.dataset).model_dump(mode="json"),
        "eval_dataset": spec.eval_dataset and with_absolute_paths(spec.eval_dataset).model_dump(mode="json"),
        "val_size": spec.val_size,
        "seed": spec.training.seed,
        "input": names_of.get(FILE),
        "held_out_input": names_of.get(HELD_OUT_FILE),
        "withheld": sent.get(names.VALIDATION_ROWS, 0) if sent.get(names.RUN_VALIDATION) is not False else 0,
    }


def _warnings(options: ReplicateOptions) -> list[str]:
    said = ["the price is unknown: Replicate bills the trainer's hardware by the second, and its API names no prices"]
    if options.rows_url:
        said.append("the rows at rows_url were not looked at; they must be in the trainer's format")
    return said + [
        f"Replicate is given your {name}, and shows it among the inputs" for name in options.secrets.values()
    ]
