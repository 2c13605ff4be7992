"""Overrides are accepted in both spellings, wherever they stand."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.cli.errors import overrides_last


@pytest.mark.parametrize(
    "arguments",
    [
        ("job.yaml", "training.max_steps=10"),
        ("job.yaml", "--training.max_steps", "10"),
        ("job.yaml", "--training.max_steps=10"),
        ("--training.max_steps", "10", "job.yaml"),
    ],
)
def test_both_spellings_mean_the_same(arguments):
    """``--a.b 1``, ``--a.b=1`` and ``a.b=1`` are the same override, after the spec."""
    assert ["job.yaml", "training.max_steps=10"] == overrides_last(arguments)


def test_arguments_after_a_double_dash_are_left_alone():
    """After ``--``, nothing is read as an option."""
    assert ["--", "--a.b", "1"] == overrides_last(["--", "--a.b", "1"])


@given(st.lists(st.text()))
def test_no_argument_is_lost(arguments):
    """Every character of the arguments remains, apart from option signs."""
    before, after = "".join(arguments), "".join(overrides_last(arguments))

    assert set(before) - set("-=") == set(after) - set("-=")


def test_an_override_reaches_the_plan(cli, write_spec):
    """An override changes the plan, and only in the field that it names."""
    default, overridden = (
        json.loads(cli("plan", write_spec(), *more, "--json").stdout)["native"]["parameters"]
        for more in ((), ("--training.max_steps", "10"))
    )

    assert {**default, "training.max_steps": 10} == overridden


def test_an_override_without_a_value_is_wrong_usage(cli, write_spec):
    """A missing value is an error, not a guess."""
    result = cli("plan", write_spec(), "--training.max_steps")

    assert (2, True) == (result.exit_code, "needs a value" in result.stderr)


def test_a_misspelled_field_is_named(cli, write_spec):
    """A field that does not exist is an error with the nearest name."""
    result = cli("submit", write_spec(), "training.max_step=10")

    assert 1 == result.exit_code
    assert "max_steps" in result.stderr
