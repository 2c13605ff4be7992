"""The documentation is correct: links resolve, Python runs, commands exist, terms are standard, no backend is missing.

A block fenced as ``python`` must compile. One fenced as ``python run`` is also run, page by page from top to bottom in
one namespace, in an empty folder with ``train.jsonl``, on the fake backend; its ``assert`` lines are the test.
"""

import ast
import json
import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
COMMAND = re.compile(r"^(?:\$ )?ftsdk (?P<verb>[a-z]+)", re.MULTILINE)
CODE = re.compile(r"`[^`]+`")
STANDARD_TERMS = {
    "house": "engine environment",
    "door": "error mapper",
    "guest": "engine, runner, subprocess",
    "desk": "runner support",
    "sitter": "supervisor",
    "tongue": "log parser",
    "exam": "contract",
    "scenery": "fixtures, helpers",
    "stranger": "third party",
    "sow": "seed",
    "mend": "fix",
    "told": "report, pass",
    "heard": "receive, request",
    "anew": "again, from the beginning",
    "whoever": "users, callers",
    "few bits": "quantized",
    "in silence": "without an error, without a warning",
    "goes without": "does not have",
    "holds for": "is true for",
}
"""From a private word that no page uses to the terms of the field."""
ROWS = [{"prompt": f"What is {n} plus {n}?", "completion": f"{n + n}"} for n in range(20)]

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def _blocks(page: Path, language: str) -> list[tuple[str, str]]:
    """The info string and text of each block in a language, with the lines kept where they are in the page."""
    source = page.read_text(encoding="utf-8")
    blocks = [
        (match["info"], "\n" * source[: match.start("text")].count("\n") + match["text"])
        for match in BLOCK.finditer(source)
    ]
    return [(info, text) for info, text in blocks if info.split(" ")[0] == language]


def _headings(page: Path) -> set[str]:
    """The anchors that a page offers, as the usual renderers name them."""
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pages
def test_links_resolve(page: Path) -> None:
    """Every relative link leads to a file, and to a heading where it names one."""
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    targets = [match["target"] for match in LINK.finditer(prose) if "://" not in match["target"]]
    split = [(target, *target.partition("#")[::2]) for target in targets]
    missing_files = [target for target, file, _ in split if not (page.parent / file).exists()]
    missing_headings = [
        target
        for target, file, anchor in split
        if anchor and anchor not in _headings(page.parent / file if file else page)
    ]

    assert [] == missing_files
    assert [] == missing_headings


@pages
def test_pages_use_standard_terms(page: Path) -> None:
    """Prose uses the terms of the field; code blocks and inline code may show the names of earlier versions."""
    prose = " ".join(CODE.sub("", BLOCK.sub("", page.read_text(encoding="utf-8"))).split())
    private = [word for word in STANDARD_TERMS if re.search(rf"\b{word}s?\b", prose, re.IGNORECASE)]

    assert {} == {word: STANDARD_TERMS[word] for word in private}


@pages
def test_python_compiles(page: Path) -> None:
    """Every Python example can be parsed."""
    for _, text in _blocks(page, "python"):
        ast.parse(text, filename=str(page))


@pages
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python example marked ``run`` runs on the fake backend."""
    (tmp_path / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FTSDK_BACKEND", "fake")
    namespace = {"__name__": "__main__"}

    for info, text in _blocks(page, "python"):
        if "run" in info.split():
            exec(compile(text, str(page), "exec"), namespace)


@pages
def test_commands_exist(page: Path) -> None:
    """Every ``ftsdk VERB`` in a console block is a command."""
    from typer.main import get_group

    from ftsdk.cli import app

    verbs = {
        match["verb"]
        for language in ("bash", "console", "sh")
        for _, text in _blocks(page, language)
        for match in COMMAND.finditer(text)
    }

    assert set() == verbs - get_group(app).commands.keys()


def test_every_backend_has_a_page() -> None:
    """A backend that is registered is documented under its own name; the fake one among the testing tools."""
    names = {entry.name for entry in entry_points(group="ftsdk.backends") if entry.value.startswith("ftsdk_")}

    assert names == {page.stem for page in (ROOT / "docs" / "backends").glob("*.md")} & names
    assert "fake" in (ROOT / "docs" / "write-a-backend.md").read_text(encoding="utf-8")


def test_every_page_is_reachable() -> None:
    """docs/index.md links every page."""
    docs = ROOT / "docs"
    links = {
        match["target"].partition("#")[0] for match in LINK.finditer((docs / "index.md").read_text(encoding="utf-8"))
    }

    assert set() == {str(page.relative_to(docs)) for page in docs.rglob("*.md")} - links - {"index.md"}
