"""``ftsdk evaluate``: an artifact compared with its base model."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

import ftsdk
from ftsdk.cli.arguments import ArtifactFolder
from ftsdk.cli.command import CommandResult
from ftsdk.cli.console import Screen, heading, pairs, styled, table
from ftsdk.errors import InputError

if TYPE_CHECKING:
    from ftsdk.artifact import Comparison, Evaluation, Sample

_HEADINGS = ("", "metric", "base", "artifact", "rows")


def evaluate(
    folder: ArtifactFolder,
    *,
    tasks: Annotated[str, typer.Option(help="Names or YAML files, separated by commas: mmlu,my_task.yaml.")] = "",
    dataset: Annotated[Path | None, typer.Option(help="Rows for the loss, instead of those held out.")] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out/--no-held-out", help="Compute the loss on the job's held-out rows.")
    ] = True,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only this many rows of each dataset and task.")] = None,
    samples: Annotated[int, typer.Option(min=0, help="How many prompts both models answer.")] = 3,
    num_fewshot: Annotated[int | None, typer.Option(min=0, help="Solved examples before each question.")] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Apply the chat template to tasks.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions of tasks at a time.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="The seed that selects the solved examples.")] = 0,
    trust_task_code: Annotated[bool, typer.Option("--trust-task-code", help="Run code that tasks contain.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the numbers here, as JSON.")] = None,
) -> CommandResult:
    """Compare an artifact with its base model: held-out loss, tasks, answers."""
    evaluation = ftsdk.Artifact.open(folder).evaluate(
        tasks=[name.strip() for name in tasks.split(",") if name.strip()],
        dataset=dataset,
        held_out=held_out,
        limit=limit,
        samples=samples,
        num_fewshot=num_fewshot,
        chat=chat,
        batch_size=batch_size,
        seed=seed,
        trust_task_code=trust_task_code,
    )
    if output is not None:
        _write(output, evaluation)

    def show(screen: Screen) -> None:
        screen.out.print(table(_HEADINGS, _rows(evaluation)))
        for sample in evaluation.samples:
            answers = (("base", sample.base), ("artifact", sample.artifact), ("expected", sample.expected))
            screen.out.print(heading(_last_prompt(sample)))
            screen.out.print(pairs(answers))
        if output is not None:
            screen.err.print(f"written to {output}")

    return CommandResult(data=lambda: evaluation, show=show)


def _write(path: Path, evaluation: "Evaluation") -> None:
    from ftsdk.files import write_atomic  # noqa: PLC0415 - only where something is written

    try:
        write_atomic(path, evaluation.model_dump_json(indent=2) + "\n")
    except OSError as error:
        hint = "name a file in a folder that you may write to"
        raise InputError(f"cannot write {path}: {error.strerror}", hint=hint) from error


def _rows(evaluation: "Evaluation") -> Iterator[tuple[RenderableType, ...]]:
    if evaluation.held_out is not None:
        for comparison in evaluation.held_out.metrics:
            yield "held-out", *_columns(comparison), str(evaluation.held_out.rows)
    for task in evaluation.tasks:
        for comparison in task.metrics:
            yield task.task, *_columns(comparison), str(task.rows)


def _columns(comparison: "Comparison") -> tuple[RenderableType, ...]:
    base, artifact = comparison.base, comparison.artifact
    better = (
        base is not None
        and artifact is not None
        and base != artifact
        and (artifact > base) is comparison.higher_is_better
    )
    return (
        comparison.metric,
        comparison.base_text,
        styled(comparison.artifact_text, "green" if better else ""),
    )


def _last_prompt(sample: "Sample") -> str:
    return sample.prompt if isinstance(sample.prompt, str) else str(sample.prompt[-1].get("content") or "")
