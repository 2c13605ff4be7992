"""``ftsdk publish``: upload an artifact to the Hugging Face Hub."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import ftsdk
from ftsdk.cli.arguments import ArtifactFolder
from ftsdk.cli.command import CommandResult
from ftsdk.errors import InputError

if TYPE_CHECKING:
    from ftsdk.artifact import Evaluation


def publish(
    folder: ArtifactFolder,
    repository: Annotated[str, typer.Argument(metavar="REPOSITORY", help="On the Hub, org/name.")],
    *,
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public.")] = False,
    evaluation: Annotated[Path | None, typer.Option(help="A file of evaluate --output, for the model card.")] = None,
) -> CommandResult:
    """Upload an artifact to the Hugging Face Hub, with a model card."""
    results = None if evaluation is None else _read_evaluation(evaluation)
    address = ftsdk.Artifact.open(folder).push_to_hub(repository, private=not public, evaluation=results)
    return CommandResult(
        data=lambda: {"repository": repository, "commit": address},
        show=lambda screen: screen.out.print(address),
    )


def _read_evaluation(path: Path) -> "Evaluation":
    from pydantic import ValidationError  # noqa: PLC0415 - only where a file is read

    from ftsdk.artifact import Evaluation  # noqa: PLC0415

    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds no evaluation of this version"
        hint = "give a file that ftsdk evaluate --output has written"
        raise InputError(f"{path} cannot be used: {reason}", hint=hint) from error
