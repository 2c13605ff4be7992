"""Make a job spec from the file of another tool; the entry points name the tools that can be read."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.errors import Problem, SpecError
from ftsdk.importers.importer import ConfigReader, Importer, ImportNote, UnsupportedKey
from ftsdk.plugins import IMPORTERS, check_plugin, load_plugin, plugin_names
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
    """What differs, what was dropped, and which of the tool's defaults the spec has."""


def import_config(path: str | Path, source: str | None = None, overrides: Iterable[str] = ()) -> Imported:
    """Make a job spec from the configuration of another tool.

    The spec trains what the tool would have trained, by the same tool: ``backend`` is set, and values that the file
    leaves out are the tool's own. Every key is mapped, dropped with a note, or refused.

    Args:
        path: The tool's YAML, TOML or JSON file. Paths in it are relative to the working directory, as for the tools.
        source: Whose file it is, one of :func:`importer_names`. None: recognised by its keys.
        overrides: Settings of the spec such as ``training.save_steps=100``, which win over the file. Where one sets
            the field of a refused key, the key is no longer refused.

    Raises:
        SpecError: With every key that is not supported; or it is unclear which tool the file is for.
    """
    name, settings = shown_path(path), list(overrides)
    document = read_document(Path(path), SpecError)
    importer = load_importer(source) if source else _recognise_tool(name, document.data)
    reader = ConfigReader(importer.tool, document.data, importer.keys, document.lines)
    importer.read(reader)
    reader.close()
    reader.set_field("backend", importer.name)
    resolved = [refusal for refusal in reader.refusals if _is_resolved(refusal, settings)]
    problems = [refusal.problem for refusal in reader.refusals if refusal not in resolved]
    if problems:
        raise SpecError(
            f"{name}: settings of {importer.tool} that are not supported",
            problems=problems,
            hint="change the file, or remove the keys; docs/import.md has the tables",
        )
    notes = [ImportNote(problem.where, "differs", f"{problem.what}; you set {field}") for problem, field in resolved]
    return Imported(_spec(name, reader, settings), importer.name, (*reader.notes, *notes))


def load_importer(name: str) -> Importer:
    """Import one importer and make it.

    Raises:
        InputError: No distribution registers the name; the registered names are listed.
        ConfigError: Two do, or it is no importer.
    """
    return check_plugin(load_plugin(IMPORTERS, name)(), Importer, IMPORTERS, name)  # type: ignore[type-abstract]


def _recognise_tool(name: str, data: Mapping[str, Any]) -> Importer:
    """The importer that the keys belong to.

    Raises:
        SpecError: None is, or several are.
    """
    by_importer = {
        importer: sorted(importer.marks & data.keys()) for importer in map(load_importer, plugin_names(IMPORTERS))
    }
    candidates = {importer: keys for importer, keys in by_importer.items() if keys}
    if len(candidates) == 1:
        return next(iter(candidates))
    hint = f"name the tool: --from {' or --from '.join(importer.name for importer in candidates or by_importer)}"
    if not candidates:
        raise SpecError(f"{name} has no key that identifies its tool", hint=hint)
    owners = "; ".join(f"{', '.join(keys)} are {importer.name}'s" for importer, keys in candidates.items())
    raise SpecError(f"{name} could be for more than one tool: {owners}", hint=hint)


def _is_resolved(refusal: UnsupportedKey, overrides: Iterable[str]) -> bool:
    """Whether the user sets the field of a key that is not supported."""
    names = (text.partition("=")[0].strip() for text in overrides)
    fields = {field_of(name) or name for name in names}
    return bool(refusal.field) and any(
        refusal.field == field or refusal.field.startswith(f"{field}.") or field.startswith(f"{refusal.field}.")
        for field in fields
    )


def _spec(name: str, reader: ConfigReader, overrides: list[str]) -> JobSpec:
    try:
        return load_spec(_as_sections(reader.fields), overrides)
    except SpecError as error:
        problems = [problem._replace(where=_written(problem.where, reader)) for problem in error.problems]
        problems = problems or [Problem("", str(error))]
        raise SpecError(f"{name} does not make a valid job spec", problems=problems) from None


def _written(field: str, reader: ConfigReader) -> str:
    """A field with the key that sets it."""
    key = reader.origins.get(field)
    return f"{key} ({field})" if key and key != field else field


def _as_sections(fields: Mapping[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for field, value in fields.items():
        *sections, leaf = field.split(".")
        inside = content
        for section in sections:
            inside = inside.setdefault(section, {})
        inside[leaf] = value
    return content
