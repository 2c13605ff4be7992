"""What the demo shows: tables of answers, the plan in short, the result."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ftsdk.backend import Plan


def answers(questions: Sequence[str], columns: Mapping[str, Mapping[str, str]]) -> RenderableType:
    """Questions, and beside them the answers of one or more models, by heading."""
    grid = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for heading in ("Question", *columns):
        grid.add_column(heading, overflow="fold")
    for question in questions:
        grid.add_row(question, *(Text(column[question]) for column in columns.values()))
    return Group(Text(), grid)


def plan_summary(plan: Plan) -> RenderableType:
    """The plan in a few lines; ``ftsdk plan`` prints the full one."""
    spec = plan.spec
    quantized = f", the base in {spec.compute.quantization}" if spec.compute.quantization else ""
    memory = f"{plan.memory.total / 2**20:,.0f} MiB at the peak" if plan.memory else "not known"
    return _pairs(
        [
            ("The plan", f"teach it to talk like a pirate, on the backend {plan.backend!r}"),
            ("model", spec.model),
            ("rows", f"{plan.data.rows if plan.data else 0} to train on; other questions are held out"),
            ("method", f"SFT with LoRA of rank {spec.adapter.r if spec.adapter else 0}{quantized}"),
            ("training", f"{spec.training.max_steps} steps of {spec.training.global_batch_size} rows"),
            ("memory", memory),
            ("price", "nothing; it runs here"),
        ]
    )


def result(results: Mapping[str, Any]) -> RenderableType:
    """The changes on the held-out questions, and the paths of the results."""
    held_out = results["held_out"]
    return _pairs(
        [
            ("Held out", f"{held_out['questions']} questions that no training row asks"),
            ("loss", _change(held_out["loss"], "{:.3f}")),
            ("pirate", _change(held_out["pirate"], "{:.0%}") + " of the answers"),
            ("right", _change(held_out["right"], "{:.0%}") + " of the facts"),
            ("adapter", results["artifact"]),
            ("loss curve", results["loss_curve"]),
            ("try it", f"ftsdk chat {results['artifact']}"),
        ]
    )


def _change(values: Mapping[str, float], shape: str) -> str:
    return " -> ".join(shape.format(values[moment]) for moment in ("before", "after"))


def _pairs(rows: Iterable[tuple[str, str]]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(label, Text(value))
    return Group(Text(), grid)
