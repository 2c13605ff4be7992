"""Refuse variables named by a bare participle or pronoun: ``found`` does not state what was found.

python scripts/check_names.py [PATH...]

It checks all bindings: assignments, loops, comprehensions, ``with``, ``except``, ``match``, ``import … as``,
parameters, and fields of classes. Names are compared in lower case and without outer underscores. Names of functions,
methods, properties and classes are not checked, because they may be verbs; nor are attributes where they are set,
because their names come from parameters.
"""

import argparse
import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

PARTICIPLES = """
added asked awaited broken brought changed come cut doing done drawn fitting found given gone happening heard held kept
known laid learned left lost made meant met named parted said seen sent shown taken told wanted
"""
# with words that stand for a noun as pronouns do
PRONOUNS = """
all_of_it another anything both each either everything how it mine neither nothing one other others ours own some
something strange such that theirs them these they this those what which who whole whose why
"""
# Allowed are terms of the field: chosen and rejected (preference data), hidden, packed, tuned, missing, expected and
# actual, native (in a tool's own words), caught (what pytest.raises caught).
FORBIDDEN = frozenset(f"{PARTICIPLES} {PRONOUNS}".split())

# Fields that others have stored or parse; to rename them is to change a format.
FORMATS = {
    "ftsdk/cli/doctor.py": {"what"},  # findings of `ftsdk doctor --json`
    "ftsdk/errors.py": {"what"},  # problems in every error that is printed as JSON
    "ftsdk/store/record.py": {"what"},  # a column of the table of changes
}

ROOT = Path(__file__).parents[1]
FOLDERS = ("ftsdk", "backends", "scripts", "benchmarks", "examples", "tests")


class Binding(NamedTuple):
    """A place where a name is bound."""

    name: str
    line: int
    field: bool = False
    """Whether the name is a field of a class."""

    @property
    def forbidden(self) -> bool:
        """Whether the name says nothing about its content; a format may need it nonetheless."""
        return self.name.strip("_").lower() in FORBIDDEN


def bindings(tree: ast.Module) -> Iterator[Binding]:
    """Every binding in a module, in no particular order."""
    fields: set[int] = set()
    operands: set[int] = set()
    for node in ast.walk(tree):  # parents come before their children
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                yield Binding(name, node.lineno, id(node) in fields)
            case ast.arg(arg=name):
                if id(node) not in operands:
                    yield Binding(name, node.lineno)
            case ast.ClassDef(body=body):
                fields.update(id(line.target) for line in body if isinstance(line, ast.AnnAssign))
            case ast.FunctionDef(name=name, args=parameters) if name.startswith("__"):
                # the language itself calls them so: __eq__(self, other)
                operands.update(id(parameter) for parameter in parameters.args if parameter.arg == "other")
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
                | ast.MatchMapping(rest=str(name))
                | ast.alias(asname=str(name))
            ):
                yield Binding(name, node.lineno)


def violations(path: Path, tree: ast.Module) -> list[Binding]:
    """The bindings of a file whose names are refused, from top to bottom."""
    formats = next((names for file, names in FORMATS.items() if path.match(file)), set[str]())
    refused = (
        binding for binding in bindings(tree) if binding.forbidden and not (binding.field and binding.name in formats)
    )
    return sorted(refused, key=lambda binding: binding.line)


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """The Python files among the paths and below them."""
    for path in paths:
        yield from sorted(path.rglob("*.py")) if path.is_dir() else (path,)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every forbidden name with its place.

    Returns:
        The exit status: 1 where there is any, else 0.
    """
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("paths", metavar="PATH", nargs="*", type=Path, help="a file or folder; default: all our code")
    paths: list[Path] = parser.parse_args(arguments).paths
    if absent := [str(path) for path in paths if not path.exists()]:
        parser.error(f"no such file or folder: {', '.join(absent)}")
    status = 0
    for path in files(paths or [ROOT / folder for folder in FOLDERS]):
        place = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        for name, line, _ in violations(path, ast.parse(path.read_bytes(), filename=str(path))):
            print(f"{place}:{line}: '{name}' says nothing about its content; name the noun (rows, path, error, …)")
            status = 1
    return status


if __name__ == "__main__":
    raise SystemExit(main())
