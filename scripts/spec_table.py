"""Write the tables of docs/spec.md from the models: every field, and what other tools call it.

Run it after a change of the models or names: python scripts/spec_table.py
"""

from collections.abc import Iterable
from pathlib import Path

from ftsdk.spec.explain import Explanation, explain_all

PAGE = Path(__file__).parents[1] / "docs" / "spec.md"
MARKS = {name: (f"<!-- {name}: begin -->", f"<!-- {name}: end -->") for name in ("fields", "names")}


def page(old: str) -> str:
    """The page with its tables made anew between their marks."""
    for name, rows in (("fields", _fields()), ("names", _names())):
        begin, end = MARKS[name]
        before, after = old.partition(begin)[0], old.partition(end)[2]
        old = "\n".join([before + begin, "", *rows, "", end]) + after
    return old


def _fields() -> Iterable[str]:
    yield from ("| field | values | default | meaning |", "|---|---|---|---|")
    for found in explain_all():
        if found.fields:
            yield f"| **`{found.field}`** | | {_code(found.default)} | **{_text(found.text)}** |"
        else:
            yield f"| `{found.field}` | {found.type} | {_code(found.default)} | {_text(_meaning(found))} |"


def _names() -> Iterable[str]:
    yield from ("| our field | other names |", "|---|---|")
    for found in explain_all():
        if found.aliases:
            names = (f"`{name}` ({tools})" if tools else f"`{name}`" for name, tools in found.aliases.items())
            yield f"| `{found.field}` | {', '.join(names)} |"


def _meaning(found: Explanation) -> str:
    return f"{found.text} ({', '.join(found.methods)})" if found.methods else found.text


def _code(default: str) -> str:
    return default if default == "required" else f"`{default}`"


def _text(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
