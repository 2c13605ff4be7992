"""Check a task file of lm-evaluation-harness for code before the harness reads it.

A task file may name Python functions (``!function``), which the harness imports while it parses the file. So the check
works on the YAML nodes, without constructing an object.
"""

from collections.abc import Iterator
from pathlib import Path

import yaml

from ftsdk.errors import InputError, Problem

# A list of what is allowed: a tag that a later version of the harness adds is refused, too.
_DATA_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge")
)
_UNSAFE_KEY = "unsafe_code"

TRUST = "trust_task_code=True, on the command line --trust-task-code, runs it: read it first"


def check_no_code(path: Path) -> None:
    """Check that a task file, and each file that it includes, holds data and no code.

    Raises:
        InputError: A file names code, with the line; or it cannot be read.
    """
    problems = [problem for file in _with_included(path, set()) for problem in _code_in(file)]
    if problems:
        raise InputError(
            f"the task file {path} holds code, which runs only if you trust it", problems=problems, hint=TRUST
        )


def group_name(path: Path) -> str | None:
    """The name of the group that a file defines; None: it defines a single task.

    Raises:
        InputError: It cannot be read.
    """
    return next((str(value.value) for key, value in _pairs(_document(path)) if key.value == "group"), None)


def _with_included(path: Path, visited: set[Path]) -> Iterator[Path]:
    path = path.resolve()
    if path in visited:  # files may include each other
        return
    visited.add(path)
    yield path
    for key, value in _pairs(_document(path)):
        if key.value == "include":
            names = [value] if isinstance(value, yaml.ScalarNode) else value.value
            for name in names:
                yield from _with_included(path.parent / str(name.value), visited)


def _code_in(path: Path) -> Iterator[Problem]:
    document = _document(path)
    for node in _nodes(document):
        if node.tag not in _DATA_TAGS:
            code = f"{node.tag} {node.value}" if isinstance(node, yaml.ScalarNode) else node.tag
            yield Problem(f"{path}:{node.start_mark.line + 1}", f"{code} is code")
    for key, value in _pairs(document):
        if key.value == _UNSAFE_KEY and value.value != "false":
            yield Problem(f"{path}:{key.start_mark.line + 1}", f"{_UNSAFE_KEY} executes code that the model writes")


def _document(path: Path) -> yaml.Node | None:
    try:
        text = path.read_text("utf-8")
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the task file {path} cannot be read: {error}", hint="give a YAML file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InputError(f"{place}: this is no YAML: {getattr(error, 'problem', error)}", hint="correct it") from error


def _pairs(document: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    return document.value if isinstance(document, yaml.MappingNode) else []


def _nodes(document: yaml.Node | None) -> Iterator[yaml.Node]:
    """Every node once."""
    visited: set[int] = set()  # an alias may refer to a node that contains it
    stack = [document] if document is not None else []
    while stack:
        node = stack.pop()
        if id(node) in visited:
            continue
        visited.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            stack += [child for pair in node.value for child in pair]
        elif isinstance(node, yaml.SequenceNode):
            stack += node.value
