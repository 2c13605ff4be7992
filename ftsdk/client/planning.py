"""From a spec to a plan: read the spec, choose the backend, check its options and the rows, translate."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ftsdk import registry
from ftsdk.backend import Backend, Options, Plan
from ftsdk.client.throughput import steps_of
from ftsdk.data.report import DataReport
from ftsdk.errors import FtsdkError, MissingExtra, Problem, SpecError, UnsupportedSpec, nearest
from ftsdk.redact import redact
from ftsdk.spec import GRPO, PPO, Dataset, JobSpec
from ftsdk.spec.validation_messages import NO_SUCH_FIELD, problems_of

SpecLike = JobSpec | Mapping[str, Any] | str | Path
"""A spec, its fields, or a file with it."""


def draft(source: SpecLike, *, backend: str | None = None, strict: bool = False) -> tuple[Backend, Plan]:
    """Plan a job on the backend that call, environment, spec or configuration choose; nothing is sent.

    Args:
        source: The spec.
        backend: The backend; it overrides environment, spec and configuration.
        strict: Refuse advice that would be ignored.

    Raises:
        SpecError: The spec is wrong, or holds a secret.
        DataError: The rows are wrong.
        UnsupportedSpec: The backend cannot honour every field.
        BackendNotFound: No installed backend has the name.
        MissingExtra: A package that the backend needs is not installed.
    """
    system, spec, options = _resolve_backend(read_spec(source), backend)
    name = system.name
    warnings = list(_check_other_options(spec, name))
    report = check_rows(spec, warnings)
    warnings += _spec_warnings(spec, report)
    plan = _translate(system, spec, options)
    if strict and plan.set_aside:
        raise UnsupportedSpec(name, [Problem(note.field, note.text) for note in plan.set_aside])
    plan = plan.model_copy(update={"data": report, "warnings": (*plan.warnings, *warnings)})
    _refuse_secrets(plan)
    return system, plan


def request(spec: JobSpec, *, backend: str | None = None, name_alternatives: bool = True) -> Plan:
    """The request alone, without reading the rows; errors are those of :func:`draft`, except for the rows.

    Args:
        spec: The spec.
        backend: As for :func:`draft`.
        name_alternatives: Whether a refusal names the backends that support the spec.
    """
    system, spec, options = _resolve_backend(spec, backend)
    return _translate(system, spec, options) if name_alternatives else system.plan(spec, options)


def check_rows(spec: JobSpec, warnings: list[str] | None = None) -> DataReport | None:
    """The report on the rows, where they are on this machine; warnings are appended to the list.

    Raises:
        DataError: The rows are wrong.
        SpecError: No rows would be left to train on.
    """
    warnings = [] if warnings is None else warnings
    report = _check_dataset(spec.dataset, "dataset", spec, warnings)
    if report is not None and spec.val_size >= max(report.rows, 1):
        problem = Problem("val_size", f"it would hold out {spec.val_size:g} of {report.rows} rows", "lower it")
        raise SpecError("no rows would be left to train on", problems=[problem])
    if spec.eval_dataset is not None:
        report = _with_hashes_of(report, _check_dataset(spec.eval_dataset, "eval_dataset", spec, warnings))
    return report


def _resolve_backend(spec: JobSpec, backend: str | None) -> tuple[Backend, JobSpec, Options]:
    """The backend, and the spec with the options of spec and configuration."""
    name, configured = _choose_backend(spec, backend)
    system = registry.load_backend(name)
    if configured:
        # The configuration's options become part of the spec: what a job runs with is stored with it.
        merged = {**configured, **spec.backend_options.get(name, {})}
        spec = spec.model_copy(update={"backend_options": {**spec.backend_options, name: merged}})
    return system, spec, _validate_options(system, spec.backend_options.get(name, {}))


def read_spec(source: SpecLike) -> JobSpec:
    """The spec itself, or read from a file or a mapping."""
    if isinstance(source, JobSpec):
        return source
    from ftsdk.spec.loader import load_spec  # noqa: PLC0415 - the YAML reader, only for those who have a file

    return load_spec(source)


def _choose_backend(spec: JobSpec, backend: str | None) -> tuple[str, Mapping[str, Any]]:
    """The backend's name, and its options from configuration files."""
    from ftsdk.config import resolve  # noqa: PLC0415 - reads files; those who only ask for a status need none

    choice = resolve(spec.backend, backend)
    return choice.backend, choice.options


