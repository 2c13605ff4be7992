"""Translate a spec into the request that creates a training at Replicate. Pure: what is looked up is in a context."""

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
    TrainerVersion,
    check_facts,
    close,
    map_inputs,
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


class ReplicateContext(NamedTuple):
    """What was looked up before translating."""

    version: str
    """The trainer's version, 64 hex digits."""
    document: Mapping[str, Any] | None
    """Its OpenAPI document, or the ``TrainingInput`` that the user assumes."""
    profile: Profile = Profile()
    keys: frozenset[str] = frozenset()
    """Names of environment variables that are set."""


def plan(spec: JobSpec, options: ReplicateOptions, context: ReplicateContext) -> Plan:
    """The request for a spec, and how each field is used.

    Raises:
        UnsupportedSpec: With every field that the trainer cannot honour.
    """
    ledger = Ledger(NAME, spec)
    trainer = TrainerVersion(_inputs(ledger, context), _merge(context.profile, options))
    _check_profile(ledger, context)
    held_out = spec.eval_dataset is not None or spec.val_size > 0
    mapped = map_inputs(ledger, trainer)
    files = _files(ledger, trainer, mapped, held_out=held_out)
    values = {**send_constants(ledger, trainer), **send_fields(ledger, trainer, mapped)}
    check_facts(ledger, trainer)
    values |= send_batches(ledger, trainer, mapped, values)
    values |= send_validation(ledger, trainer, values, held_out=held_out)
    values |= _secrets(ledger, trainer, options, context)
    values |= files
    _refuse(ledger, options)
    _refuse_rows(ledger)
    close(ledger, trainer, values)
    webhook: dict[str, Any] = {} if options.webhook is None else {"webhook": options.webhook}
    webhook |= {"webhook_events_filter": list(options.webhook_events_filter)} if webhook else {}
    return Plan(
        backend=NAME,
        spec=spec,
        native={
            "trainer": str(options.trainer).partition(":")[0],
            "version": context.version,
            "schema_sha256": fingerprint(context.document or {}),
            "create": {"destination": options.destination, "input": values, **webhook},
            "create_destination": {"hardware": options.hardware} if options.create_destination else None,
            "secrets": dict(options.secrets),
            "rows": _rows(spec, trainer.profile, values),
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


def _inputs(ledger: Ledger, context: ReplicateContext) -> dict[str, Any]:
    inputs = read_inputs(context.document) if context.document is not None else None
    if inputs is None:
        reason = "this version publishes no inputs of a training, so nothing can be checked"
        fix = f"another version, or {SECTION}.assume_schema with its TrainingInput"
        ledger.refuse(f"{SECTION}.trainer", reason, fix)
    return inputs or {}


def _merge(profile: Profile, options: ReplicateOptions) -> Profile:
    """The profile with the options merged into it."""
    layers = ("field_map", "value_map", "constants", "facts")
    changes: dict[str, Any] = {name: {**getattr(profile, name), **getattr(options, name)} for name in layers}
    return profile.model_copy(update={**changes, "data_format": options.data_format or profile.data_format})


def _check_profile(ledger: Ledger, context: ReplicateContext) -> None:
    """Check that the profile is of this version, or of these inputs."""
    # A newer trainer may mean something else by the same names.
    profile = context.profile
    if profile.versions and context.version not in profile.versions:
        ledger.refuse(
            f"{SECTION}.profile", f"it is not written for the version {context.version[:12]}", "see what changed"
        )
    elif profile.schema_sha256 and profile.schema_sha256 != fingerprint(context.document or {}):
        ledger.refuse(
            f"{SECTION}.profile", "the trainer's inputs have changed since it was written", "see what changed"
        )


def _files(ledger: Ledger, trainer: TrainerVersion, mapped: Mapping[str, str], *, held_out: bool) -> dict[str, str]:
    """Placeholders for the addresses of the rows."""
    by_map = {field: name for name, field in mapped.items() if field in ("dataset", "eval_dataset")}
    data = by_map.get("dataset") or next((name for name in names.DATA if name in trainer.inputs), None)
    ledger.use("dataset", data or "")
    if data is None and trainer.inputs:
        inputs = ", ".join(sorted(trainer.inputs))
        reason = f"none of its inputs takes training rows, so it may be no trainer of language models: {inputs}"
        ledger.refuse(f"{SECTION}.trainer", reason, f"{SECTION}.field_map: {{INPUT: dataset}} if one of them does")
    files = {data: FILE} if data else {}
    if not held_out:
        return files
    field = "eval_dataset" if ledger.spec.eval_dataset else "val_size"
    second = by_map.get("eval_dataset") or next((name for name in names.HELD_OUT if name in trainer.inputs), None)
    ledger.use(field, second or "")
    if second is None:
        ledger.refuse(field, "the trainer takes no held-out rows", "leave it out, and evaluate the artifact")
        return files
    return {**files, second: HELD_OUT_FILE}


def _secrets(
    ledger: Ledger, trainer: TrainerVersion, options: ReplicateOptions, context: ReplicateContext
) -> dict[str, str]:
    placeholders = {}
    for name, variable in options.secrets.items():
        if name not in trainer.inputs:
            ledger.refuse(f"{SECTION}.secrets.{name}", f"the trainer has no input {name}")
        elif variable not in context.keys:
            ledger.refuse(f"{SECTION}.secrets.{name}", f"{variable} is not set", f"export {variable}=...")
        placeholders[name] = SECRET
    return placeholders


def _refuse(ledger: Ledger, options: ReplicateOptions) -> None:
    """Refuse options and fields that are missing, or that exclude each other."""
    spec = ledger.spec
    if options.destination is None:
        reason = "a training becomes a version of a model of yours, which must be named"
        ledger.refuse(f"{SECTION}.destination", reason, "owner/name; create_destination: true makes it, private")
    if options.create_destination and options.hardware is None:
        ledger.refuse(f"{SECTION}.hardware", "a model is created with hardware to run on", "for example gpu-t4")
    if "model" not in ledger.honoured and "model" not in {problem.where for problem in ledger.problems}:
        reason = "neither the trainer's inputs nor a profile say which base model it trains"
        ledger.refuse("model", reason, f"{SECTION}.facts: {{model: {spec.model}}} if it is this one")
    if options.rows_url is not None and (spec.eval_dataset is not None or spec.val_size):
        ledger.refuse(f"{SECTION}.rows_url", "held-out rows are uploaded, and these are not", "leave one of them out")


def _refuse_rows(ledger: Ledger) -> None:
    """Refuse rows that cannot be uploaded, and fields that no trainer has an input for."""
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


def _rows(spec: JobSpec, profile: Profile, values: Mapping[str, Any]) -> dict[str, Any]:
    """How the files are made."""
    names_of = {value: name for name, value in values.items() if value in (FILE, HELD_OUT_FILE)}
    return {
        "method": spec.method.type,
        "format": profile.data_format,
        "dataset": with_absolute_paths(spec.dataset).model_dump(mode="json"),
        "eval_dataset": spec.eval_dataset and with_absolute_paths(spec.eval_dataset).model_dump(mode="json"),
        "val_size": spec.val_size,
        "seed": spec.training.seed,
        "input": names_of.get(FILE),
        "held_out_input": names_of.get(HELD_OUT_FILE),
        "withheld": values.get(names.VALIDATION_ROWS, 0) if values.get(names.RUN_VALIDATION) is not False else 0,
    }


def _warnings(options: ReplicateOptions) -> list[str]:
    warnings = [
        "the price is unknown: Replicate bills the trainer's hardware by the second, and its API names no prices"
    ]
    if options.rows_url:
        warnings.append("the rows at rows_url were not checked; they must be in the trainer's format")
    return warnings + [
        f"your {name} is sent to Replicate, which shows it among the inputs" for name in options.secrets.values()
    ]
