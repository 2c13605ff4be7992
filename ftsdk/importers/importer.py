"""What an importer is: it reads another tool's file into a job spec, and accounts for every key in it.

An importer is registered under the entry-point group ``ftsdk.importers``. Its :class:`Keys` have what becomes of each
key of the tool: it sets some of our fields, it is harmless and dropped, or ftsdk does not support it and it is refused.
A key that is in none of them is unknown to the tool.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from ftsdk.errors import Problem, nearest
from ftsdk.spec.validation_messages import shown_key

_SWITCHES = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}
"""Words that are true and false in YAML 1.1, which these tools read."""


class ImportNote(NamedTuple):
    """A remark on one key."""

    key: str
    """The tool's name of it."""
    kind: Literal["differs", "dropped", "default"]
    """``differs``: the spec trains almost the same; ``dropped``: the key changes nothing that is learned; ``default``:
    the file leaves it out, and the spec has the tool's own default."""
    text: str


class UnsupportedValue(NamedTuple):
    """Why a key is not supported."""

    reason: str
    fix: str = ""
    ignored: Any = None
    """The tool's default, which has no effect and is not refused. Where it is false or None, any other value
    that is false or empty has none either."""
    field: str = ""
    """Our field that may be set instead, as ``FIELD=VALUE`` on the command line."""

    def is_off(self, value: Any) -> bool:
        """Whether the value has no effect."""
        return value is None or value == self.ignored or (not value and not self.ignored)


class Keys(NamedTuple):
    """Every key of a tool, or of one part of its file."""

    mapped: Mapping[str, str]
    """From a key to the fields of the spec that it sets, for people."""
    dropped: Mapping[str, str]
    """From a key that changes nothing that is learned to the reason."""
    refused: Mapping[str, UnsupportedValue]
    """From a key that is not supported to the reason."""
    unknown_message: str = "the tool has no such key"
    """The message for a key that is in none of the tables."""

    def __contains__(self, key: object) -> bool:
        return key in self.mapped or key in self.dropped or key in self.refused

    def nearest(self, key: str) -> str:
        """A suggestion where the key resembles a known one; else empty."""
        return nearest(key, {*self.mapped, *self.dropped, *self.refused})


class UnsupportedKey(NamedTuple):
    """The problem of one key, and the field that resolves it where the user sets that."""

    problem: Problem
    field: str = ""


