"""Make a job spec from the file of another tool; which tools can be read, the entry points say."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.errors import Problem, SpecError
from ftsdk.importers.importer import Importer, ImportNote, Refusal, Sheet
from ftsdk.plugins import IMPORTERS, load_importer, plugin_names
from ftsdk.spec import JobSpec
from ftsdk.spec.canonical import field_of
from ftsdk.spec.document import read_document
from ftsdk.spec.loader import load_spec
from ftsdk.spec.validation_messages import shown_path


class Imported(NamedTuple):
    """A spec that was made from another tool's file."""

    spec: JobSpec
    source: str
    """The tool: an importer's name."""
    notes: tuple[ImportNote, ...]
    """What differs, what was dropped, and which of the tool's defaults were written down."""


def import_config(path: str | Path, source: str | None = None, overrides: Iterable[str] = ()) -> Imported:
    """Make a job spec from the configuration of another tool.

    The spec trains what the tool would have trained, by the same tool: ``backend`` is set, and values that the file
    leaves out are the tool's own. Every key is mapped, dropped with a note, or refused.

    Args:
        path: The tool's YAML, TOML or JSON file. Paths in it are seen from the working directory, as the tools do.
        source: Whose file it is, one of :func:`importer_names`. None: told by its keys.
        overrides: Settings of the spec such as ``training.save_steps=100``, which win over the file. Where one says
            what a refused key would have said, the key is no longer refused.

    Raises:
        SpecError: With every key that has no equal; or it is unclear whose file this is.
    """
    name, given = shown_path(path), list(overrides)
    document = read_document(Path(path), SpecError)
    importer = load_importer(source) if source else _recognise(name, document.data)
    sheet = Sheet(importer.tool, document.data, importer.keys, document.lines)
    importer.read(sheet)
    sheet.close()
    sheet.put("backend", importer.name)
    settled = [refusal for refusal in sheet.refusals if _is_settled(refusal, given)]
    problems = [refusal.problem for refusal in sheet.refusals if refusal not in settled]
    if problems:
        raise SpecError(
            f"{name}: settings of {importer.tool} that have no equal here",
            problems=problems,
            hint="change the file, or take the keys out of it; docs/import.md has the tables",
        )
    said = [ImportNote(problem.where, "differs", f"{problem.what}; you say {field}") for problem, field in settled]
    return Imported(_spec(name, sheet, given), importer.name, (*sheet.notes, *said))


def _recognise(name: str, data: Mapping[str, Any]) -> Importer:
    """The importer that owns the keys.

    Raises:
        SpecError: Nobody does, or several do.
    """
    marks = {importer: sorted(importer.marks & data.keys()) for importer in map(load_importer, plugin_names(IMPORTERS))}
    found = {importer: keys for importer, keys in marks.items() if keys}
    if len(found) == 1:
        return next(iter(found))
    say = f"say it: --from {' or --from '.join(importer.name for importer in found or marks)}"
    if not found:
        raise SpecError(f"{name} has no key that tells which tool it is for", hint=say)
    told = "; ".join(f"{', '.join(keys)} are {importer.name}'s" for importer, keys in found.items())
    raise SpecError(f"{name} could be for more than one tool: {told}", hint=say)


def _is_settled(refusal: Refusal, overrides: Iterable[str]) -> bool:
    """Whether the user says the field that a key without an equal would have set."""
    names = (text.partition("=")[0].strip() for text in overrides)
    said = {field_of(name) or name for name in names}
    return bool(refusal.field) and any(
        refusal.field == field or refusal.field.startswith(f"{field}.") or field.startswith(f"{refusal.field}.")
        for field in said
    )


def _spec(name: str, sheet: Sheet, overrides: list[str]) -> JobSpec:
    try:
        return load_spec(_nested(sheet.fields), overrides)
    except SpecError as error:
        told = [problem._replace(where=_written(problem.where, sheet)) for problem in error.problems]
        raise SpecError(f"{name} makes no valid job spec", problems=told or [Problem("", str(error))]) from None


def _written(field: str, sheet: Sheet) -> str:
    """A field with the key that it comes from."""
    key = sheet.origins.get(field)
    return f"{key} ({field})" if key and key != field else field


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for field, value in fields.items():
        *sections, leaf = field.split(".")
        inside = content
        for section in sections:
            inside = inside.setdefault(section, {})
        inside[leaf] = value
    return content
