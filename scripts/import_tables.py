"""Write the tables of docs/import.md from the importers: every key of each tool, and what becomes of it.

Run it after a change of their tables: python scripts/import_tables.py
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

from ftsdk.importers.convert import load_importer
from ftsdk.importers.importer import Importer, UnsupportedValue
from ftsdk.plugins import IMPORTERS, plugin_names
from ftsdk.spec.aliases import FIELDS

PAGE = Path(__file__).parents[1] / "docs" / "import.md"


def page(old: str) -> str:
    """The page with new tables between their marks."""
    importers = [load_importer(name) for name in plugin_names(IMPORTERS)]
    tables = {"fields": list(_fields(importers))}
    for importer in importers:
        tables |= {f"{importer.name} dropped": list(_dropped(importer.keys.dropped))}
        tables |= {f"{importer.name} refused": list(_refused(importer.keys.refused))}
    for name, rows in tables.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, after = old.partition(begin)[0], old.partition(end)[2]
        old = "\n".join([before + begin, "", *rows, "", end]) + after
    return old


def _fields(importers: Iterable[Importer]) -> Iterable[str]:
    """One row for each field of ours, with the keys of every tool."""
    keys_of_field: dict[str, dict[str, list[str]]] = {}
    for importer in importers:
        for key, fields in importer.keys.mapped.items():
            for field in fields.split(", "):
                keys_of_field.setdefault(field, {}).setdefault(importer.name, []).append(f"`{key}`")
    yield f"| ftsdk | {' | '.join(importer.tool for importer in importers)} |"
    yield "|---" * (1 + len(list(importers))) + "|"
    for field in sorted(keys_of_field):
        cells = (", ".join(keys_of_field[field].get(importer.name, [])) for importer in importers)
        is_field = field in FIELDS or field.startswith("backend_options.")
        yield f"| {f'`{field}`' if is_field else field} | {' | '.join(cells)} |"


def _dropped(table: Mapping[str, str]) -> Iterable[str]:
    yield from ("| why | keys |", "|---|---|")
    for reason, keys in groupby(table, key=lambda key: table[key]):
        yield f"| {reason} | {', '.join(f'`{key}`' for key in keys)} |"


def _refused(table: Mapping[str, UnsupportedValue]) -> Iterable[str]:
    yield from ("| why | instead | keys |", "|---|---|---|")
    for (reason, fix), keys in groupby(table, key=lambda key: table[key][:2]):
        yield f"| {reason} | {fix} | {', '.join(f'`{key}`' for key in keys)} |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
