"""Load a job spec from a file or a mapping, and write one down.

Only the loader accepts the names of other tools; everywhere else a field has one name.
"""

from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from ftsdk.errors import Problem, SpecError
from ftsdk.spec.aliases import FIELDS
from ftsdk.spec.canonical import MOST_PROBLEMS, Settings, as_sections, notes, override, resolve
from ftsdk.spec.document import Document, read_document
from ftsdk.spec.job import JobSpec
from ftsdk.spec.validation_messages import NO_SUCH_FIELD, Mistake, problems_of, shown_key, shown_path
from ftsdk.spec.yaml12 import read_yaml, write_yaml


class Loaded(NamedTuple):
    """A spec, and the names in its source that are not the spec's own."""

    spec: JobSpec
    notes: list[str]
    """Such as ``lr -> training.learning_rate``."""


def load_spec(source: str | Path | Mapping[str, Any], overrides: Iterable[str] | Mapping[str, Any] = ()) -> JobSpec:
    """Load a job spec.

    Args:
        source: A ``.yaml``, ``.toml`` or ``.json`` file, or its content as a mapping. Names of other tools are
            accepted.
        overrides: Settings that win over the source: ``training.learning_rate=1e-4`` with a value in YAML, or a
            mapping from dotted names to values.

    Raises:
        SpecError: With every problem; no message repeats a value.
    """
    return read_spec(source, overrides).spec


def read_spec(source: str | Path | Mapping[str, Any], overrides: Iterable[str] | Mapping[str, Any] = ()) -> Loaded:
    """Load a job spec as :func:`load_spec` does, with a note for each name that is not the spec's own."""
    name, document = _document(source)
    settings, problems = resolve(document.data)
    before = dict(settings)
    problems += _override(settings, overrides)
    overridden = {where for where, setting in settings.items() if before.get(where) is not setting}
    content = as_sections(settings, problems)
    spec: JobSpec | None = None
    try:
        spec = JobSpec.model_validate(content)
    except ValidationError as error:
        problems += problems_of(error)
    if spec is None or problems:  # outside of the handler, so that no context keeps the values
        located = [_with_place(problem, settings, document.lines, overridden) for problem in problems[:MOST_PROBLEMS]]
        more = [Problem("", "and more")] if len(problems) > MOST_PROBLEMS else []
        raise SpecError(f"{name} is not a valid job spec", problems=located + more)
    return Loaded(spec, notes(settings.values()))


def dump_spec(spec: JobSpec) -> str:
    """The spec as YAML, with the fields that the user set; loading it gives an equal spec."""
    return write_yaml(spec.as_written())


def _document(source: str | Path | Mapping[str, Any]) -> tuple[str, Document]:
    if isinstance(source, Mapping):
        return "this", Document(dict(source), {})
    if isinstance(source, str | Path):
        return shown_path(source), read_document(Path(source), SpecError)
    raise SpecError(f"a spec comes from a file or a mapping, not from {type(source).__name__}")


def _override(settings: Settings, overrides: Iterable[str] | Mapping[str, Any]) -> list[Problem]:
    if isinstance(overrides, str):
        return _override_text(settings, overrides)
    if isinstance(overrides, Mapping):
        return [problem for name, value in overrides.items() for problem in override(settings, name, value)]
    return [problem for text in overrides for problem in _override_text(settings, text)]


def _override_text(settings: Settings, text: str) -> list[Problem]:
    name, equals, written = text.partition("=")
    if not equals:
        return [Problem(shown_key(name), "this override has no value", "write it as training.learning_rate=1e-4")]
    try:
        value = read_yaml(written)
    except Mistake as mistake:
        return [Problem(shown_key(name), f"the value {mistake}", "put text with special characters in quotes")]
    return override(settings, name.strip(), value)


def _with_place(problem: Problem, settings: Settings, lines: Mapping[str, int], overridden: Container[str]) -> Problem:
    """The problem with its line, or that it was overridden, and with the user's own name where it is another."""
    fix = problem.fix or (_owning_methods(problem.where) if problem.what == NO_SUCH_FIELD else "")
    return Problem(problem.where, problem.what + _place(problem.where, settings, lines, overridden), fix)


def _owning_methods(field: str) -> str:
    """For a field that this method lacks, the methods that have it."""
    owners = [definition.model.model_fields["type"].default for definition in FIELDS.get(field, ())]
    return f"it belongs to the method {' or '.join(owners)}" if owners else ""


def _place(where: str, settings: Settings, lines: Mapping[str, int], overridden: Container[str]) -> str:
    written = settings[where].written if where in settings else where
    line = "as it was overridden" if where in overridden else f"line {lines[written]}" if written in lines else ""
    section, _, leaf = where.rpartition(".")
    name = "" if written in (where, section, leaf) else f"written as {written}"
    place = ", ".join(filter(None, (line, name)))
    return f" ({place})" if place else ""
