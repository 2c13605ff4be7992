"""``ftsdk chat``: prompts for an artifact."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

import ftsdk
from ftsdk.cli.arguments import ArtifactFolder
from ftsdk.cli.command import CommandResult
from ftsdk.cli.console import Screen

if TYPE_CHECKING:
    from ftsdk.artifact import Artifact


def chat(
    folder: ArtifactFolder,
    *,
    prompt: Annotated[str | None, typer.Option("--prompt", "-p", help="Send this one prompt, and exit.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 128,
) -> CommandResult:
    """Chat with an artifact; each prompt is a new conversation."""
    artifact = ftsdk.Artifact.open(folder)

    def show(screen: Screen) -> None:
        for text in [prompt] if prompt is not None else _prompts(screen):
            screen.out.print(_reply(artifact, text, max_new_tokens))

    return CommandResult(data=lambda: _conversation(artifact, prompt, max_new_tokens), show=show)


def _conversation(artifact: "Artifact", prompt: str | None, max_new_tokens: int) -> dict[str, Any]:
    if prompt is None:
        raise typer.BadParameter("--json needs --prompt, because it does not read prompts from the terminal")
    return {"prompt": prompt, "answer": _reply(artifact, prompt, max_new_tokens)}


def _reply(artifact: "Artifact", prompt: str, max_new_tokens: int) -> str:
    (answer,) = artifact.generate([[{"role": "user", "content": prompt}]], max_new_tokens=max_new_tokens)
    return answer


def _prompts(screen: Screen) -> Iterator[str]:
    """What the user types, until an empty line or the end of the input."""
    screen.err.print("Type a prompt; an empty line ends the chat.", style="dim")
    try:
        while prompt := screen.err.input("> ").strip():
            yield prompt
    except (EOFError, KeyboardInterrupt):
        screen.err.print()
