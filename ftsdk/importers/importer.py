"""What an importer is: it reads another tool's file into a job spec, and accounts for every key that stands there.

An importer is registered under the entry-point group ``ftsdk.importers``. Its :class:`Keys` say what becomes of each
key of the tool: it means some of our fields, it is harmless and dropped, or nothing here is equal to it and it is
refused. A key that is in none of them is unknown to the tool.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from ftsdk.errors import Problem, nearest
from ftsdk.spec.validation_messages import shown_key

_SWITCHES = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}
"""Words that YAML 1.1, which these tools read, takes for true and false."""


class ImportNote(NamedTuple):
    """What is worth knowing of one key."""

    key: str
    """The tool's name of it."""
    kind: Literal["differs", "dropped", "default"]
    """``differs``: the spec comes near, and is not the same to the letter; ``dropped``: it changes nothing that is
    learned; ``default``: the file leaves it out, and the tool's own default is written down."""
    text: str


class Unequal(NamedTuple):
    """Why nothing here is equal to a key."""

    why: str
    fix: str = ""
    unless: Any = None
    """The tool's default, which is as good as nothing and is passed over. Where it is false or None, so is all else
    that is false or empty."""
    field: str = ""
    """Our field that may be said instead, as ``FIELD=VALUE`` on the command line."""

    def is_off(self, value: Any) -> bool:
        """Whether the value does nothing."""
        return value is None or value == self.unless or (not value and not self.unless)


class Keys(NamedTuple):
    """Every key of a tool, or of one part of its file."""

    mapped: Mapping[str, str]
    """From a key to the fields of the spec that it means, for people."""
    dropped: Mapping[str, str]
    """From a key that changes nothing that is learned to the reason."""
    refused: Mapping[str, Unequal]
    """From a key without an equal to the reason."""
    strange: str = "the tool knows no such key"
    """What is said of a key that is in none of the tables."""

    def __contains__(self, key: object) -> bool:
        return key in self.mapped or key in self.dropped or key in self.refused

    def nearest(self, key: str) -> str:
        """A question where the key resembles a known one; else nothing."""
        return nearest(key, {*self.mapped, *self.dropped, *self.refused})


class Refusal(NamedTuple):
    """A problem, and the field that settles it where the user says it."""

    problem: Problem
    field: str = ""


