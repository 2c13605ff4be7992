"""Read what a trainer says of its inputs: the ``TrainingInput`` of its OpenAPI document."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

Json = Mapping[str, Any]
_DEPTH = 8  # of references to references


class Input(NamedTuple):
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

    def flaw(self, value: Any) -> str:
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

    def fitted(self, value: Any) -> Any:
        """A value in the type that it takes: a whole float as an integer, a list as a text with commas."""
        if isinstance(value, float) and value.is_integer() and "number" not in self.kinds and "integer" in self.kinds:
            return int(value)
        if isinstance(value, list | tuple):
            return list(value) if "array" in self.kinds else ",".join(map(str, value))
        return value


def read_inputs(document: Json) -> dict[str, Input] | None:
    """The inputs of a trainer's OpenAPI document; None where it publishes none.

    Args:
        document: The whole document, or ``TrainingInput`` alone.
    """
    schemas = _object(_object(document.get("components")).get("schemas"))
    training = schemas.get("TrainingInput") if "components" in document else document
    if not isinstance(training, Mapping) or not isinstance(training.get("properties"), Mapping):
        return None
    required = frozenset(name for name in _list(training.get("required")) if isinstance(name, str))
    return {
        name: _input(name, _resolved(each, schemas), required=name in required)
        for name, each in training["properties"].items()
        if isinstance(each, Mapping)
    }


def fingerprint(document: Json) -> str:
    """The sha256 of ``TrainingInput`` in a canonical form, by which drift is noticed."""
    inputs = read_inputs(document) or {}
    told = {name: {**each._asdict(), "kinds": sorted(each.kinds)} for name, each in sorted(inputs.items())}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _input(name: str, found: Json, *, required: bool) -> Input:
    kind = found.get("type")
    said = [kind, *_list(kind), *(_object(each).get("type") for each in _list(found.get("anyOf")))]
    choices = tuple(_list(found.get("enum")))
    kinds = {each for each in said if each in _KINDS.values()} or {
        _KINDS[type(choice)] for choice in choices if type(choice) in _KINDS
    }
    return Input(
        name=name,
        kinds=frozenset(kinds) or frozenset(_KINDS.values()),
        is_address=found.get("format") == "uri",
        least=_number(found.get("minimum")),
        most=_number(found.get("maximum")),
        choices=choices,
        required=required and "default" not in found,
        default=found.get("default"),
        description=str(found.get("description") or ""),
    )


def _resolved(found: Json, schemas: Json, depth: int = _DEPTH) -> dict[str, Any]:
    """A property with what it refers to: ``$ref``, ``allOf``, and ``anyOf`` where it has one meaning."""
    whole: dict[str, Any] = {name: value for name, value in found.items() if name not in ("$ref", "allOf")}
    referred = [found] if "$ref" in found else _list(found.get("allOf"))
    for each in referred:
        if depth and isinstance(each, Mapping) and isinstance(each.get("$ref"), str):
            target = schemas.get(each["$ref"].rpartition("/")[2])
            each = _resolved(target, schemas, depth - 1) if isinstance(target, Mapping) else {}  # noqa: PLW2901
        if isinstance(each, Mapping):
            whole = {**each, **whole}
    meant = [each for each in map(_object, _list(whole.get("anyOf"))) if each and each.get("type") != "null"]
    if depth and len(meant) == 1:
        rest = {name: value for name, value in whole.items() if name != "anyOf"}
        whole = {**_resolved(meant[0], schemas, depth - 1), **rest}
    return whole


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
