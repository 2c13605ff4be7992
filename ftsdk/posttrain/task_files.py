"""A task file of lm-evaluation-harness, looked at before the harness reads it: does it bring code?

Such a file may name Python functions (``!function``), which the harness imports; and its templates are Jinja, which
the harness renders outside of a sandbox.
"""

from collections.abc import Iterator
from pathlib import Path

import yaml

from ftsdk.errors import InputError, Problem

_PLAIN = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge")
)
_UNSAFE = "unsafe_code"

TRUST = "trust_task_code=True, on the command line --trust-task-code, runs it: read it first"


def check_plain(path: Path) -> None:
    """See that a task file, and each that it includes, is data and no code.

    Raises:
        InputError: One names code, with the line; or one cannot be read.
    """
    problems = [problem for file in _with_included(path, set()) for problem in _code_in(file)]
    if problems:
        raise InputError(f"the task file {path} brings code, which is not run unasked", problems=problems, hint=TRUST)


def group_in(path: Path) -> str | None:
    """The name of the group that a task file stands for; None: it is a task by itself.

    Raises:
        InputError: It cannot be read.
    """
    return next((str(value.value) for key, value in _pairs(_document(path)) if key.value == "group"), None)


def _with_included(path: Path, seen: set[Path]) -> Iterator[Path]:
    path = path.resolve()
    if path in seen:
        return
    seen.add(path)
    yield path
    for key, value in _pairs(_document(path)):
        if key.value == "include":
            names = [value] if isinstance(value, yaml.ScalarNode) else value.value
            for name in names:
                yield from _with_included(path.parent / str(name.value), seen)


def _code_in(path: Path) -> Iterator[Problem]:
    document = _document(path)
    for node in _nodes(document):
        if node.tag not in _PLAIN:
            what = f"{node.tag} {node.value}" if isinstance(node, yaml.ScalarNode) else node.tag
            yield Problem(f"{path}:{node.start_mark.line + 1}", f"{what} is code")
    for key, value in _pairs(document):
        if key.value == _UNSAFE and value.value != "false":
            yield Problem(f"{path}:{key.start_mark.line + 1}", f"{_UNSAFE} executes what the model writes")


def _document(path: Path) -> yaml.Node | None:
    try:
        text = path.read_text("utf-8")
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the task file {path} cannot be read: {error}", hint="give a YAML file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InputError(f"{place}: this is no YAML: {getattr(error, 'problem', error)}", hint="mend it") from error


def _pairs(document: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    return document.value if isinstance(document, yaml.MappingNode) else []


def _nodes(document: yaml.Node | None) -> Iterator[yaml.Node]:
    """Every node once, also where an alias makes a circle."""
    seen: set[int] = set()
    waiting = [document] if document is not None else []
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
