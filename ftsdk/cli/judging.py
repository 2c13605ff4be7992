"""Judge what a job made beside its base, and show it to others: evaluate, publish."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

import ftsdk
from ftsdk.cli.command import Answer
from ftsdk.cli.console import Screen, heading, pairs, table, words
from ftsdk.errors import InputError

if TYPE_CHECKING:
    from ftsdk.artifact import Comparison, Evaluation, Sample

Folder = Annotated[Path, typer.Argument(metavar="ARTIFACT", help="The folder that fetch has made.")]


def evaluate(
    folder: Folder,
    *,
    tasks: Annotated[str, typer.Option(help="Names or YAML files, with commas between: mmlu,my_task.yaml.")] = "",
    dataset: Annotated[Path | None, typer.Option(help="Rows for the loss, instead of those held out.")] = None,
    held_out: Annotated[bool, typer.Option("--held-out/--no-held-out", help="Look at the job's held-out rows.")] = True,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first rows of each, this many.")] = None,
    samples: Annotated[int, typer.Option(min=0, help="Prompts that both answer.")] = 3,
    num_fewshot: Annotated[int | None, typer.Option(min=0, help="Solved examples before each question.")] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask tasks through the chat template.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions of tasks at a time.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Decides which solved examples are shown.")] = 0,
    trust_task_code: Annotated[bool, typer.Option("--trust-task-code", help="Run code that tasks bring.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the numbers here, as JSON.")] = None,
) -> Answer:
    """Measure what a job made beside its base: held-out loss, tasks, answers."""
    found = ftsdk.Artifact.open(folder).evaluate(
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
        _write(output, found)

    def show(screen: Screen) -> None:
        screen.out.print(table(("", "metric", "base", "artifact", "rows"), _rows(found)))
        for sample in found.samples:
            screen.out.print(heading(_asked(sample)))
            screen.out.print(
                pairs((("base", sample.base), ("artifact", sample.artifact), ("expected", sample.expected)))
            )
        if output is not None:
            screen.err.print(f"written to {output}")

    return Answer(data=lambda: found, show=show)


def publish(
    folder: Folder,
    repository: Annotated[str, typer.Argument(metavar="REPOSITORY", help="On the Hub, org/name.")],
    *,
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public.")] = False,
    evaluation: Annotated[Path | None, typer.Option(help="What evaluate --output has written, for the card.")] = None,
) -> Answer:
    """Upload what a job made to the Hugging Face Hub, with its card."""
    found = None if evaluation is None else _read(evaluation)
    address = ftsdk.Artifact.open(folder).push_to_hub(repository, private=not public, evaluation=found)
    return Answer(
        data=lambda: {"repository": repository, "commit": address},
        show=lambda screen: screen.out.print(address),
    )


def _read(path: Path) -> "Evaluation":
    from pydantic import ValidationError  # noqa: PLC0415 - only where a file is read

    from ftsdk.artifact import Evaluation  # noqa: PLC0415

    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        what = error.strerror if isinstance(error, OSError) else "it holds no evaluation of this version"
        hint = "give the file that ftsdk evaluate --output has written"
        raise InputError(f"{path} cannot be used: {what}", hint=hint) from error


def _write(path: Path, found: "Evaluation") -> None:
    from ftsdk.files import write_atomic  # noqa: PLC0415 - only where something is written

    try:
        write_atomic(path, found.model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}", hint="name a file of yours") from error


def _rows(found: "Evaluation") -> Iterator[tuple[RenderableType, ...]]:
    if found.held_out is not None:
        for each in found.held_out.metrics:
            yield "held-out", *_columns(each), str(found.held_out.rows)
    for task in found.tasks:
        for each in task.metrics:
            yield task.task, *_columns(each), str(task.rows)


def _columns(each: "Comparison") -> tuple[RenderableType, ...]:
    better = (
        None not in (each.base, each.artifact, each.higher_is_better)
        and each.base != each.artifact
        and (each.artifact > each.base) is each.higher_is_better  # type: ignore[operator] # None was looked for
    )
    return (
        each.metric,
        each.base_text,
        words(each.artifact_text, "green" if better else ""),
    )


def _asked(sample: "Sample") -> str:
    return sample.prompt if isinstance(sample.prompt, str) else str(sample.prompt[-1].get("content") or "")
