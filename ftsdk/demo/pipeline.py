"""The steps of the demo: ask, plan, train, fetch, ask again."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from ftsdk import client
from ftsdk.artifact import Artifact
from ftsdk.client import Job
from ftsdk.demo import page
from ftsdk.demo.persona import SAMPLE_QUESTIONS, PersonaExample, is_pirate
from ftsdk.demo.persona import examples as all_examples
from ftsdk.demo.workspace import stopped_on_error, workspace, writable
from ftsdk.files import write_atomic
from ftsdk.spec import Compute, Dataset, JobSpec, LoRA, Training

_LONGEST_ANSWER = 40
"""Tokens."""


def run(
    console: Console, *, out: Path, keep: bool = False, follow: Callable[[str], object] = client.wait
) -> dict[str, Any]:
    """Teach the tiny model to talk like a pirate, and show the change.

    Args:
        console: Where to print.
        out: Folder for the artifact; an existing artifact is renamed, never lost.
        keep: Keep the job, its checkpoints and its rows in the user's state folder. Else they are removed at the end.
        follow: Shows the progress of a job, given its reference, until it has succeeded.

    Returns:
        As JSON data: the answers before and after, shares and losses on held-out questions, and paths.

    Raises:
        InputError: ``out`` cannot be written to.
        FtsdkError: The local backend cannot run here, or the job failed.
    """
    begin = time.monotonic()
    out = writable(out)
    base = tiny_model()
    train, held_out = all_examples()
    with workspace(keep=keep) as folder:
        spec = _spec(base, _write(folder / "train.jsonl", train), _write(folder / "held-out.jsonl", held_out))
        plan = client.plan(spec, backend="local")
        before = _ask(base, held_out)
        console.print(page.answers(SAMPLE_QUESTIONS, {"The tiny model, as it comes": before}))
        console.print(page.plan_summary(plan))
        job = client.submit(spec, backend="local")
        with nullcontext() if keep else stopped_on_error(job):
            follow(job.ref)
            artifact = job.fetch(out, force=True)
            losses = _held_out_losses(job)
        after = _ask(artifact, held_out)
    results = {
        "job": job.ref,
        "artifact": str(artifact.path),
        "answers": [
            {"question": question, "before": before[question], "after": after[question]}
            for question in SAMPLE_QUESTIONS
        ],
        "held_out": {
            "questions": len(held_out),
            "loss": losses,
            "pirate": _compare(_is_in_pirate_voice, held_out, before, after),
            "right": _compare(_is_right, [example for example in held_out if example.word], before, after),
        },
        "loss_curve": str(artifact.path / "loss.png"),
        "seconds": round(time.monotonic() - begin, 1),
    }
    console.print(page.answers(SAMPLE_QUESTIONS, {"Before": before, "After": after}))
    console.print(page.result(results))
    return results


def tiny_model() -> Artifact:
    """The model that ships with the package; ``scripts/make_tiny_model.py`` makes it."""
    return Artifact.open(Path(str(files("ftsdk.demo") / "tiny-model")))


def _spec(base: Artifact, train: Path, held_out: Path) -> JobSpec:
    return JobSpec(
        name="captain-tuna",
        model=str(base.path),
        dataset=Dataset(path=str(train)),
        eval_dataset=Dataset(path=str(held_out)),
        adapter=LoRA(r=16),
        training=Training(
            max_steps=120, learning_rate=3e-3, global_batch_size=16, max_length=128, eval_steps=30, save_steps=60
        ),
        compute=Compute(quantization="nf4" if find_spec("bitsandbytes") else None),  # not available for macOS
    )


def _write(path: Path, rows: Sequence[PersonaExample]) -> Path:
    write_atomic(path, "".join(json.dumps(example.row()) + "\n" for example in rows))
    return path


def _ask(artifact: Artifact, examples: Sequence[PersonaExample]) -> dict[str, str]:
    """The artifact's likeliest answer to each question."""
    prompts = [example.row()["messages"][:1] for example in examples]
    answers = artifact.generate(prompts, max_new_tokens=_LONGEST_ANSWER)
    return {example.question: answer for example, answer in zip(examples, answers, strict=True)}


def _is_in_pirate_voice(_: PersonaExample, answer: str) -> bool:
    return is_pirate(answer)


def _is_right(example: PersonaExample, answer: str) -> bool:
    return example.word in answer


def _compare(
    criterion: Callable[[PersonaExample, str], bool], examples: Sequence[PersonaExample], *answers: Mapping[str, str]
) -> dict[str, float]:
    """The share of answers that meet a criterion, before and after."""
    shares = [
        sum(criterion(example, replies[example.question]) for example in examples) / len(examples)
        for replies in answers
    ]
    return dict(zip(("before", "after"), shares, strict=True))


def _held_out_losses(job: Job) -> dict[str, float]:
    losses = [event.metrics["eval_loss"] for event in job.events() if "eval_loss" in event.metrics]
    return {"before": losses[0], "after": losses[-1]}
