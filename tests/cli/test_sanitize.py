"""Foreign text can neither control the terminal nor show a secret."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.cli.sanitize import clean, mask_secrets, one_line
from ftsdk.redact import MASK

CANARY = "canary-7f3k2m9q"


@given(st.text())
def test_no_control_character_is_left(text):
    """Of all control characters, only tab and newline are printed."""
    controls = {letter for letter in clean(text) if unicodedata.category(letter) == "Cc"}

    assert set() == controls - {"\t", "\n"}


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_harmless_text_stays(text):
    """Letters, numbers, signs and spaces are printed as they are."""
    assert text == clean(text)


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b[31m",
        "\x1b[2J\x1b[H",
        "\x9b31m",
        "\x1b]0;title\x07",
        "\x1b]52;c;cm0gLXJm\x1b\\",
        "\x1b]8;;http://x\x1b\\",
        "\x1bPq#0\x1b\\",
        "\x1bc",
        "\x1b(0",
        "\r",
        "\b",
        "\u202e",
        "\u2066",
    ],
)
def test_escape_sequences_vanish(sequence):
    """Colors, erasing, titles, the clipboard, links, resets, overwriting and reversed text leave no trace."""
    assert "beforeafter" == clean(f"before{sequence}after")


def test_a_secret_is_masked_even_when_it_is_colored(monkeypatch):
    """Escape sequences in the middle of a secret do not hide it from the mask."""
    monkeypatch.setenv("ACME_API_KEY", CANARY)

    assert f"key {MASK}" == clean(f"key {CANARY[:4]}\x1b[1m{CANARY[4:]}")


def test_a_secret_is_masked_everywhere_in_json_data(monkeypatch):
    """Keys, values and lists are all searched, and characters that JSON escapes do not hide a secret."""
    monkeypatch.setenv("ACME_API_KEY", 'canary"\\-7f3k2m')

    assert {MASK: [MASK, {"a": f"x {MASK}"}], "n": 1} == mask_secrets(
        {'canary"\\-7f3k2m': ['canary"\\-7f3k2m', {"a": 'x canary"\\-7f3k2m'}], "n": 1}
    )


@given(st.text())
def test_one_line_is_one_line(text):
    """A message with line breaks is printed on one line."""
    assert len(one_line(text).splitlines()) <= 1
