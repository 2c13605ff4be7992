"""Turn the names of other tools, flat keys and shorthands into the spec's own dotted fields."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ftsdk.errors import Problem, SpecError
from ftsdk.spec.aliases import ASKED, FIELDS, LEAVES, LISTS, MEANT, OTHER_SECTIONS, RENAMED, SECTIONS, WORDS, targets
from ftsdk.spec.training import EITHER_OR
from ftsdk.spec.validation_messages import NO_SUCH_FIELD, shown_key

_SHORT = {"dataset": "path", "eval_dataset": "path", "method": "type"}
"""Sections that may be given as their one main field."""

_OPEN = ("backend_options", "dataset.columns", "eval_dataset.columns", "metadata")
"""Fields whose own keys are free; an override may reach into them."""

_KNOWN_SECTIONS = frozenset({*SECTIONS, *OTHER_SECTIONS})

_LOOSE = ("", "training")
"""Sections where the names of all others are understood too; in the rest, only their own."""

MOST_PROBLEMS = 50
"""More than anybody reads; and each costs a search for the nearest name."""

_RIVALS = [("eval_dataset", "val_size"), *((f"training.{a}", f"training.{b}") for a, b in EITHER_OR.items())]


def field_of(name: str) -> str | None:
    """The canonical field of a name that stands alone, ours or another tool's; None where there is none."""
    if name in RENAMED:
        return RENAMED[name].field
    return name if name in FIELDS else LEAVES.get(name)


_HOMES = {name: field_of(name) or name for name in (*FIELDS, *LEAVES, *RENAMED, *MEANT, *ASKED)}
"""From every name that can be meant to its field; a name that has none alone leads to itself."""


class Setting(NamedTuple):
    """One value for one canonical field."""

    field: str
    value: Any
    written: str
    """The dotted name in the source."""
    ours: bool = False
    """Whether the value comes from a table of ours, so that it can be shown."""


Settings = dict[str, Setting]


