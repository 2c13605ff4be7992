"""How artifacts are shown by fetch, merge and quantize."""

from typing import TYPE_CHECKING

from ftsdk.cli.command import CommandResult
from ftsdk.cli.console import Screen, pairs
from ftsdk.cli.units import size

if TYPE_CHECKING:
    from ftsdk.artifact import Artifact


def model_result(artifact: "Artifact") -> CommandResult:
    """The result of merge and quantize: a full model, with the notes on how it was made."""
    manifest = artifact.manifest
    notes = manifest.plan.get("notes", ())

    def show(screen: Screen) -> None:
        weights = sum(record.size for name, record in manifest.files.items() if name.endswith(".safetensors"))
        rows = (("model", str(artifact.path)), ("base model", artifact.base_model), ("weights", size(weights)))
        screen.out.print(pairs(rows))
        for note in notes:
            screen.err.print(f"{note}.", style="dim")
        show_chat_step(screen, artifact)

    return CommandResult(data=lambda: {**artifact.model_dump(mode="json"), "notes": list(notes)}, show=show)


def show_chat_step(screen: Screen, artifact: "Artifact") -> None:
    """Suggest ``ftsdk chat``, on stderr, for models that generate text; a reward model only scores it."""
    if artifact.manifest.method != "reward_modeling":
        screen.err.print(pairs([("  try it", f"ftsdk chat {artifact.path}")]))
