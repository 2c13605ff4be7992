"""The published JSON Schema accepts what the loader accepts in canonical names, and no more."""

import json

import jsonschema
import pytest

from ftsdk.errors import SpecError
from ftsdk.spec.aliases import FIELDS
from ftsdk.spec.base import Section
from ftsdk.spec.loader import load_spec
from ftsdk.spec.schema import json_schema, values_of

LEAST = {"model": "m", "dataset": "d.jsonl"}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"dataset": ["a.jsonl", "b.jsonl"]},
        {"dataset": {"path": "a.jsonl", "columns": {"prompt": "question"}}},
        {"method": "dpo"},
        {"method": {"type": "dpo", "beta": 0.2}},
        {"adapter": "none"},
        {"adapter": None},
        {"adapter": {"r": 8, "target_modules": ["q_proj"]}},
        {"compute": {"memory_limit": "24GiB", "timeout": "12h", "quantization": "none"}},
        {"training": {"learning_rate": 2e-4, "max_steps": None}},
        {"backend_options": {"together": {"suffix": "x"}}},
    ],
)
def test_a_valid_spec_fits_the_schema(fields):
    """An editor marks nothing in a spec that loads."""
    load_spec(LEAST | fields)

    assert [] == list(jsonschema.Draft202012Validator(json_schema()).iter_errors(LEAST | fields))


@pytest.mark.parametrize(
    "fields", [{"model": 3}, {"zzz": 1}, {"training": {"packing": "maybe"}}, {"adapter": {"r": 0}}, {"method": "dpx"}]
)
def test_an_invalid_spec_does_not_fit(fields):
    """An editor marks what the loader refuses."""
    with pytest.raises(SpecError):
        load_spec(LEAST | fields)

    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(LEAST | fields)


def test_the_schema_is_sound():
    """The schema is JSON and itself valid."""
    schema = json.loads(json.dumps(json_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)

    assert "ftsdk job spec" == schema["title"]


def test_every_field_is_described():
    """Each field has a docstring, which editors show."""
    bare = [
        field for field, definitions in FIELDS.items() for definition in definitions if not definition.info.description
    ]

    assert {"method.type"} == set(bare)


def test_a_type_is_reported_in_words():
    """The values of a field are described without terms of programming."""

    class Example(Section):
        rate: float | None = None
        names: tuple[str, ...] = ()

    assert ("a number or none", "a list of text") == (values_of(Example, "rate"), values_of(Example, "names"))
