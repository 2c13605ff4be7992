"""Read a trainer's inputs: the ``TrainingInput`` of its OpenAPI document."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

Json = Mapping[str, Any]
_DEPTH = 8  # of references to references: a document may refer to itself


class TrainerInput(NamedTuple):
    """One input of a trainer."""

    name: str
    kinds: frozenset[str]
    """JSON types that it takes."""
    is_address: bool = False
    """Whether it takes the address of a file."""
    least: float | None = None
    most: float | None = None
    choices: tuple[Any, ...] = ()
    """The values that it takes; empty: any."""
    required: bool = False
    default: Any = None
    description: str = ""

    def problem_with(self, value: Any) -> str:
        """Why it does not take a value; empty where it does."""
        if not _is_of(value, self.kinds):
            return f"{self.name} takes {' or '.join(sorted(self.kinds))}"
        if self.choices and value not in self.choices:
            return f"{self.name} takes {', '.join(map(str, self.choices))}"
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.least is not None and value < self.least:
                return f"{self.name} takes {self.least:g} at least"
            if self.most is not None and value > self.most:
                return f"{self.name} takes {self.most:g} at most"
        return ""

    def converted(self, value: Any) -> Any:
        """A value in the type that it takes: an integral float as an integer, a list as a text with commas."""
        if isinstance(value, float) and value.is_integer() and "number" not in self.kinds and "integer" in self.kinds:
            return int(value)
        if isinstance(value, list | tuple):
            return list(value) if "array" in self.kinds else ",".join(map(str, value))
        return value


def read_inputs(document: Json) -> dict[str, TrainerInput] | None:
    """The inputs of a trainer's OpenAPI document; None where it publishes none.

    Args:
        document: The complete document, or ``TrainingInput`` alone.
    """
    schemas = _object(_object(document.get("components")).get("schemas"))
    training = schemas.get("TrainingInput") if "components" in document else document
    if not isinstance(training, Mapping) or not isinstance(training.get("properties"), Mapping):
        return None
    required = frozenset(name for name in _list(training.get("required")) if isinstance(name, str))
    return {
        name: _trainer_input(name, _resolved(schema, schemas), required=name in required)
        for name, schema in training["properties"].items()
        if isinstance(schema, Mapping)
    }


def fingerprint(document: Json) -> str:
    """The sha256 of ``TrainingInput`` in a canonical form, by which changes are noticed."""
    inputs = read_inputs(document) or {}
    # The names of the fields are part of the hash, and the hashes are in users' profiles: to rename one breaks them.
    canonical = {name: {**input_._asdict(), "kinds": sorted(input_.kinds)} for name, input_ in sorted(inputs.items())}
    return hashlib.sha256(json.dumps(canonical, sort_keys=True, default=str).encode()).hexdigest()


def _trainer_input(name: str, schema: Json, *, required: bool) -> TrainerInput:
    type_ = schema.get("type")
    types = [type_, *_list(type_), *(_object(option).get("type") for option in _list(schema.get("anyOf")))]
    choices = tuple(_list(schema.get("enum")))
    kinds = {type_name for type_name in types if type_name in _KINDS.values()} or {
        _KINDS[type(choice)] for choice in choices if type(choice) in _KINDS
    }
    return TrainerInput(
        name=name,
        kinds=frozenset(kinds) or frozenset(_KINDS.values()),
        is_address=schema.get("format") == "uri",
        least=_number(schema.get("minimum")),
        most=_number(schema.get("maximum")),
        choices=choices,
        required=required and "default" not in schema,
        default=schema.get("default"),
        description=str(schema.get("description") or ""),
    )


def _resolved(schema: Json, schemas: Json, depth: int = _DEPTH) -> dict[str, Any]:
    """A property with what it refers to: ``$ref``, ``allOf``, and ``anyOf`` where it has one meaning."""
    resolved: dict[str, Any] = {name: value for name, value in schema.items() if name not in ("$ref", "allOf")}
    for part in [schema] if "$ref" in schema else _list(schema.get("allOf")):
        referred = part
        if depth and isinstance(part, Mapping) and isinstance(part.get("$ref"), str):
            target = schemas.get(part["$ref"].rpartition("/")[2])
            referred = _resolved(target, schemas, depth - 1) if isinstance(target, Mapping) else {}
        if isinstance(referred, Mapping):
            resolved = {**referred, **resolved}  # the property's own default and description win
    options = [
        option for option in map(_object, _list(resolved.get("anyOf"))) if option and option.get("type") != "null"
    ]
    if depth and len(options) == 1:
        rest = {name: value for name, value in resolved.items() if name != "anyOf"}
        resolved = {**_resolved(options[0], schemas, depth - 1), **rest}
    return resolved


_KINDS = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(value: Any) -> Json:
    return value if isinstance(value, Mapping) else {}


def _is_of(value: Any, kinds: frozenset[str]) -> bool:
    kind = _KINDS.get(type(value))
    return kind in kinds or (kind == "integer" and "number" in kinds)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
