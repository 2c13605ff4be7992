"""Write the tables of docs/forecast.md: the forecast beside every known published and measured point.

Run it after a change of the formula or of benchmarks/points.csv: python scripts/forecast_table.py
"""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from ftsdk import JobSpec
from ftsdk.forecast import LOGIT_ROWS, Architecture, MemoryForecast, TrainerProfile, forecast

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "forecast.md"
DATA = ROOT / "benchmarks"
MIB = 2**20

Row = dict[str, str]


class Point(NamedTuple):
    """A published or measured peak, and the forecast for the same settings."""

    row: Row
    memory: MemoryForecast

    @property
    def allocated(self) -> float:
        """Forecast by measured, of the bytes that a trainer's own counter shows."""
        return self.memory.allocated / MIB / float(self.row["allocated_mib"])

    @property
    def process(self) -> float | None:
        """Forecast by measured, of the bytes that the process takes of the card; None where they were not measured."""
        return self.memory.total / MIB / float(self.row["process_mib"]) if self.row["process_mib"] else None

    @property
    def group(self) -> tuple[str, str, str]:
        """Source, quantization, attention."""
        return self.row["source"], self.row["quantization"] or "not quantized", self.row["attention"]


def points() -> list[Point]:
    """Every point of benchmarks/points.csv."""
    models = _models()
    return [Point(row, _forecast(row, models)) for row in _rows("points.csv")]


def limits() -> Iterator[tuple[Row, float]]:
    """Every claim of benchmarks/limits.csv, with the forecast as a share of the card.

    States of a paged optimizer are left out, since they may be moved to the machine's memory.
    """
    models = _models()
    for row in _rows("limits.csv"):
        common = {"quantization": "nf4", "double_quantization": "yes", "computed": "mixed", "checkpointing": "yes"}
        memory = _forecast({**common, "rows": "1", "loss": "whole", "targets": "", "attention": "", **row}, models)
        paged = memory.optimizer if row["optim"].startswith("paged") else 0
        yield row, (memory.total - paged) / (float(row["card_gb"]) * 10**9)


def _forecast(row: Row, models: dict[str, Any]) -> MemoryForecast:
    rank, length, rows = int(row["rank"]), int(row["length"]), int(row["rows"])
    spec = JobSpec.model_validate(
        {
            "model": row["model"],
            "dataset": "rows.jsonl",
            "adapter": {"r": rank, "target_modules": row["targets"].split() or "all-linear"} if rank else None,
            "compute": {
                "quantization": row["quantization"] or None,
                "double_quantization": row["double_quantization"] == "yes",
            },
            "training": {"max_length": length, "optim": row.get("optim") or "adamw_torch"},
        }
    )
    trainer = TrainerProfile(
        width=4 if row["computed"] == "float32" else 2,
        checkpointing=row["checkpointing"] == "yes",
        cuda=row.get("machine") != "CPU",
        logit_rows=LOGIT_ROWS if row["loss"] == "chunked" else None,
        plain_width=int(row["plain_width"]) if row["plain_width"] else None,
        score_matrix=row["attention"] == "eager",
        autocast=row["computed"] == "mixed",
    )
    architecture = Architecture.from_config(models[row["model"]])
    assert architecture is not None, row["model"]
    return forecast(spec, architecture, trainer, tokens=rows * length)


def page(old: str) -> str:
    """The page with new tables between their marks."""
    for name, rows in (("summary", _summary()), ("limits", _limits()), ("points", _points())):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, after = old.partition(begin)[0], old.partition(end)[2]
        old = "\n".join([before + begin, "", *rows, "", end]) + after
    return old


def _summary() -> Iterable[str]:
    yield from _heading(
        *("source", "base", "attention", "points", "smallest", "median", "largest"),
        *("of the process: smallest", "median", "largest"),
    )
    all_points = points()
    for group in dict.fromkeys(point.group for point in all_points):
        members = [point for point in all_points if point.group == group]
        process = [point.process for point in members if point.process is not None]
        numbers = [_spread([point.allocated for point in members]), _spread(process)]
        yield f"| {' | '.join(group)} | {len(members)} | {' | '.join(numbers)} |"


def _spread(ratios: list[float]) -> str:
    if not ratios:
        return "| |"
    return f"{min(ratios):.3f} | {median(ratios):.3f} | {max(ratios):.3f}"


def _limits() -> Iterable[str]:
    yield from _heading("source", "card", "model", "LoRA rank", "tokens", "published", "forecast by card")
    for row, share in limits():
        claim = f"{row['claim']} | {share:.3f}"
        yield f"| {row['source']} | {row['card_gb']} GB | {row['model']} | {row['rank']} | {row['length']} | {claim} |"


def _points() -> Iterable[str]:
    yield from _heading(
        *("source", "machine", "model", "base", "attention", "computed in", "loss", "checkpointing"),
        *("rows x tokens", "LoRA rank", "measured MiB", "forecast by measured"),
    )
    for point in points():
        row = point.row
        size = f"{row['rows']} x {row['length']}"
        names = ("source", "machine", "model", "quantization", "attention", "computed", "loss", "checkpointing")
        cells = [row[name] or "not quantized" for name in names]
        rank = row["rank"] if row["rank"] != "0" else "all weights"
        yield f"| {' | '.join([*cells, size, rank, row['allocated_mib']])} | {point.allocated:.3f} |"


def _heading(*titles: str) -> Iterable[str]:
    return f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"


def _models() -> dict[str, Any]:
    models: dict[str, Any] = json.loads((DATA / "models.json").read_text("utf-8"))
    return models


def _rows(name: str) -> list[Row]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
