"""Show what would be sent, what becomes of every field, and what it needs; nothing is spent."""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

import ftsdk
from ftsdk.cli.arguments import BackendName, Overrides, SpecFile, Strict
from ftsdk.cli.command import Answer
from ftsdk.cli.compare import on_all_backends
from ftsdk.cli.console import Screen, heading, pairs, table, words
from ftsdk.cli.spec_input import read_spec
from ftsdk.cli.units import dollars, size

if TYPE_CHECKING:
    from ftsdk.backend import Plan, PlanNote
    from ftsdk.client import Estimate
    from ftsdk.data.report import DataReport
    from ftsdk.forecast import MemoryForecast


AllBackends = Annotated[
    bool, typer.Option("--all-backends", help="One row for each backend: can it, memory, time, price.")
]
Card = Annotated[
    str | None, typer.Option("--memory", metavar="SIZE", help="Say what fits on a card of this size, such as 24GiB.")
]


def plan(
    spec: SpecFile,
    overrides: Overrides = None,
    *,
    backend: BackendName = None,
    strict: Strict = False,
    memory: Card = None,
    all_backends: AllBackends = False,
) -> Answer:
    """Show what would be sent and what it needs; nothing is spent."""
    if all_backends and (backend or strict or memory is not None):
        raise typer.BadParameter("--all-backends goes with no other option")
    given = read_spec(spec, overrides)
    if all_backends:
        return on_all_backends(given)
    found = ftsdk.plan(given, backend=backend, strict=strict)
    card = ftsdk.estimate(given, memory, backend=backend) if memory is not None else None

    def show(screen: Screen) -> None:
        for part in _page(found):
            screen.out.print(part)
        if card:
            screen.out.print(heading(f"On a card of {size(card.limit)}"))
            screen.out.print(pairs(_card(card)))

    return Answer(data=lambda: _document(found, card), show=show)


def _document(found: "Plan", card: "Estimate | None") -> dict[str, Any]:
    """The plan as JSON data: notes with their names, and the sum of the memory's parts."""
    notes = {name: [note._asdict() for note in getattr(found, name)] for name in ("set_aside", "backends_own")}
    memory = found.memory and {**found.memory.model_dump(), "total": found.memory.total}
    document = {**found.model_dump(mode="json"), **notes, "memory": memory}
    return document if card is None else {**document, "card": _card_document(card)}


def _page(found: "Plan") -> Iterator[RenderableType]:
    """The parts of the plan, from what matters most to the request in full."""
    yield pairs(_summary(found))
    yield heading("Honoured")
    yield table(("field", "value", "native name"), _honoured(found))
    yield from _notes("Set aside", found.set_aside)
    yield from _notes("Decided by the backend itself", found.backends_own)
    if found.data:
        yield heading("Data")
        yield pairs(_data(found.data))
    if found.memory:
        yield heading("Memory on one device")
        yield pairs(_memory(found.memory))
    elif found.not_forecast:
        yield heading("Memory on one device")
        yield f"not known: {found.not_forecast}"
    yield heading("Native request")
    yield json.dumps(found.model_dump(mode="json")["native"], indent=2, ensure_ascii=False)
    if found.command:
        yield heading("The same by hand")
        yield found.command


def _summary(found: "Plan") -> Iterator[tuple[str, RenderableType]]:
    spec = found.spec
    yield "backend", found.backend
    yield "model", spec.model
    yield "method", spec.method.type + (f" with LoRA of rank {spec.adapter.r}" if spec.adapter else ", every weight")
    yield "price", found.charge if found.price is None and found.charge else dollars(found.price)
    yield from (("warning", words(warning, "yellow")) for warning in found.warnings)


def _honoured(found: "Plan") -> Iterator[tuple[RenderableType, ...]]:
    """Fields by section; native names that only repeat the field's own step back."""
    fields = found.spec.model_dump(mode="json")
    for section, group in groupby(sorted(found.honoured.items(), key=_section), key=_section):
        if section:
            yield words(section, "bold"), "", ""
        for field, native in group:
            name = field.rpartition(".")[2]
            label = f"  {name}" if section else name
            yield label, _value(fields, field), words(native, "dim" if native == name else "")


def _section(pair: tuple[str, str]) -> str:
    return pair[0].rpartition(".")[0]


def _value(fields: dict[str, Any], field: str) -> str:
    """The value of a dotted field."""
    found: Any = fields
    for part in field.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return _short(found)


def _short(value: Any) -> str:
    """A value as one line: a section by what is in it, without its blanks."""
    if isinstance(value, dict):
        return (
            ", ".join(f"{name} {_short(each)}" for name, each in value.items() if each not in (None, {}, [])) or "none"
        )
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
    yield from (("warning", words(warning, "yellow")) for warning in report.warnings)


def _memory(forecast: "MemoryForecast") -> Iterator[tuple[str, RenderableType]]:
    yield from ((part, size(count)) for part, count in forecast.model_dump().items())
    yield "total", words(size(forecast.total), "bold")


def _card(found: "Estimate") -> Iterator[tuple[str, RenderableType]]:
    """Whether it fits, how much more would, and what to change where it does not."""
    yield "total", words(size(found.total), "bold")
    yield "fits", words("yes", "green") if found.fits else words("no", "yellow")
    yield "largest", f"{found.largest_micro_batch} rows at a time, or one row of {found.largest_length:,} tokens"
    yield from (("with", f"{change}: {size(change.memory.total)}") for change in found.changes)


def _card_document(found: "Estimate") -> dict[str, Any]:
    changes = [{"settings": dict(change.settings), "total": change.memory.total} for change in found.changes]
    return {
        **found.model_dump(mode="json", exclude={"changes"}),
        "total": found.total,
        "fits": found.fits,
        "changes": changes,
    }
