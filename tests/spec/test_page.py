"""The page on the spec agrees with the models."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tables_come_from_the_models():
    """The tables of docs/spec.md are those that the script makes; run scripts/spec_table.py after a change."""
    script = runpy.run_path(str(ROOT / "scripts" / "spec_table.py"))
    page = script["PAGE"].read_text(encoding="utf-8")

    assert script["page"](page) == page
