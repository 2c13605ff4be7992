"""Explain a field of the spec: what it means, what it takes, and what other tools call it."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from ftsdk.errors import SpecError
from ftsdk.spec.aliases import (
    AMBIGUOUS_ALIASES,
    FIELDS,
    OTHER_SECTIONS,
    RENAMED,
    SECTIONS,
    VALUE_ALIASES,
    FieldDefinition,
    fields_of_alias,
)
from ftsdk.spec.base import Section
from ftsdk.spec.canonical import field_of, nearest_field
from ftsdk.spec.job import LEARNING_RATES
from ftsdk.spec.schema import values_of
from ftsdk.spec.validation_messages import shown_key

_TYPE = "The method. ``method: dpo`` is short for a method with its defaults."


class Explanation(NamedTuple):
    """One field, in words."""

    field: str
    """The canonical dotted name."""
    type: str
    """What values it takes."""
    default: str
    """The value where it is left blank; ``required`` where there is none."""
    text: str
    """What it means."""
    aliases: Mapping[str, str]
    """Other names that a spec file may use, with the tools that they come from."""
    values: Mapping[str, str] = {}
    """Defaults that depend on something else, such as the learning rate of each method."""
    fields: tuple[str, ...] = ()
    """For a section, the fields in it."""
    methods: tuple[str, ...] = ()
    """For a field of the method, the methods that have it."""


def explain(field: str) -> Explanation:
    """Explain a field by its dotted name, by its last part where only one field ends so, or by another tool's name.

    Raises:
        SpecError: No field has this name; the nearest is named.
    """
    canonical = field_of(field) or OTHER_SECTIONS.get(field) or next(iter(fields_of_alias(field)), None)
    if canonical is None and field in AMBIGUOUS_ALIASES:
        raise SpecError(f"{field} is not a field of a job spec", hint=AMBIGUOUS_ALIASES[field])
    if canonical is None:
        raise SpecError(f"{shown_key(field)} is not a field of a job spec", hint=nearest_field(field))
    return _explanation(canonical)


def explain_all() -> list[Explanation]:
    """All fields, in the order of the models; a section before its fields."""
    top = [field for field in FIELDS if "." not in field]
    order = [name for field in top for name in (field, *_inside(field))]
    return [_explanation(field) for field in order]


def _inside(section: str) -> tuple[str, ...]:
    return tuple(field for field in FIELDS if field.startswith(f"{section}."))


def _explanation(field: str) -> Explanation:
    definitions, leaf = FIELDS[field], field.rpartition(".")[2]
    if field == "method.type":
        return Explanation(field, ", ".join(map(_tag, definitions)), "sft", _TYPE, _aliases(field))
    return Explanation(
        field=field,
        type="a section"
        if field in SECTIONS
        else _by_model(definitions, lambda definition: values_of(definition.model, leaf)),
        default=_by_model(definitions, _default),
        text=_by_model(definitions, lambda definition: definition.info.description or ""),
        aliases=_aliases(field),
        values=_learning_rates() if field == "training.learning_rate" else {},
        fields=_inside(field),
        methods=tuple(map(_tag, definitions)) if field.startswith("method.") else (),
    )


def _tag(definition: FieldDefinition) -> str:
    """The name of a method, from its model."""
    return str(definition.model.model_fields["type"].default)


def _by_model(definitions: Iterable[FieldDefinition], describe: Callable[[FieldDefinition], str]) -> str:
    """The description of a field; where its models differ, each text after the methods that it applies to."""
    owners: dict[str, list[FieldDefinition]] = {}
    for definition in definitions:
        owners.setdefault(describe(definition), []).append(definition)
    if len(owners) == 1:
        return next(iter(owners))
    return "; ".join(f"{', '.join(map(_tag, methods))}: {text.rstrip('.')}" for text, methods in owners.items())


def _aliases(field: str) -> dict[str, str]:
    renamed = {name: alias.tools for name, alias in RENAMED.items() if alias.field == field}
    by_value = {
        name: VALUE_ALIASES[name].tools for name in VALUE_ALIASES if name != field and field in fields_of_alias(name)
    }
    return dict(sorted({**renamed, **by_value}.items()))


def _learning_rates() -> dict[str, str]:
    return {method: f"{rate:g} with an adapter, {rate / 10:g} without" for method, rate in LEARNING_RATES.items()}


def _default(definition: FieldDefinition) -> str:
    info = definition.info
    if info.is_required():
        return "required"
    if info.default_factory is not None:
        return "blank"
    if isinstance(info.default, Section):
        return type(info.default).__name__
    return _PLAIN.get(repr(info.default)) or str(info.default)


_PLAIN = {"None": "none", "True": "true", "False": "false", "()": "empty", "{}": "empty"}