def _validate_options(system: Backend, options: Mapping[str, Any]) -> Options:
    try:
        return system.Options.model_validate(dict(options))
    except ValidationError as error:
        problems = [_name_option(system, problem) for problem in problems_of(error)]
    # Outside the except clause, so that Pydantic's error is not its cause: it holds the values, and one may be a secret
    # in the wrong place.
    raise SpecError(f"the options of the backend {system.name!r} are wrong", problems=problems)


def _name_option(system: Backend, problem: Problem) -> Problem:
    """The problem with the option's full name, and the nearest one where the name does not exist."""
    names = sorted(system.Options.model_fields)
    fix = (
        nearest(problem.where, names, f"there are: {', '.join(names)}")
        if problem.what == NO_SUCH_FIELD
        else problem.fix
    )
    return problem._replace(where=f"backend_options.{system.name}.{problem.where}", fix=fix)


def _check_other_options(spec: JobSpec, active: str) -> Iterator[str]:
    """Check the options of backends that are not in use; give a warning for each that cannot be checked here."""
    names = registry.backend_names()
    for name, options in spec.backend_options.items():
        if name not in names:
            listed = registry.listed_backend_names()
            fix = nearest(name, names, f"installed: {', '.join(listed)}")
            raise SpecError("the spec is wrong", problems=[Problem(f"backend_options.{name}", "no such backend", fix)])
        if name != active:
            try:
                _validate_options(registry.load_backend(name), options)
            except MissingExtra as error:
                yield f"backend_options.{name} were not checked: {error.message}"


def _spec_warnings(spec: JobSpec, report: DataReport | None) -> Iterator[str]:
    """Warnings of settings that are valid, but hardly intended."""
    steps = spec.training.max_steps
    if steps is None and report is not None and not isinstance(spec.method, PPO | GRPO):
        steps = math.ceil(steps_of(spec, report.rows))
    if steps and (warmup := spec.training.warmup_steps or 0) >= steps:
        yield f"training.warmup_steps={warmup}: the learning rate would never reach its peak in {steps} steps"


def _check_dataset(dataset: Dataset, field: str, spec: JobSpec, warnings: list[str]) -> DataReport | None:
    """The report on a local dataset's rows; a warning instead for rows that are elsewhere."""
    from ftsdk.data import check, is_local  # noqa: PLC0415 - only a plan reads rows

    if not all(is_local(path) for path in dataset.paths):
        warnings.append(f"{field}: its rows are not on this machine, so they were not checked")
        return None
    report = check(dataset, spec.method.type)
    warnings += [f"{field}: {warning}" for warning in report.warnings]
    return report


def _with_hashes_of(report: DataReport | None, second: DataReport | None) -> DataReport | None:
    """The report on the training rows, with the hashes of the held-out rows' files beside its own."""
    if report is None or second is None:
        return report
    return report.model_copy(update={"sha256": {**second.sha256, **report.sha256}})


def _translate(system: Backend, spec: JobSpec, options: Options) -> Plan:
    try:
        return system.plan(spec, options)
    except UnsupportedSpec as error:
        alternatives = _alternatives(spec, system.name)
        raise UnsupportedSpec(system.name, error.problems, backends_that_can=alternatives) from error


def _alternatives(spec: JobSpec, excluded: str) -> list[str]:
    return [name for name in registry.listed_backend_names() if name != excluded and _supports(name, spec)]


def _supports(name: str, spec: JobSpec) -> bool:
    try:
        system = registry.load_backend(name)
        system.plan(spec, _validate_options(system, spec.backend_options.get(name, {})))
    except FtsdkError:
        return False
    return True


def _refuse_secrets(plan: Plan) -> None:
    """Refuse a plan that contains a secret of this environment: plans are stored and shown.

    Raises:
        SpecError: It contains one.
    """
    leaves = _leaves(plan.model_dump(mode="json", include={"spec", "native", "command"}, exclude_unset=True))
    problems = [
        Problem(where, "this is a secret from your environment") for where, text in leaves if redact(text) != text
    ]
    if problems:
        raise SpecError(
            "a secret would be stored with the job",
            problems=problems,
            hint="remove it; backends read keys from the environment",
        )


def _leaves(data: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every string in JSON data, with its dotted place."""
    if isinstance(data, str):
        yield where, data
    elif isinstance(data, dict):
        for name, value in data.items():
            yield from _leaves(value, f"{where}.{name}".lstrip("."))
    elif isinstance(data, list):
        for value in data:
            yield from _leaves(value, where)
