"""Measure the code of a checkout: lengths of files and functions, share of docstrings, import cycles.

python scripts/measure_code.py [--root DIR] [--since REV] [--json]

It measures ftsdk and the packages in backends/, and counts the tests. Lengths are in lines; the length of a function is
that of its body without the docstring. All imports count, also those in functions and for type checkers.
"""

import argparse
import ast
import io
import json
import subprocess
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

from check_names import bindings, violations

LONG_FUNCTION = 50
LONG_SUBJECT = 72

Function = ast.FunctionDef | ast.AsyncFunctionDef
Graph = Mapping[str, set[str]]


class Module(NamedTuple):
    """A source file."""

    path: Path
    name: str
    """As it is imported: ``ftsdk.spec.loader``."""
    package: str
    """The folder's name, dotted; files that lie in ``ftsdk`` itself stand for themselves, as import-linter has it."""
    source: str
    tree: ast.Module

    @property
    def functions(self) -> Iterator[Function]:
        """All functions and methods, nested ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    @property
    def classes(self) -> Iterator[ast.ClassDef]:
        """All classes, nested ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))


class Spread(NamedTuple):
    """How a length is distributed."""

    median: int
    p90: int
    max: int

    def __str__(self) -> str:
        return " / ".join(map(str, self))


@dataclass(frozen=True)
class Measures:
    """The figures of a checkout, by what they count; shares are between 0 and 1."""

    files: int
    lines: int
    file_lines: Spread
    functions: int
    function_lines: Spread
    long_functions: int
    parameters_annotated: float
    """Share of all parameters but ``self`` and ``cls``."""
    functions_documented: float
    """Share of the functions and methods whose names begin with no underscore."""
    comments_alone: int
    """Comments with a line of their own."""
    comments_trailing: int
    """Comments behind code, but for those that only speak to a tool (``noqa``, ``type: ignore``)."""
    comment_share_alone: float
    comment_share_trailing: float
    file_cycles: list[list[str]]
    package_cycles: list[list[str]]
    names: int
    """Bindings of variables, parameters and fields."""
    forbidden_names: int
    """Bindings that check_names.py refuses."""
    classes: int
    class_names: int
    repeated_classes: dict[str, int]
    """Names of classes that are defined more than once, with how often."""
    tests: int
    commits: int | None
    """None: no Git history."""
    long_subjects: int | None
    """Commits with a subject of more than 72 characters."""

    @property
    def table(self) -> Iterator[tuple[str, str]]:
        """Rows of text: a label, and its figures."""
        yield "files / lines", f"{self.files} / {self.lines}"
        yield "lines of a file: median / p90 / max", str(self.file_lines)
        yield "lines of a function: median / p90 / max", str(self.function_lines)
        long = f"{self.long_functions} of {self.functions}"
        yield f"functions of more than {LONG_FUNCTION} lines", f"{long} ({self.long_functions / self.functions:.1%})"
        yield "parameters annotated", f"{self.parameters_annotated:.1%}"
        yield "public functions with a docstring", f"{self.functions_documented:.1%}"
        yield "comments on lines of their own", f"{self.comments_alone} ({self.comment_share_alone:.2%} of lines)"
        yield "comments behind code", f"{self.comments_trailing} ({self.comment_share_trailing:.2%} of lines)"
        yield from _cycle_rows("files", self.file_cycles)
        yield from _cycle_rows("packages", self.package_cycles)
        share = self.forbidden_names / self.names
        yield "names that say nothing", f"{self.forbidden_names} of {self.names} bindings ({share:.1%})"
        repeated = ", ".join(f"{name} x{count}" for name, count in self.repeated_classes.items())
        counts = f"{len(self.repeated_classes)} of {self.class_names}"
        yield "names of more than one class", f"{counts}{f': {repeated}' if repeated else ''}"
        yield "tests", str(self.tests)
        if self.commits is not None:
            yield f"subjects of more than {LONG_SUBJECT} characters", f"{self.long_subjects} of {self.commits} commits"


def measure(root: Path, since: str | None = None) -> Measures:
    """The figures of a checkout.

    Args:
        root: Its folder.
        since: Count only commits after this revision.
    """
    modules = list(_modules(root))
    functions = [function for module in modules for function in module.functions]
    lengths = [_body_length(function) for function in functions]
    lines = [len(module.source.splitlines()) for module in modules]
    parameters = [parameter for function in functions for parameter in _parameters(function)]
    public = [function for function in functions if not function.name.startswith("_")]
    comments = Counter(kind for module in modules for kind in _comments(module.source))
    classes = Counter(definition.name for module in modules for definition in module.classes)
    imports = _imports(modules)
    subjects = _subjects(root, since)
    return Measures(
        files=len(modules),
        lines=sum(lines),
        file_lines=_spread(lines),
        functions=len(functions),
        function_lines=_spread(lengths),
        long_functions=sum(length > LONG_FUNCTION for length in lengths),
        parameters_annotated=_share(parameter.annotation is not None for parameter in parameters),
        functions_documented=_share(ast.get_docstring(function) is not None for function in public),
        comments_alone=comments["alone"],
        comments_trailing=comments["trailing"],
        comment_share_alone=comments["alone"] / sum(lines),
        comment_share_trailing=comments["trailing"] / sum(lines),
        file_cycles=_cycles(imports),
        package_cycles=_cycles(_between_packages(imports, modules)),
        names=sum(1 for module in modules for _ in bindings(module.tree)),
        forbidden_names=sum(len(violations(module.path, module.tree)) for module in modules),
        classes=sum(classes.values()),
        class_names=len(classes),
        repeated_classes={name: count for name, count in sorted(classes.items()) if count > 1},
        tests=_tests(root / "tests"),
        commits=None if subjects is None else len(subjects),
        long_subjects=None if subjects is None else sum(len(subject) > LONG_SUBJECT for subject in subjects),
    )


