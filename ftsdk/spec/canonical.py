"""Turn the names of other tools, flat keys and shorthands into the spec's own dotted fields.

Each key of a document is resolved in this order, and the first match decides:

1. a section of another tool (``lora_config``), whose keys are read in our section;
2. a name whose value sets some of our fields (``load_in_4bit: true``), where such a field may stand;
3. a field in this section, by its own name or by another tool's (``RENAMED``);
4. a field of another section by a name that leads to one field only (``learning_rate`` at the top).

What remains is unknown: the error has the question to answer, or the nearest name.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ftsdk.errors import Problem, SpecError
from ftsdk.spec.aliases import (
    AMBIGUOUS_ALIASES,
    COMMA_LISTS,
    FIELDS,
    FLAT_FIELDS,
    OTHER_SECTIONS,
    RENAMED,
    SECTIONS,
    VALUE_ALIASES,
    VALUE_SYNONYMS,
    fields_of_alias,
)
from ftsdk.spec.training import EITHER_OR
from ftsdk.spec.validation_messages import NO_SUCH_FIELD, shown_key

_MAIN_FIELD = {"dataset": "path", "eval_dataset": "path", "method": "type"}
"""Sections that may be given as their one main field."""

_FREE_KEYS = ("backend_options", "dataset.columns", "eval_dataset.columns", "metadata")
"""Fields whose own keys are free; an override may set one of their keys."""

_KNOWN_SECTIONS = frozenset({*SECTIONS, *OTHER_SECTIONS})

_ANY_ALIAS = ("", "training")
"""Sections where names for fields of other sections are accepted, too; elsewhere, only names for their own."""

MOST_PROBLEMS = 50
"""Problems that one error lists; each costs a search for the nearest name."""

_EXCLUSIVE = [("eval_dataset", "val_size"), *((f"training.{a}", f"training.{b}") for a, b in EITHER_OR.items())]


def field_of(name: str) -> str | None:
    """The canonical field of a name outside of any section, ours or another tool's; None where there is none."""
    if name in RENAMED:
        return RENAMED[name].field
    return name if name in FIELDS else FLAT_FIELDS.get(name)


_FIELD_OF_NAME = {
    name: field_of(name) or name for name in (*FIELDS, *FLAT_FIELDS, *RENAMED, *VALUE_ALIASES, *AMBIGUOUS_ALIASES)
}
"""From every name that a suggestion may offer to its field; a name that is no single field leads to itself."""


class Setting(NamedTuple):
    """One value for one canonical field."""

    field: str
    value: Any
    written: str
    """The dotted name in the source."""
    from_table: bool = False
    """Whether the value comes from our tables: such a value may be shown, one of the user's may be a secret."""


Settings = dict[str, Setting]


