"""``ftsdk explain``: what a field of the spec means."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

from ftsdk.cli.command import CommandResult
from ftsdk.cli.console import pairs, styled, table

if TYPE_CHECKING:
    from ftsdk.spec.explain import Explanation


def explain(
    field: Annotated[
        str | None, typer.Argument(metavar="FIELD", help="Such as training.learning_rate. Default: every field.")
    ] = None,
) -> CommandResult:
    """What a field of the spec means, with its unit and default."""
    from ftsdk.spec import explain as fields  # noqa: PLC0415 - only this command needs it

    if field is not None:
        explanation = fields.explain(field)
        return CommandResult(
            data=explanation._asdict, show=lambda screen: screen.out.print(pairs(_details(explanation)))
        )
    explanations = fields.explain_all()
    return CommandResult(
        data=lambda: [explanation._asdict() for explanation in explanations],
        show=lambda screen: screen.out.print(table(("field", "default", "meaning"), map(_row, explanations))),
    )


def _row(explanation: "Explanation") -> tuple[RenderableType, ...]:
    if explanation.fields:
        return styled(explanation.field, "bold"), "", styled(_meaning(explanation), "bold")
    return explanation.field, explanation.default, _meaning(explanation)


def _meaning(explanation: "Explanation") -> str:
    return explanation.text.replace("``", "`")


def _details(explanation: "Explanation") -> Iterator[tuple[str, RenderableType]]:
    aliases = explanation.aliases.items()
    rows = (
        ("field", styled(explanation.field, "bold")),
        ("meaning", _meaning(explanation)),
        ("type", explanation.type),
        ("default", explanation.default),
        ("", "\n".join(f"{name}: {value}" for name, value in explanation.values.items())),
        ("also", ", ".join(f"{name} ({tools})" if tools else name for name, tools in aliases)),
        ("fields", "\n".join(explanation.fields)),
    )
    yield from ((label, value) for label, value in rows if value)
