"""Bring the configuration of another tool: a job spec is made of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import ftsdk
from ftsdk.cli.arguments import Overrides
from ftsdk.cli.command import Answer
from ftsdk.cli.console import Screen, words
from ftsdk.errors import InputError, Problem, SpecError

if TYPE_CHECKING:
    from ftsdk.importers.importer import ImportNote

_HEADINGS = {
    "differs": "comes near, and is not the same to the letter",
    "dropped": "dropped, because it changes nothing that is learned",
    "default": "left out of the file, so the tool's own default is written down",
}


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An Axolotl or LLaMA-Factory YAML.")],
    overrides: Overrides = None,
    *,
    source: Annotated[str | None, typer.Option("--from", help="Whose file it is, where its keys do not tell.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the spec here; else to stdout.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse what only comes near.")] = False,
) -> Answer:
    """Make a job spec from the file of another tool."""
    from ftsdk.spec.loader import dump_spec  # noqa: PLC0415 - loads the spec, which help does not need

    found = ftsdk.import_config(file, source, overrides or ())
    near = [note for note in found.notes if note.kind == "differs"]
    if strict and near:
        problems = [Problem(note.key, note.text) for note in near]
        raise SpecError(f"{file}: settings that only come near", problems=problems, hint="leave out --strict")
    text = dump_spec(found.spec)
    if output is not None:
        _write(output, text, force=force)

    def show(screen: Screen) -> None:
        screen.out.print(text.rstrip() if output is None else str(output))
        for line in _told(found.notes):
            screen.err.print(line)
        screen.err.print(f"\nLook at it, then: ftsdk plan {output or 'job.yaml'}")

    def data() -> dict[str, Any]:
        notes = [note._asdict() for note in found.notes]
        return {"from": found.source, "file": output, "spec": found.spec.as_written(), "notes": notes}

    return Answer(data=data, show=show)


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise InputError(f"there is already {path}", hint="name another file, or add --force") from error
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}", hint="name a file of yours") from error


def _told(notes: "Sequence[ImportNote]") -> Iterator[Any]:
    """The notes by their kind; keys that share a reason share a line."""
    for kind, heading in _HEADINGS.items():
        keys: dict[str, list[str]] = {}
        for note in notes:
            if note.kind == kind:
                keys.setdefault(note.text, []).append(note.key)
        if keys:
            yield words(f"\n{heading}:", "bold" if kind == "differs" else "dim")
        for text, names in keys.items():
            yield words(f"  {', '.join(dict.fromkeys(names))}: {text}", "" if kind == "differs" else "dim")
