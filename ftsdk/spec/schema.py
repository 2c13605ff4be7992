"""The JSON Schema of a spec file, for editors and other programs."""

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from ftsdk.spec.aliases import SECTIONS
from ftsdk.spec.base import Section
from ftsdk.spec.job import JobSpec

_PATHS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_SHORTHANDS: dict[str, dict[str, Any]] = {
    "dataset": _PATHS,
    "eval_dataset": _PATHS,
    "method": {"enum": [get_args(model.model_fields["type"].annotation)[0] for model in SECTIONS["method"]]},
    "adapter": {"const": "none"},
}
"""What may be written for a section; the validators of the models accept it."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a spec in canonical names; names of other tools are not in it."""
    schema = JobSpec.model_json_schema()
    for field, shorthand in _SHORTHANDS.items():
        section = schema["properties"][field]
        annotations = {key: section.pop(key) for key in ("description", "default") if key in section}
        schema["properties"][field] = {"anyOf": [shorthand, section], **annotations}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "ftsdk job spec"}


def values_of(model: type[Section], field: str) -> str:
    """The values that a field takes, such as ``a whole number (at least 1) or none``."""
    *first, last = dict.fromkeys(_value_names(_properties(model)[field]))
    return f"{', '.join(first)} or {last}" if first else last


@cache
def _properties(model: type[Section]) -> dict[str, Any]:
    properties: dict[str, Any] = model.model_json_schema()["properties"]
    return properties


_TYPE_NAMES = {
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "none",
    "number": "a number",
    "object": "keys and values",
    "string": "text",
}
_BOUND_TEXTS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}


def _value_names(schema: dict[str, Any]) -> Iterator[str]:
    """Each value, or kind of values, that fits."""
    if "anyOf" in schema:
        for option in schema["anyOf"]:
            yield from _value_names(option)
    elif "enum" in schema or "const" in schema:
        yield from map(str, schema.get("enum", [schema.get("const")]))
    elif schema.get("type") == "array":
        yield f"a list of {', '.join(_value_names(schema['items']))}"
    else:
        name = _TYPE_NAMES.get(schema.get("type", ""), "a section")
        bounds = [text.format(schema[bound]) for bound, text in _BOUND_TEXTS.items() if bound in schema]
        yield f"{name} ({', '.join(bounds)})" if bounds else name
