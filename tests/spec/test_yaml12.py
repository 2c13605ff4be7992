"""YAML is read by its version 1.2, without tags and aliases, within bounds."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.spec.validation_messages import Mistake
from ftsdk.spec.yaml12 import read_yaml, write_yaml

DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4),
        ("1E+3", 1000.0),
        (".5", 0.5),
        ("-0.", 0.0),
        ("010", 10),
        ("0o17", 15),
        ("0xff", 255),
        ("true", True),
        ("no", "no"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        (".nan", ".nan"),
        ("~", None),
        ("", None),
        ("[a, 1, null]", ["a", 1, None]),
        ("<<: 1", {"<<": 1}),
    ],
)
def test_scalars_follow_version_1_2(text, value):
    """Numbers with exponents are numbers; words, times and dates stay text."""
    assert value == read_yaml(text)


@pytest.mark.parametrize(
    ("text", "place", "cause"),
    [
        ("a: 1\na: 2", "line 2", "a twice"),
        ("a:\n  b: 1\n  b: 2", "line 3", "b twice"),
        ("a: &x 1\nb: *x", "line 1", "anchors and aliases"),
        ("a: *x", "line 1", "anchors and aliases"),
        ("a: !!python/object:os.system x", "line 1", "tags"),
        ("a: !!float x", "line 1", "tags"),
        ("a: 1\n---\nb: 2", "line 2", ""),
        ("a: [1", "line 1", ""),
        ("\ta: 1", "line 1", ""),
        ("a: 1\nb: \x00", "line 2", "control character"),
        ('a: "\\UFFFFFFFF"', "", "names no character"),
        ("? [a]\n: 1", "line 1", "not text"),
        ("1: a", "line 1", "not text"),
        ("[" * 100_000, "line 1", "too deep"),
        ("a" * 200_000, "", "too long"),
    ],
)
def test_what_is_not_plain_is_refused(text, place, cause):
    """Doubled keys, anchors, tags, several documents and endless nesting are refused with their line."""
    with pytest.raises(Mistake) as caught:
        read_yaml(text)

    assert (True, True) == (place in str(caught.value), cause in str(caught.value))


def test_each_key_knows_its_line():
    """Lines are counted from 1, for nested keys too."""
    lines = {}
    read_yaml("a: 1\nb:\n  c: 2\n", lines)

    assert {"a": 1, "b": 2, "b.c": 3} == lines


@given(DATA)
def test_what_is_written_is_read(data):
    """Data that is written as YAML comes back the same, whatever its text looks like."""
    assert data == read_yaml(write_yaml(data))


@pytest.mark.parametrize("text", ["1e5", "no", "on", "2024-01-01", "0o17", "1_000", "null", "", "~", "=", "<<", "1:30"])
def test_text_is_quoted_for_either_version(text):
    """Text that version 1.1 or 1.2 reads as another type is put in quotes."""
    assert f"a: '{text}'\n" == write_yaml({"a": text})


@given(st.text() | st.text("[]{}:-?!&*#|>'\"\\%@` \n\tab01.eUx"))
def test_no_text_breaks_the_reader(text):
    """Any text is read, or refused with our own error."""
    with contextlib.suppress(Mistake):
        read_yaml(text)
