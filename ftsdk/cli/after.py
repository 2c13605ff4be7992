"""What comes after a training: merge, quantize."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import ftsdk
from ftsdk.cli.command import Answer
from ftsdk.cli.console import Screen, pairs
from ftsdk.cli.units import size

if TYPE_CHECKING:
    from ftsdk.artifact import Artifact

Output = Annotated[Path, typer.Option("--output", "-o", help="Where the model shall be.")]


def merge(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="An adapter: an artifact, or one of PEFT's.")],
    *,
    output: Output,
) -> Answer:
    """Merge an adapter into its base: one model that stands alone."""
    return _shown(ftsdk.merge(folder, output))


def quantize(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A whole model: a folder, or a Hub id.")],
    kind: Annotated[str, typer.Argument(metavar="KIND", help="int8, int8-dynamic, int4, int4-packed, nf4, ...")],
    *,
    output: Output,
) -> Answer:
    """Hold a whole model in few bits."""
    return _shown(ftsdk.quantize(model, kind, output))


def _shown(artifact: "Artifact") -> Answer:
    manifest = artifact.manifest
    notes = manifest.plan.get("notes", ())

    def show(screen: Screen) -> None:
        weights = sum(record.size for name, record in manifest.files.items() if name.endswith(".safetensors"))
        rows = (("model", str(artifact.path)), ("base model", artifact.base_model), ("weights", size(weights)))
        screen.out.print(pairs(rows))
        for note in notes:
            screen.err.print(f"{note}.", style="dim")
        if manifest.method != "reward_modeling":  # it scores, and has nothing to say
            screen.err.print(pairs([("  try it", f"ftsdk chat {artifact.path}")]))

    return Answer(data=lambda: {**artifact.model_dump(mode="json"), "notes": list(notes)}, show=show)