class ConfigReader:
    """Reads one file, or a part of it, and accounts for its keys: those read, dropped, refused, and not yet read.

    Args:
        tool: The tool's name for people.
        data: Keys and values.
        keys: All keys that may stand there.
        lines: From each dotted key to its line.
        place: The prefix of this part's keys, such as ``datasets.``.
        parent: The reader of the file that this is a part of.
    """

    def __init__(
        self,
        tool: str,
        data: Mapping[str, Any],
        keys: Keys,
        lines: Mapping[str, int] | None = None,
        *,
        place: str = "",
        parent: "ConfigReader | None" = None,
    ) -> None:
        self.tool = tool
        self.data = data
        self.keys = keys
        self._lines = lines or {}
        self._place = place
        self._read: set[str] = set()
        self.fields: dict[str, Any] = parent.fields if parent else {}
        self.origins: dict[str, str] = parent.origins if parent else {}
        self.notes: list[ImportNote] = parent.notes if parent else []
        self.refusals: list[UnsupportedKey] = parent.refusals if parent else []

    def part(self, key: str, data: Mapping[str, Any], keys: Keys) -> "ConfigReader":
        """A part of the file with keys of its own."""
        return ConfigReader(self.tool, data, keys, self._lines, place=f"{self._place}{key}.", parent=self)

    def has(self, key: str) -> bool:
        """Whether the file has a value for a key; a blank is none."""
        return self.data.get(key) is not None

    def value(self, key: str, default: Any = None) -> Any:
        """The value of a key, or the tool's default."""
        assert key in self.keys.mapped, key
        self._read.add(key)
        return self.data[key] if self.has(key) else default

    def number(self, key: str, default: Any = None) -> Any:
        """A number, also one that YAML 1.1 reads as text (``2e-4``) or writes with underscores; others are refused."""
        value = self.value(key, default)
        text = value.replace("_", "") if isinstance(value, str) else ""
        if re.fullmatch(r"[-+]?\d{1,18}", text):
            return int(text)
        if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?", text):
            return float(text)
        if value is default or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value
        self.refuse(key, "expected a number")
        return default

    def section(self, key: str, default: Mapping[str, Any]) -> dict[str, Any]:
        """Keys and values; other values are refused."""
        value = self.value(key, default)
        if not isinstance(value, Mapping):
            self.refuse(key, "expected a section of keys and values")
            return dict(default)
        return dict(value)

    def texts(self, key: str, default: Sequence[str] = ()) -> list[str]:
        """A list of texts, which may be written as one text with commas; other values are refused."""
        value = self.value(key, default)
        parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
            self.refuse(key, "expected a list of texts")
            return list(default)
        return list(parts)

    def text(self, key: str, default: str) -> str:
        """A text; other values are refused."""
        value = self.value(key, default)
        if not isinstance(value, str):
            self.refuse(key, "expected text")
            return default
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or false; a word that is neither is refused."""
        value = self.value(key, default)
        if isinstance(value, str) and value.lower() in _SWITCHES:
            return _SWITCHES[value.lower()]
        if not isinstance(value, bool):
            self.refuse(key, "expected true or false")
        return bool(value)

    def choice(self, key: str, default: str, choices: Mapping[Any, Any], field: str = "") -> Any:
        """Our value for the tool's; one that is not supported is refused, and None returned."""
        value = self.value(key, default)
        if isinstance(value, str | int | bool) and value in choices:
            return choices[value]
        supported = ", ".join(str(choice).lower() for choice in choices)
        self.refuse(key, "this value is not supported", f"supported: {supported}", field=field)
        return None

    def set_field(self, field: str, value: Any, key: str = "", *, default: str = "") -> None:
        """Set a field of the spec.

        Args:
            field: Its dotted name.
            value: Its value.
            key: Where the value comes from. Where the file leaves it out, a note has the tool's default.
            default: The text of that note, where the value alone is not enough.
        """
        self.fields[field] = value
        self.origins[field] = f"{self._place}{key}"
        if key and not self.has(key):
            self.notes.append(ImportNote(f"{self._place}{key}", "default", default or f"{field}: {_shown(value)}"))

    def copy(self, key: str, default: Any, field: str) -> Any:
        """Set a field to a number, or true or false, as it is, and return it."""
        value = self.flag(key, default=default) if isinstance(default, bool) else self.number(key, default)
        self.set_field(field, value, key)
        return value

    def note(self, key: str, text: str) -> None:
        """Note where the spec trains almost the same, but not quite."""
        self.notes.append(ImportNote(f"{self._place}{key}", "differs", text))

    def drop(self, key: str, text: str) -> None:
        """Note a key that changes nothing that is learned."""
        self._read.add(key)
        if self.has(key):
            self.notes.append(ImportNote(f"{self._place}{key}", "dropped", text))

    def refuse(self, key: str, reason: str, fix: str = "", *, field: str = "") -> None:
        """Refuse a key; reading continues, so that one error names all of them."""
        self._read.add(key)
        line = self._lines.get(f"{self._place}{key}")
        override = f"set it on the command line: {field}=VALUE" if field else ""
        place = f" (line {line})" if line else ""
        fixes = "; or ".join(filter(None, (fix, override)))
        problem = Problem(f"{self._place}{shown_key(key)}", f"{reason}{place}", fixes)
        if problem not in [refusal.problem for refusal in self.refusals]:
            self.refusals.append(UnsupportedKey(problem, field))

    def close(self) -> None:
        """Account for every key that was not read."""
        for key, value in self.data.items():
            if key in self._read:
                continue
            if key in self.keys.refused:
                entry = self.keys.refused[key]
                if not entry.is_off(value):
                    self.refuse(key, entry.reason, entry.fix, field=entry.field)
            elif key in self.keys.dropped:
                self.drop(key, self.keys.dropped[key])
            elif key in self.keys.mapped:
                self.drop(key, "has no effect in this file")
            else:
                suggestion = self.keys.nearest(key)
                self.refuse(key, self.keys.unknown_message, suggestion or "remove it, or correct its spelling")


class Importer(ABC):
    """Reads the files of one tool. Derive from it, and register the class under ``ftsdk.importers``."""

    name: ClassVar[str]
    """The entry point's name, which is also that of the backend that runs the same tool."""
    tool: ClassVar[str]
    """The tool's name and version, for people."""
    marks: ClassVar[frozenset[str]]
    """Keys that no other tool has: one of them identifies the tool."""
    keys: ClassVar[Keys]
    """All keys of a file."""

    @abstractmethod
    def read(self, reader: ConfigReader) -> None:
        """Set the fields of the spec, and refuse what is not supported; the tables account for the other keys."""


def dropped(*groups: tuple[str, str]) -> dict[str, str]:
    """A table of harmless keys from pairs of a reason and its keys in one text."""
    return {key: reason for reason, names in groups for key in names.split()}


def refused(*groups: tuple[str, str, str]) -> Iterator[tuple[str, UnsupportedValue]]:
    """Entries of a table of refused keys from a reason, a next step, and the keys in one text, ``key=default``."""
    for reason, fix, names in groups:
        for name in names.split():
            key, _, default = name.partition("=")
            yield key, UnsupportedValue(reason, fix, _DEFAULTS.get(default, default or None))


_DEFAULTS: Mapping[str, Any] = {"true": True, "1": 1}


def _shown(value: Any) -> str:
    """A value in a note."""
    return json.dumps(value, ensure_ascii=False)
