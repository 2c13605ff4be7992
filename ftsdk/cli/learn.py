"""Learn what there is: backends, explain, schema."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

import ftsdk
from ftsdk.cli.backend_summary import Survey, survey
from ftsdk.cli.command import Answer
from ftsdk.cli.console import open_screen, pairs, table, words
from ftsdk.errors import InputError

if TYPE_CHECKING:
    from ftsdk.spec.explain import Explanation


def backends(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[install] NAME", help="One backend in full, or all. install: make what it needs."),
    ] = None,
    installed: Annotated[str | None, typer.Argument(hidden=True)] = None,
) -> Answer:
    """What each installed backend can do; ``backends install NAME`` makes what one needs on this machine."""
    if name == "install":
        return _install(installed)
    if installed is not None:
        raise InputError(f"unexpected {installed!r} behind {name!r}", hint=f"ftsdk backends {name}")
    if name is not None:
        found = survey(name)
        return Answer(data=found.to_dict, show=lambda screen: screen.out.print(pairs(_in_full(found))))
    all_found = [survey(each) for each in ftsdk.backend_names()]
    headings = ("backend", "usable", "methods", "adapters", "quantizations")
    return Answer(
        data=lambda: [found.to_dict() for found in all_found],
        show=lambda screen: screen.out.print(table(headings, map(_in_short, all_found))),
    )


def _install(name: str | None) -> Answer:
    from ftsdk.plugins import load_backend  # noqa: PLC0415 - loads the contract, which help does not need

    if name is None:
        raise InputError("install what?", hint=f"ftsdk backends install NAME, of {', '.join(ftsdk.backend_names())}")
    told: list[str] = []
    backend, screen = load_backend(name), open_screen()

    def tell(line: str) -> None:
        told.append(line)
        screen.err.print(words(line, "dim"))

    backend.install(tell)
    return Answer(
        data=lambda: {"backend": name, "about": backend.describe(), "told": told},
        show=lambda screen: screen.out.print(backend.describe() or told[-1]),
    )


def explain(
    field: Annotated[
        str | None, typer.Argument(metavar="FIELD", help="Such as training.learning_rate. Left out: all.")
    ] = None,
) -> Answer:
    """What a field of the spec means, with its unit and default."""
    from ftsdk.spec import explain as fields  # noqa: PLC0415 - only this verb needs it

    if field is not None:
        found = fields.explain(field)
        return Answer(data=found._asdict, show=lambda screen: screen.out.print(pairs(_explained(found))))
    known = fields.explain_all()
    return Answer(
        data=lambda: [each._asdict() for each in known],
        show=lambda screen: screen.out.print(table(("field", "default", "meaning"), map(_field_row, known))),
    )


def schema() -> Answer:
    """The JSON Schema of a job spec, for editors."""
    from ftsdk.spec.schema import json_schema  # noqa: PLC0415 - only this verb needs it

    found = json_schema()
    return Answer(data=lambda: found, show=lambda screen: screen.out.print(json.dumps(found, indent=2)))


def _field_row(found: "Explanation") -> tuple[RenderableType, ...]:
    if found.fields:
        return words(found.field, "bold"), "", words(_meaning(found), "bold")
    return found.field, found.default, _meaning(found)


def _meaning(found: "Explanation") -> str:
    return found.text.replace("``", "`")


def _explained(found: "Explanation") -> Iterator[tuple[str, RenderableType]]:
    rows = (
        ("field", words(found.field, "bold")),
        ("meaning", _meaning(found)),
        ("type", found.type),
        ("default", found.default),
        ("", "\n".join(f"{name}: {value}" for name, value in found.values.items())),
        ("also", ", ".join(f"{name} ({tools})" if tools else name for name, tools in found.aliases.items())),
        ("fields", "\n".join(found.fields)),
    )
    yield from ((label, value) for label, value in rows if value)


def _in_short(found: Survey) -> tuple[RenderableType, ...]:
    able = found.capabilities
    lists = (able.methods, able.adapters, able.quantizations) if able else ()
    return (found.backend, _usable(found), *(", ".join(sorted(values)) for values in lists))


def _in_full(found: Survey) -> Iterator[tuple[str, RenderableType]]:
    yield "backend", found.backend
    yield "usable", _usable(found)
    yield from (("about", found.about),) if found.about else ()
    yield from (("", str(problem)) for problem in found.problems)
    for name, value in (found.to_dict()["capabilities"] or {}).items():
        yield name.replace("_", " "), str(value).lower() if isinstance(value, bool) else ", ".join(value)


def _usable(found: Survey) -> Text:
    return words("no", "red") if found.problems else words("yes", "green")