def canonical(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The data with nothing but canonical names, and a note such as ``lr -> training.learning_rate`` for each other.

    Raises:
        SpecError: Unknown names, names that need a question, and spellings that disagree; all of them.
    """
    settings, problems = resolve(data)
    content = nested(settings, problems)
    if problems:
        raise SpecError("names in this spec cannot be understood", problems=problems)
    return content, notes(settings.values())


def resolve(data: Mapping[str, Any]) -> tuple[Settings, list[Problem]]:
    """One setting for each field, and what is wrong with the names."""
    settings: Settings = {}
    problems: list[Problem] = []
    for found in _walk("", data, ""):
        if len(problems) > MOST_PROBLEMS:
            break
        if isinstance(found, Problem):
            problems.append(found)
        elif (first := settings.setdefault(found.field, found)).value != found.value:
            problems.append(_disagreement(first, found))
    return settings, problems


def override(settings: Settings, name: str, value: Any) -> list[Problem]:
    """Let one dotted setting win over what is there; gives what is wrong with its name."""
    opened = next((field for field in _OPEN if name.startswith(f"{field}.")), None)
    if opened:
        kept = settings[opened].value if opened in settings else {}
        value, name = _inside(kept, name.removeprefix(f"{opened}."), value), opened
    first, _, rest = name.partition(".")
    section, key = (OTHER_SECTIONS.get(first, first), rest) if rest and first in _KNOWN_SECTIONS else ("", name)
    found = list(_entry(section, key, value, name))
    for setting in found:
        if isinstance(setting, Setting):
            _replace(settings, setting)
    return [problem for problem in found if isinstance(problem, Problem)]


def nested(settings: Settings, problems: list[Problem]) -> dict[str, Any]:
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
    return list(dict.fromkeys(filter(None, map(_note, settings))))


def _note(setting: Setting) -> str:
    value = "" if not setting.ours or setting.value == {} else f": {_word(setting.value)}"
    if f"{setting.written}.{_SHORT.get(setting.written)}" == setting.field and not value:
        return ""
    if setting.written != setting.field:
        return f"{setting.written} -> {setting.field}{value}"
    return f"{setting.field} is read as{value[1:]}" if value else ""


def _disagreement(one: Setting, other: Setting) -> Problem:
    if one.written == other.written:
        return Problem(other.field, f"{one.written} is said in two ways")
    return Problem(other.field, f"{one.written} and {other.written} do not agree", f"keep one of them: {other.field}")


def _replace(settings: Settings, new: Setting) -> None:
    beaten = [other for pair in _RIVALS for mine, other in (pair, pair[::-1]) if new.value and _within(new.field, mine)]
    if new.field == "method.type":
        beaten.append("method")  # another method has other fields
    for field, old in list(settings.items()):
        covers = _within(field, new.field) and (field == new.field or new.value != {})
        covered = _within(new.field, field) and old.value != {}
        if covers or covered or any(_within(field, rival) for rival in beaten):
            del settings[field]
    settings[new.field] = new


def _within(field: str, section: str) -> bool:
    return field == section or field.startswith(f"{section}.")


def _inside(content: Any, path: str, value: Any) -> dict[str, Any]:
    """A copy of a free mapping with one value put at a dotted path."""
    key, _, rest = path.partition(".")
    kept = dict(content) if isinstance(content, Mapping) else {}
    return kept | {key: _inside(kept.get(key), rest, value) if rest else value}


def _walk(section: str, content: Mapping[Any, Any], written: str) -> Iterator[Setting | Problem]:
    for key, value in content.items():
        if isinstance(key, str):
            yield from _entry(section, key, value, f"{written}{key}")
        else:
            yield Problem(section, f"{shown_key(key)}, where keys are text")


def _entry(section: str, key: str, value: Any, written: str) -> Iterator[Setting | Problem]:
    if written in OTHER_SECTIONS and isinstance(value, Mapping):
        yield from _section(OTHER_SECTIONS[written], value, written)
    elif key in MEANT and key not in SECTIONS and _understood(section, targets(key)):
        yield from _meant(key, value, written)
    elif field := _field(section, key):
        yield from _section(field, value, written) if field in SECTIONS else _plain(field, value, written)
    else:
        yield _unknown(section, key)


def _section(section: str, value: Any, written: str) -> Iterator[Setting | Problem]:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        value = value[0]  # Axolotl lists its datasets, also a single one
    if isinstance(value, Mapping):
        if section:
            yield Setting(section, {}, written)
        yield from _walk(section, value, f"{written}.")
    elif section in MEANT and (value is None or isinstance(value, str)):
        yield from _meant(section, value, written)
    elif section in _SHORT and isinstance(value, str | list | tuple):
        yield from _plain(f"{section}.{_SHORT[section]}", value, written)
    else:
        yield Setting(section, value, written)


def _meant(key: str, value: Any, written: str) -> Iterator[Setting | Problem]:
    table = MEANT[key].values
    if value is None and None not in table:
        return  # an empty line in another tool's file
    if not isinstance(value, str | int | None) or value not in table:
        fix = "" if key in FIELDS else f"or set {' and '.join(targets(key))}"
        yield Problem(written, f"expected {', '.join(dict.fromkeys(map(_word, table)))}", fix)
        return
    for field, meant in table[value].items():
        yield Setting(field, meant, written, ours=True)


def _plain(field: str, value: Any, written: str) -> Iterator[Setting]:
    word = WORDS.get(field, {}).get(value) if isinstance(value, str) else None
    if word is not None:
        yield Setting(field, word, written, ours=True)
    elif field in LISTS and isinstance(value, str) and value != "all-linear":
        yield Setting(field, [part.strip() for part in value.split(",")], written)
    else:
        yield Setting(field, value, written)


def _field(section: str, key: str) -> str | None:
    """The canonical field that a key in a section means."""
    dotted = f"{section}.{key}" if section else key
    if dotted in FIELDS:
        return dotted
    if dotted in RENAMED:
        return RENAMED[dotted].field
    field = field_of(key)
    return field if field and _understood(section, [field]) else None


def _understood(section: str, fields: Iterable[str]) -> bool:
    """Whether a name for these fields may stand in this section."""
    return section in _LOOSE or any(_within(field, section) for field in fields)


def _word(value: Any) -> str:
    return {True: "true", False: "false", None: "none", (): "none"}.get(value, str(value))


def _unknown(section: str, key: str) -> Problem:
    where = f"{section}.{shown_key(key)}" if section else shown_key(key)
    if key in ASKED:
        return Problem(where, "this is not taken as it is", ASKED[key])
    if home := field_of(key):
        return Problem(where, NO_SUCH_FIELD, f"it belongs to {home}")
    return Problem(where, "there is no such field", nearest(key))


def nearest(key: str) -> str:
    """The next step for a name that is no field: the nearest real one, with its place."""
    near = difflib.get_close_matches(key[:100].lower(), _HOMES, n=1)
    if not near:
        return "ftsdk explain lists all fields"
    home = _HOMES[near[0]]
    return f"did you mean {near[0]}?" if home == near[0] else f"did you mean {near[0]}, that is {home}?"
