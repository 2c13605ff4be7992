"""``ftsdk plan``: the exact request, how every field is used, and what the job needs; nothing is spent."""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

import ftsdk
from ftsdk.cli.all_backends import compare_backends
from ftsdk.cli.arguments import BackendName, Overrides, SpecFile, Strict
from ftsdk.cli.command import CommandResult
from ftsdk.cli.console import Screen, heading, pairs, styled, table
from ftsdk.cli.spec_input import read_spec
from ftsdk.cli.units import dollars, size

if TYPE_CHECKING:
    from ftsdk.backend import Plan, PlanNote
    from ftsdk.client import Estimate
    from ftsdk.data.report import DataReport
    from ftsdk.forecast import MemoryForecast


AllBackends = Annotated[
    bool, typer.Option("--all-backends", help="One row for each backend: supported or not, memory, time, price.")
]
Card = Annotated[
    str | None, typer.Option("--memory", metavar="SIZE", help="Show what fits on a card of this size, such as 24GiB.")
]


def plan(
    spec: SpecFile,
    overrides: Overrides = None,
    *,
    backend: BackendName = None,
    strict: Strict = False,
    memory: Card = None,
    all_backends: AllBackends = False,
) -> CommandResult:
    """Show what would be sent and what it needs; nothing is spent."""
    if all_backends and (backend or strict or memory is not None):
        raise typer.BadParameter("--all-backends cannot be combined with other options")
    job_spec = read_spec(spec, overrides)
    if all_backends:
        return compare_backends(job_spec)
    job_plan = ftsdk.plan(job_spec, backend=backend, strict=strict)
    card = ftsdk.estimate(job_spec, memory, backend=backend) if memory is not None else None

    def show(screen: Screen) -> None:
        for part in _page(job_plan):
            screen.out.print(part)
        if card:
            screen.out.print(heading(f"On a card of {size(card.limit)}"))
            screen.out.print(pairs(_card(card)))

    return CommandResult(data=lambda: _document(job_plan, card), show=show)


def _document(plan: "Plan", card: "Estimate | None") -> dict[str, Any]:
    """The plan as JSON data: notes with their names, and the sum of the memory's parts."""
    notes = {name: [note._asdict() for note in getattr(plan, name)] for name in ("set_aside", "backends_own")}
    memory = plan.memory and {**plan.memory.model_dump(), "total": plan.memory.total}
    document = {**plan.model_dump(mode="json"), **notes, "memory": memory}
    return document if card is None else {**document, "card": _card_document(card)}


def _page(plan: "Plan") -> Iterator[RenderableType]:
    """The parts of the plan, from the summary to the full request."""
    yield pairs(_summary(plan))
    yield heading("Used")
    yield table(("field", "value", "native name"), _honoured(plan))
    yield from _notes("Ignored advice", plan.set_aside)
    yield from _notes("Decided by the backend", plan.backends_own)
    if plan.data:
        yield heading("Data")
        yield pairs(_data(plan.data))
    if plan.memory:
        yield heading("Memory on one device")
        yield pairs(_memory(plan.memory))
    elif plan.not_forecast:
        yield heading("Memory on one device")
        yield f"not known: {plan.not_forecast}"
    yield heading("Native request")
    yield json.dumps(plan.model_dump(mode="json")["native"], indent=2, ensure_ascii=False)
    if plan.command:
        yield heading("Equivalent command")
        yield plan.command


def _summary(plan: "Plan") -> Iterator[tuple[str, RenderableType]]:
    spec = plan.spec
    yield "backend", plan.backend
    yield "model", spec.model
    yield "method", spec.method.type + (f" with LoRA of rank {spec.adapter.r}" if spec.adapter else ", every weight")
    yield "price", plan.charge if plan.price is None and plan.charge else dollars(plan.price)
    yield from (("warning", styled(warning, "yellow")) for warning in plan.warnings)


def _honoured(plan: "Plan") -> Iterator[tuple[RenderableType, ...]]:
    """Fields by section; native names that only repeat the field's own are dimmed."""
    fields = plan.spec.model_dump(mode="json")
    for section, group in groupby(sorted(plan.honoured.items(), key=_section), key=_section):
        if section:
            yield styled(section, "bold"), "", ""
        for field, native in group:
            name = field.rpartition(".")[2]
            label = f"  {name}" if section else name
            yield label, _value(fields, field), styled(native, "dim" if native == name else "")


def _section(pair: tuple[str, str]) -> str:
    return pair[0].rpartition(".")[0]


def _value(fields: dict[str, Any], field: str) -> str:
    """The value of a dotted field."""
    value: Any = fields
    for part in field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return _short(value)


def _short(value: Any) -> str:
    """A value as one line: of a section, the fields that are set."""
    if isinstance(value, dict):
        parts = [f"{name} {_short(part)}" for name, part in value.items() if part not in (None, {}, [])]
        return ", ".join(parts) or "none"
    if isinstance(value, str):
        return value
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _notes(title: str, notes: "Iterable[PlanNote]") -> Iterator[RenderableType]:
    if notes:
        yield heading(title)
        yield pairs((note.field, note.text) for note in notes)


def _data(report: "DataReport") -> Iterator[tuple[str, RenderableType]]:
    yield "format", report.format
    yield "rows", f"{report.rows:,}"
    yield "characters", f"{report.characters:,}"
    yield from (("warning", styled(warning, "yellow")) for warning in report.warnings)


def _memory(forecast: "MemoryForecast") -> Iterator[tuple[str, RenderableType]]:
    yield from ((part, size(count)) for part, count in forecast.model_dump().items())
    yield "total", styled(size(forecast.total), "bold")


def _card(estimate: "Estimate") -> Iterator[tuple[str, RenderableType]]:
    """Whether it fits, the largest that fits, and the changes that make it fit."""
    yield "total", styled(size(estimate.total), "bold")
    yield "fits", styled("yes", "green") if estimate.fits else styled("no", "yellow")
    yield "largest", f"{estimate.largest_micro_batch} rows at a time, or one row of {estimate.largest_length:,} tokens"
    yield from (("with", f"{change}: {size(change.memory.total)}") for change in estimate.changes)


def _card_document(estimate: "Estimate") -> dict[str, Any]:
    changes = [{"settings": dict(change.settings), "total": change.memory.total} for change in estimate.changes]
    return {
        **estimate.model_dump(mode="json", exclude={"changes"}),
        "total": estimate.total,
        "fits": estimate.fits,
        "changes": changes,
    }
