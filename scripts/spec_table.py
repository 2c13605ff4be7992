"""Write the tables of docs/spec.md from the models: every field, and what other tools call it.

Run it after a change of the models or names: python scripts/spec_table.py
"""

from collections.abc import Iterable
from pathlib import Path

from ftsdk.spec.explain import Explanation, explain_all

PAGE = Path(__file__).parents[1] / "docs" / "spec.md"
MARKS = {name: (f"<!-- {name}: begin -->", f"<!-- {name}: end -->") for name in ("fields", "names")}


def page(old: str) -> str:
    """The page with new tables between their marks."""
    for name, rows in (("fields", _fields()), ("names", _names())):
        begin, end = MARKS[name]
        before, after = old.partition(begin)[0], old.partition(end)[2]
        old = "\n".join([before + begin, "", *rows, "", end]) + after
    return old


def _fields() -> Iterable[str]:
    yield from ("| field | values | default | meaning |", "|---|---|---|---|")
    for field in explain_all():
        if field.fields:
            yield f"| **`{field.field}`** | | {_code(field.default)} | **{_text(field.text)}** |"
        else:
            yield f"| `{field.field}` | {field.type} | {_code(field.default)} | {_text(_meaning(field))} |"


def _names() -> Iterable[str]:
    yield from ("| our field | other names |", "|---|---|")
    for field in explain_all():
        if field.aliases:
            names = (f"`{name}` ({tools})" if tools else f"`{name}`" for name, tools in field.aliases.items())
            yield f"| `{field.field}` | {', '.join(names)} |"


def _meaning(field: Explanation) -> str:
    return f"{field.text} ({', '.join(field.methods)})" if field.methods else field.text


def _code(default: str) -> str:
    return default if default == "required" else f"`{default}`"


def _text(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
