"""YAML by the core schema of its version 1.2, bounded and plain: ``2e-4`` is a number, ``no`` and ``12:30`` are text.

PyYAML alone follows version 1.1, lets a later key win over an earlier one, and expands aliases without end.
"""

import re
from collections.abc import Callable
from typing import Any

import yaml

from ftsdk.spec.validation_messages import Mistake, shown_key, unquoted

_LONGEST = 2**17  # characters, which PyYAML takes seconds to read
_DEEPEST = 24  # sections within sections
_TAG = "tag:yaml.org,2002:"

_PATTERNS = (
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?[0-9]{1,4300}|0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}", [*"-+0123456789"]),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
)
"""For each kind of plain scalar: its tag, its pattern (10.3.2 of the YAML 1.2 specification), and its first signs."""

_READ: dict[str, Callable[[str], Any]] = {
    "str": str,
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": lambda text: int(text, 0) if text[:2] in ("0o", "0x") else int(text),
    "float": float,
}


def read_yaml(text: str, lines: dict[str, int] | None = None) -> Any:
    """Read one value; the line of each dotted key, from 1, is put into ``lines``.

    Raises:
        Mistake: The text is no YAML, or holds an anchor, an alias, a tag, a key twice in one section, or
            more than 128 Ki characters.
    """
    if len(text) > _LONGEST:
        raise Mistake(f"is too long for YAML, which may have {_LONGEST} characters")
    where, what = "", "this cannot be read"
    try:
        node = _Composer(text).get_single_node()
        return None if node is None else _value(node, "", {} if lines is None else lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        what = unquoted(error.problem or error.context or what)
    except yaml.reader.ReaderError as error:
        where, what = f", line {1 + text[: error.position].count(chr(10))}", "a control character"
    except Mistake:
        raise
    except (ValueError, OverflowError):
        what = "an escape names no character"  # PyYAML hands an impossible \U to chr
    raise Mistake(f"is no valid YAML{where}: {what}")


def write_yaml(data: Any) -> str:
    """Data as YAML that reads the same by version 1.1 and 1.2: what either could mistake is put in quotes."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)


class _Composer(yaml.SafeLoader):
    """PyYAML's reader with a greatest depth and without anchors: an alias may hide a bomb."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs give it no types
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _not_read("nested too deep", event.start_mark)
        if getattr(event, "anchor", None) is not None:
            raise _not_read("anchors and aliases are not read", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise _not_read("tags are not read", event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _not_read(what: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=place)


class _Dumper(yaml.SafeDumper):
    """PyYAML's writer, which also knows the numbers of version 1.2."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002  # PyYAML names it
        """Indent lists within sections."""
        super().increase_indent(flow, False)


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    """Unicode's own line breaks survive in double quotes only."""
    style = '"' if any(sign in text for sign in "\x85\u2028\u2029") else None
    return dumper.represent_scalar(f"{_TAG}str", text, style)


_Dumper.add_representer(str, _write_text)
for _tag, _pattern, _first in _PATTERNS:
    for _kind in (_Composer, _Dumper):
        _kind.add_implicit_resolver(f"{_TAG}{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def _value(node: yaml.Node, path: str, lines: dict[str, int]) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _pairs(node, path, lines)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, path, lines) for item in node.value]
    return _READ[node.tag.removeprefix(_TAG)](node.value)


def _pairs(node: yaml.MappingNode, path: str, lines: dict[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, part in node.value:
        key = _value(name, path, {})
        if not isinstance(key, str):
            raise _not_read("this key is no text", name.start_mark)
        if key in found:
            raise Mistake(f"has {shown_key(key)} twice in one section, in line {name.start_mark.line + 1}")
        dotted = f"{path}.{key}" if path else key
        lines.setdefault(dotted, name.start_mark.line + 1)
        found[key] = _value(part, dotted, lines)
    return found
