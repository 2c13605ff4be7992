"""YAML by the core schema of its version 1.2, with bounds: ``2e-4`` is a number, ``no`` and ``12:30`` are text.

PyYAML alone follows version 1.1 (where ``2e-4`` is text and ``no`` is false), lets a later key replace an earlier one,
and expands aliases without a limit.
"""

import re
from collections.abc import Callable
from typing import Any

import yaml

from ftsdk.spec.validation_messages import Mistake, shown_key, unquoted

_MOST_CHARACTERS = 2**17  # PyYAML takes seconds to read them
_MOST_LEVELS = 24  # sections within sections
_TAG = "tag:yaml.org,2002:"

_PATTERNS = (
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?[0-9]{1,4300}|0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}", [*"-+0123456789"]),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
)
"""For each kind of plain scalar: tag, pattern (YAML 1.2 specification, 10.3.2), and first characters."""

_PARSERS: dict[str, Callable[[str], Any]] = {
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
    if len(text) > _MOST_CHARACTERS:
        raise Mistake(f"is too long for YAML, which may have {_MOST_CHARACTERS} characters")
    line, cause = "", "this cannot be read"
    try:
        node = _Composer(text).get_single_node()
        return None if node is None else _value(node, "", {} if lines is None else lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        cause = unquoted(error.problem or error.context or cause)
    except yaml.reader.ReaderError as error:
        line, cause = f", line {1 + text[: error.position].count(chr(10))}", "a control character"
    except Mistake:
        raise
    except (ValueError, OverflowError):
        cause = "an escape names no character"  # PyYAML passes an impossible \U to chr
    raise Mistake(f"is not valid YAML{line}: {cause}")


def write_yaml(data: Any) -> str:
    """Data as YAML that reads the same by version 1.1 and 1.2; text that either takes for a number is quoted."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)


class _Composer(yaml.SafeLoader):
    """PyYAML's reader with a limit of depth and without anchors: nested aliases expand to gigabytes."""

    # a table of its own: the inherited one has the scalars of version 1.1
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs give it no types
        self.depth += 1
        if self.depth > _MOST_LEVELS:
            raise _yaml_error("nested too deep", event.start_mark)
        if getattr(event, "anchor", None) is not None:
            raise _yaml_error("anchors and aliases are not read", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise _yaml_error("tags are not read", event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _yaml_error(cause: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=cause, problem_mark=place)


class _Dumper(yaml.SafeDumper):
    """PyYAML's writer, which also knows the numbers of version 1.2."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002  # PyYAML names it
        """Indent lists within sections."""
        super().increase_indent(flow, False)


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    """Unicode's own line breaks survive in double quotes only."""
    style = '"' if any(character in text for character in "\x85\u2028\u2029") else None
    return dumper.represent_scalar(f"{_TAG}str", text, style)


_Dumper.add_representer(str, _write_text)
# The dumper learns them, too: it quotes text that one of its own patterns (version 1.1) or one of these would match.
for _tag, _pattern, _first in _PATTERNS:
    for _class in (_Composer, _Dumper):
        _class.add_implicit_resolver(f"{_TAG}{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def _value(node: yaml.Node, path: str, lines: dict[str, int]) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, path, lines) for item in node.value]
    return _PARSERS[node.tag.removeprefix(_TAG)](node.value)


def _mapping(node: yaml.MappingNode, path: str, lines: dict[str, int]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for name, part in node.value:
        key = _value(name, path, {})
        if not isinstance(key, str):
            raise _yaml_error("this key is not text", name.start_mark)
        if key in mapping:
            raise Mistake(f"has {shown_key(key)} twice in one section, in line {name.start_mark.line + 1}")
        dotted = f"{path}.{key}" if path else key
        lines.setdefault(dotted, name.start_mark.line + 1)
        mapping[key] = _value(part, dotted, lines)
    return mapping
