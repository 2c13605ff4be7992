"""``ftsdk quantize``: a full model with weights of fewer bits."""

from typing import Annotated

import typer

import ftsdk
from ftsdk.cli.arguments import ModelOutput
from ftsdk.cli.artifact_rendering import model_result
from ftsdk.cli.command import CommandResult


def quantize(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A full model: a folder, or a Hub id.")],
    kind: Annotated[str, typer.Argument(metavar="KIND", help="int8, int8-dynamic, int4, int4-packed, nf4, ...")],
    *,
    output: ModelOutput,
) -> CommandResult:
    """Quantize a full model."""
    return model_result(ftsdk.quantize(model, kind, output))