class Sheet:
    """One file, or a part of it, while it is read: what it says, what becomes of it, and what nobody has looked at.

    Args:
        tool: The tool's name for people.
        data: Keys and values.
        keys: All keys that may stand there.
        lines: From each dotted key to its line.
        place: What stands before a key of this part, such as ``datasets.``.
        whole: The sheet that this one is a part of.
    """

    def __init__(
        self,
        tool: str,
        data: Mapping[str, Any],
        keys: Keys,
        lines: Mapping[str, int] | None = None,
        *,
        place: str = "",
        whole: "Sheet | None" = None,
    ) -> None:
        self.tool = tool
        self.data = data
        self.keys = keys
        self._lines = lines or {}
        self._place = place
        self._read: set[str] = set()
        self.fields: dict[str, Any] = whole.fields if whole else {}
        self.origins: dict[str, str] = whole.origins if whole else {}
        self.notes: list[ImportNote] = whole.notes if whole else []
        self.refusals: list[Refusal] = whole.refusals if whole else []

    def part(self, key: str, data: Mapping[str, Any], keys: Keys) -> "Sheet":
        """A part of the file with keys of its own."""
        return Sheet(self.tool, data, keys, self._lines, place=f"{self._place}{key}.", whole=self)

    def has(self, key: str) -> bool:
        """Whether the file says something of a key; a blank says nothing."""
        return self.data.get(key) is not None

    def value(self, key: str, default: Any = None) -> Any:
        """What stands there, or the tool's default."""
        assert key in self.keys.mapped, key
        self._read.add(key)
        return self.data[key] if self.has(key) else default

    def number(self, key: str, default: Any = None) -> Any:
        """A number, also one that YAML 1.1 reads as text (``2e-4``) or parts with underscores; all else is refused."""
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
        """Keys and values; all else is refused."""
        value = self.value(key, default)
        if not isinstance(value, Mapping):
            self.refuse(key, "expected a section of keys and values")
            return dict(default)
        return dict(value)

    def several(self, key: str, default: Sequence[str] = ()) -> list[str]:
        """A list of texts, which may be written as one text with commas; all else is refused."""
        value = self.value(key, default)
        parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
            self.refuse(key, "expected a list of words")
            return list(default)
        return list(parts)

    def text(self, key: str, default: str) -> str:
        """A text; all else is refused."""
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

    def word(self, key: str, default: str, words: Mapping[Any, Any], field: str = "") -> Any:
        """Our word for the tool's; one that has no equal is refused, and None is given."""
        value = self.value(key, default)
        if isinstance(value, str | int | bool) and value in words:
            return words[value]
        known = ", ".join(str(word).lower() for word in words)
        self.refuse(key, "this value has no equal here", f"those that have one: {known}", field=field)
        return None

    def put(self, field: str, value: Any, key: str = "", *, default: str = "") -> None:
        """Set a field of the spec.

        Args:
            field: Its dotted name.
            value: Its value.
            key: Where the value comes from. Where the file leaves it out, the note tells of the tool's default.
            default: The words for that note, where the value itself does not say it.
        """
        self.fields[field] = value
        self.origins[field] = f"{self._place}{key}"
        if key and not self.has(key):
            self.notes.append(ImportNote(f"{self._place}{key}", "default", default or f"{field}: {_shown(value)}"))

    def copy(self, key: str, default: Any, field: str) -> Any:
        """Take a number, or true or false, over as it is, and give it."""
        value = self.flag(key, default=default) if isinstance(default, bool) else self.number(key, default)
        self.put(field, value, key)
        return value

    def differ(self, key: str, text: str) -> None:
        """Note where the spec comes near and is not the same."""
        self.notes.append(ImportNote(f"{self._place}{key}", "differs", text))

    def drop(self, key: str, text: str) -> None:
        """Note a key that changes nothing that is learned."""
        self._read.add(key)
        if self.has(key):
            self.notes.append(ImportNote(f"{self._place}{key}", "dropped", text))

    def refuse(self, key: str, why: str, fix: str = "", *, field: str = "") -> None:
        """Refuse a key; the reading goes on, so that one error names all of them."""
        self._read.add(key)
        line = self._lines.get(f"{self._place}{key}")
        saying = f"say it yourself on the command line: {field}=VALUE" if field else ""
        place = f" (line {line})" if line else ""
        problem = Problem(f"{self._place}{shown_key(key)}", f"{why}{place}", "; or ".join(filter(None, (fix, saying))))
        if problem not in [refusal.problem for refusal in self.refusals]:
            self.refusals.append(Refusal(problem, field))

    def close(self) -> None:
        """Account for every key that nobody has looked at."""
        for key, value in self.data.items():
            if key in self._read:
                continue
            if key in self.keys.refused:
                entry = self.keys.refused[key]
                if not entry.is_off(value):
                    self.refuse(key, entry.why, entry.fix, field=entry.field)
            elif key in self.keys.dropped:
                self.drop(key, self.keys.dropped[key])
            elif key in self.keys.mapped:
                self.drop(key, "has no effect in this file")
            else:
                near = self.keys.nearest(key)
                self.refuse(key, self.keys.strange, near or "take it out, or correct its spelling")


class Importer(ABC):
    """Reads the files of one tool. Derive from it, and register the class under ``ftsdk.importers``."""

    name: ClassVar[str]
    """The entry point's name, which is also that of the backend that runs the same tool."""
    tool: ClassVar[str]
    """The tool's name and version, for people."""
    marks: ClassVar[frozenset[str]]
    """Keys that no other tool has: one of them tells whose file it is."""
    keys: ClassVar[Keys]
    """All keys of a file."""

    @abstractmethod
    def read(self, sheet: Sheet) -> None:
        """Set the fields of the spec, and refuse what has no equal. What is left is accounted for by the tables."""


def dropped(*groups: tuple[str, str]) -> dict[str, str]:
    """A table of harmless keys from pairs of a reason and its keys in one text."""
    return {key: why for why, names in groups for key in names.split()}


def refused(*groups: tuple[str, str, str]) -> Iterator[tuple[str, Unequal]]:
    """Entries of a table of refused keys from a reason, a next step, and the keys in one text, ``key=default``."""
    for why, fix, names in groups:
        for name in names.split():
            key, _, default = name.partition("=")
            yield key, Unequal(why, fix, _DEFAULTS.get(default, default or None))


_DEFAULTS: Mapping[str, Any] = {"true": True, "1": 1}


def _shown(value: Any) -> str:
    """A value in a note."""
    return json.dumps(value, ensure_ascii=False)