def canonical(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The data with nothing but canonical names, and a note such as ``lr -> training.learning_rate`` for each other.

    Raises:
        SpecError: Unknown names, names that need a question, and spellings that disagree; all of them.
    """
    settings, problems = resolve(data)
    content = as_sections(settings, problems)
    if problems:
        raise SpecError("names in this spec cannot be understood", problems=problems)
    return content, notes(settings.values())


def resolve(data: Mapping[str, Any]) -> tuple[Settings, list[Problem]]:
    """One setting for each field, and the problems with their names."""
    settings: Settings = {}
    problems: list[Problem] = []
    for entry in _walk_settings("", data, ""):
        if len(problems) > MOST_PROBLEMS:
            break
        if isinstance(entry, Problem):
            problems.append(entry)
        elif (first := settings.setdefault(entry.field, entry)).value != entry.value:
            problems.append(_disagreement(first, entry))
    return settings, problems


def override(settings: Settings, name: str, value: Any) -> list[Problem]:
    """Let one dotted setting win over the others; returns the problems with its name."""
    free_field = next((field for field in _FREE_KEYS if name.startswith(f"{field}.")), None)
    if free_field:
        content = settings[free_field].value if free_field in settings else {}
        value, name = _put_at_path(content, name.removeprefix(f"{free_field}."), value), free_field
    first, _, rest = name.partition(".")
    section, key = (OTHER_SECTIONS.get(first, first), rest) if rest and first in _KNOWN_SECTIONS else ("", name)
    entries = list(_settings_of(section, key, value, name))
    for entry in entries:
        if isinstance(entry, Setting):
            _replace(settings, entry)
    return [problem for problem in entries if isinstance(problem, Problem)]


def as_sections(settings: Settings, problems: list[Problem]) -> dict[str, Any]:
    """The settings as sections; a field in a section that is no section is added to ``problems``."""
    content: dict[str, Any] = {}
    for setting in sorted(settings.values(), key=lambda setting: setting.field.count(".")):
        section, _, leaf = setting.field.rpartition(".")
        inside = content.setdefault(section, {}) if section else content
        if isinstance(inside, dict):
            inside[leaf] = dict(setting.value) if isinstance(setting.value, Mapping) else setting.value
        else:
            problems.append(_disagreement(settings[section], setting))
    return content


def notes(settings: Iterable[Setting]) -> list[str]:
    """One line for each name that was not canonical."""
    return list(dict.fromkeys(filter(None, map(_note_of, settings))))


def _note_of(setting: Setting) -> str:
    value = "" if not setting.from_table or setting.value == {} else f": {_value_text(setting.value)}"
    if f"{setting.written}.{_MAIN_FIELD.get(setting.written)}" == setting.field and not value:
        return ""
    if setting.written != setting.field:
        return f"{setting.written} -> {setting.field}{value}"
    return f"{setting.field} is read as{value[1:]}" if value else ""


def _disagreement(first: Setting, second: Setting) -> Problem:
    if first.written == second.written:
        return Problem(second.field, f"{first.written} is given twice, with different values")
    return Problem(
        second.field, f"{first.written} and {second.written} do not agree", f"keep one of them: {second.field}"
    )


def _replace(settings: Settings, new: Setting) -> None:
    # of two fields that exclude each other, the one that is overridden wins
    replaced = [
        opposite
        for pair in _EXCLUSIVE
        for field, opposite in (pair, pair[::-1])
        if new.value and _within(new.field, field)
    ]
    if new.field == "method.type":
        replaced.append("method")  # another method has other fields
    for field, old in list(settings.items()):
        # {} is a section that was opened, not a value: it removes neither its fields nor the section around it
        covers = _within(field, new.field) and (field == new.field or new.value != {})
        covered = _within(new.field, field) and old.value != {}
        if covers or covered or any(_within(field, opposite) for opposite in replaced):
            del settings[field]
    settings[new.field] = new


def _within(field: str, section: str) -> bool:
    return field == section or field.startswith(f"{section}.")


def _put_at_path(content: Any, path: str, value: Any) -> dict[str, Any]:
    """A copy of a free mapping with one value put at a dotted path."""
    key, _, rest = path.partition(".")
    mapping = dict(content) if isinstance(content, Mapping) else {}
    return mapping | {key: _put_at_path(mapping.get(key), rest, value) if rest else value}


def _walk_settings(section: str, content: Mapping[Any, Any], written: str) -> Iterator[Setting | Problem]:
    for key, value in content.items():
        if isinstance(key, str):
            yield from _settings_of(section, key, value, f"{written}{key}")
        else:
            yield Problem(section, f"{shown_key(key)}, but keys are text")


def _settings_of(section: str, key: str, value: Any, written: str) -> Iterator[Setting | Problem]:
    if written in OTHER_SECTIONS and isinstance(value, Mapping):
        yield from _section_settings(OTHER_SECTIONS[written], value, written)
    elif key in VALUE_ALIASES and key not in SECTIONS and _allowed_in(section, fields_of_alias(key)):
        yield from _aliased_settings(key, value, written)
    elif field := _canonical_field(section, key):
        yield from (
            _section_settings(field, value, written) if field in SECTIONS else _plain_setting(field, value, written)
        )
    else:
        yield _unknown_name(section, key)


def _section_settings(section: str, value: Any, written: str) -> Iterator[Setting | Problem]:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        value = value[0]  # Axolotl lists its datasets, also a single one
    if isinstance(value, Mapping):
        if section:
            yield Setting(section, {}, written)
        yield from _walk_settings(section, value, f"{written}.")
    elif section in VALUE_ALIASES and (value is None or isinstance(value, str)):
        yield from _aliased_settings(section, value, written)
    elif section in _MAIN_FIELD and isinstance(value, str | list | tuple):
        yield from _plain_setting(f"{section}.{_MAIN_FIELD[section]}", value, written)
    else:
        yield Setting(section, value, written)


def _aliased_settings(key: str, value: Any, written: str) -> Iterator[Setting | Problem]:
    table = VALUE_ALIASES[key].values
    if value is None and None not in table:
        return  # an empty line in another tool's file
    if not isinstance(value, str | int | None) or value not in table:
        fix = "" if key in FIELDS else f"or set {' and '.join(fields_of_alias(key))}"
        yield Problem(written, f"expected {', '.join(dict.fromkeys(map(_value_text, table)))}", fix)
        return
    for field, assigned in table[value].items():
        yield Setting(field, assigned, written, from_table=True)


def _plain_setting(field: str, value: Any, written: str) -> Iterator[Setting]:
    word = VALUE_SYNONYMS.get(field, {}).get(value) if isinstance(value, str) else None
    if word is not None:
        yield Setting(field, word, written, from_table=True)
    elif field in COMMA_LISTS and isinstance(value, str) and value != "all-linear":
        yield Setting(field, [part.strip() for part in value.split(",")], written)
    else:
        yield Setting(field, value, written)


def _canonical_field(section: str, key: str) -> str | None:
    """The canonical field that a key in a section means."""
    dotted = f"{section}.{key}" if section else key
    if dotted in FIELDS:
        return dotted
    if dotted in RENAMED:
        return RENAMED[dotted].field
    field = field_of(key)
    return field if field and _allowed_in(section, [field]) else None


def _allowed_in(section: str, fields: Iterable[str]) -> bool:
    """Whether a name for these fields may be used in this section."""
    return section in _ANY_ALIAS or any(_within(field, section) for field in fields)


def _value_text(value: Any) -> str:
    return {True: "true", False: "false", None: "none", (): "none"}.get(value, str(value))


def _unknown_name(section: str, key: str) -> Problem:
    where = f"{section}.{shown_key(key)}" if section else shown_key(key)
    if key in AMBIGUOUS_ALIASES:
        return Problem(where, "this name is not accepted", AMBIGUOUS_ALIASES[key])
    if field := field_of(key):
        return Problem(where, NO_SUCH_FIELD, f"it belongs to {field}")
    return Problem(where, "there is no such field", nearest_field(key))


def nearest_field(key: str) -> str:
    """The next step for a name that is no field: the nearest real one, with its place."""
    matches = difflib.get_close_matches(key[:100].lower(), _FIELD_OF_NAME, n=1)
    if not matches:
        return "ftsdk explain lists all fields"
    field = _FIELD_OF_NAME[matches[0]]
    return f"did you mean {matches[0]}?" if field == matches[0] else f"did you mean {matches[0]}, that is {field}?"
