"""What the demo shows: tables of answers, the plan in short, the result."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ftsdk.backend import Plan

_MEBIBYTE = 2**20


def answers(questions: Sequence[str], columns: Mapping[str, Mapping[str, str]]) -> RenderableType:
    """Questions, and beside them the answers of one or more models, by heading."""
    sheet = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for heading in ("Question", *columns):
        sheet.add_column(heading, overflow="fold")
    for question in questions:
        sheet.add_row(question, *(Text(given[question]) for given in columns.values()))
    return Group(Text(), sheet)


def plan(found: Plan) -> RenderableType:
    """The plan in a few lines; ``ftsdk plan`` prints all of it."""
    spec = found.spec
    quantized = f", the base in {spec.compute.quantization}" if spec.compute.quantization else ""
    memory = f"{found.memory.total / _MEBIBYTE:,.0f} MiB at the peak" if found.memory else "not known"
    return _pairs(
        [
            ("The plan", f"teach it to talk like a pirate, on the backend {found.backend!r}"),
            ("model", spec.model),
            ("rows", f"{found.data.rows if found.data else 0} to learn from; other questions are held out"),
            ("method", f"SFT with LoRA of rank {spec.adapter.r if spec.adapter else 0}{quantized}"),
            ("training", f"{spec.training.max_steps} steps of {spec.training.global_batch_size} rows"),
            ("memory", memory),
            ("price", "nothing; it runs here"),
        ]
    )


def result(found: Mapping[str, Any]) -> RenderableType:
    """What has changed on the held-out questions, and where everything is."""
    held_out = found["held_out"]
    return _pairs(
        [
            ("Held out", f"{held_out['questions']} questions that no training row asks"),
            ("loss", _change(held_out["loss"], "{:.3f}")),
            ("pirate", _change(held_out["pirate"], "{:.0%}") + " of the answers"),
            ("right", _change(held_out["right"], "{:.0%}") + " of the facts"),
            ("adapter", found["artifact"]),
            ("loss curve", found["loss_curve"]),
            ("try it", f"ftsdk chat {found['artifact']}"),
        ]
    )


def _change(values: Mapping[str, float], shape: str) -> str:
    return " -> ".join(shape.format(values[side]) for side in ("before", "after"))


def _pairs(rows: Iterable[tuple[str, str]]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(label, Text(value))
    return Group(Text(), grid)