def _modules(root: Path) -> Iterator[Module]:
    for base, folder in ((root, root / "ftsdk"), (root / "backends", root / "backends")):
        for file in sorted(folder.rglob("*.py")):
            name = ".".join(file.relative_to(base).with_suffix("").parts).removesuffix(".__init__")
            package = ".".join(file.relative_to(base).parent.parts)
            source = file.read_text(encoding="utf-8")
            yield Module(file, name, name if package == "ftsdk" else package, source, ast.parse(source, str(file)))


def _spread(lengths: Sequence[int]) -> Spread:
    ranks = sorted(lengths)
    return Spread(round(median(ranks)), ranks[len(ranks) * 9 // 10], ranks[-1])


def _share(facts: Iterable[bool]) -> float:
    counts = Counter(facts)
    return counts[True] / max(counts.total(), 1)


def _body_length(function: Function) -> int:
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def _parameters(function: Function) -> Iterator[ast.arg]:
    syntax = function.args
    variadic = (parameter for parameter in (syntax.vararg, syntax.kwarg) if parameter)
    for parameter in (*syntax.posonlyargs, *syntax.args, *syntax.kwonlyargs, *variadic):
        if parameter.arg not in ("self", "cls"):
            yield parameter


def _comments(source: str) -> Iterator[str]:
    """The kind of each comment: ``alone`` or ``trailing``."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if not token.line[: token.start[1]].strip():
                yield "alone"
            elif not token.string.startswith(("# noqa", "# type:")):
                yield "trailing"


def _imports(modules: Sequence[Module]) -> Graph:
    """The modules that each one imports."""
    names = {module.name for module in modules}
    return {module.name: set(_targets(module, names)) - {module.name} for module in modules}


def _targets(module: Module, names: set[str]) -> Iterator[str]:
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=aliases):
                yield from (alias.name for alias in aliases if alias.name in names)
            case ast.ImportFrom(module=str(source), names=aliases, level=0):  # ours are all absolute
                targets = (f"{source}.{alias.name}" for alias in aliases)
                yield from ({target if target in names else source for target in targets} & names)


def _between_packages(imports: Graph, modules: Sequence[Module]) -> Graph:
    """The packages that each one imports from; what ``ftsdk`` itself only re-exports is no dependency."""
    packages = {module.name: module.package for module in modules}
    graph: dict[str, set[str]] = {package: set() for package in packages.values()}
    for name, targets in imports.items():
        if name != "ftsdk":
            graph[packages[name]] |= {packages[target] for target in targets} - {packages[name]}
    return graph


def _cycles(graph: Graph) -> list[list[str]]:
    """The groups of nodes that all lead to each other."""
    reach = {node: _reachable(graph, node) for node in graph}
    groups = {frozenset(node for node in reach[start] if start in reach[node]) for start in graph}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _reachable(graph: Graph, start: str) -> set[str]:
    reached: set[str] = set()
    stack = [start]
    while stack:
        targets = graph[stack.pop()] - reached
        reached |= targets
        stack += targets
    return reached


def _cycle_rows(kind: str, cycles: list[list[str]]) -> Iterator[tuple[str, str]]:
    label = f"import cycles between {kind}"
    yield label, str(len(cycles))
    yield from (("", " <-> ".join(cycle)) for cycle in cycles)


def _tests(folder: Path) -> int:
    trees = (ast.parse(file.read_bytes(), str(file)) for file in folder.rglob("test_*.py"))
    functions = (node for tree in trees for node in ast.walk(tree) if isinstance(node, Function))
    return sum(function.name.startswith("test_") for function in functions)


def _subjects(root: Path, since: str | None) -> list[str] | None:
    if not (root / ".git").exists():
        return None
    revisions = f"{since}..HEAD" if since else "HEAD"
    command = ["git", "-C", str(root), "log", "--format=%s", revisions]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="the checkout; default: this one")
    parser.add_argument("--since", metavar="REV", help="count only commits after this revision; default: all")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    measures = measure(options.root, options.since)
    if options.json:
        print(json.dumps(asdict(measures), indent=2))
        return
    rows = list(measures.table)
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        print(f"{label:{width}}  {text}")


if __name__ == "__main__":
    main()
