"""Every field explains itself, by any of its names."""

import pytest

from ftsdk.errors import SpecError
from ftsdk.spec.aliases import FIELDS, RENAMED, VALUE_ALIASES
from ftsdk.spec.explain import explain, explain_all


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("training.learning_rate", "training.learning_rate"),
        ("learning_rate", "training.learning_rate"),
        ("lr", "training.learning_rate"),
        ("lora", "adapter"),
        ("load_in_4bit", "compute.quantization"),
        ("beta", "method.beta"),
        ("model", "model"),
    ],
)
def test_a_field_is_found_by_any_name(name, field):
    """Dotted names, last parts and names of other tools all lead to the field."""
    assert field == explain(name).field


@pytest.mark.parametrize("name", [*FIELDS, *RENAMED, *VALUE_ALIASES])
def test_every_known_name_is_explained(name):
    """Every name that the loader accepts is explained."""
    assert explain(name).text


def test_all_fields_are_explained_once():
    """The whole list has every field, once."""
    assert sorted(FIELDS) == sorted(explanation.field for explanation in explain_all())


def test_an_explanation_has_all_that_is_known():
    """An explanation has the type, the default, the meaning and the names in other tools."""
    explanation = explain("training.max_length")

    assert ("a whole number (at least 2)", "1024", "Axolotl") == (
        explanation.type,
        explanation.default,
        explanation.aliases["sequence_len"],
    )


def test_the_learning_rate_shows_its_table():
    """A blank learning rate is explained for each method."""
    assert "0.0002 with an adapter, 2e-05 without" == explain("learning_rate").values["sft"]


def test_a_section_lists_its_fields():
    """A section is explained with what is in it."""
    assert {"adapter.r", "adapter.alpha"} <= set(explain("adapter").fields)


def test_a_field_of_several_methods_distinguishes_them():
    """Where methods differ, each meaning and default follows its methods."""
    explanation = explain("method.beta")

    assert ("dpo, kto, orpo: 0.1; grpo: 0.0", ("dpo", "kto", "orpo", "grpo")) == (
        explanation.default,
        explanation.methods,
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lerning_rate", "did you mean learning_rate, that is training.learning_rate?"),
        ("batch_size", "it has three meanings"),
        ("hf_" + "a" * 30, "ftsdk explain lists all fields"),
    ],
)
def test_an_unknown_field_gets_a_hint(name, hint):
    """An unknown name is answered with the nearest one, or with the question that it raises."""
    with pytest.raises(SpecError) as caught:
        explain(name)

    assert hint in caught.value.hint
