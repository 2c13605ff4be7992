"""``ftsdk backends install`` makes what a backend needs on this machine."""

import json

import pytest


def test_a_backend_that_needs_nothing(cli):
    """It says so, and that is no error."""
    done = cli("backends", "install", "fake")

    assert (0, True) == (done.exit_code, "fake needs nothing but its Python packages" in done.stdout)


def test_as_a_document(cli):
    """With --json, what was told is in the document, and nothing else on stdout."""
    found = json.loads(cli("backends", "install", "fake", "--json").stdout)

    assert ("fake", ["fake needs nothing but its Python packages"]) == (found["backend"], found["told"])


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("install",), "install what?"),
        (("install", "nope"), "no installed backend is named 'nope'"),
        (("local", "autotrain"), "unexpected 'autotrain' behind 'local'"),
    ],
    ids=["nothing", "unknown", "too much"],
)
def test_what_cannot_be_installed(cli, words, what):
    """The error says what to write instead."""
    done = cli("backends", *words)

    assert (1, True) == (done.exit_code, what in done.stderr)


def test_doctor_tells_of_engines(cli):
    """Where an engine is, or that it will be installed, and what it trains on."""
    done = cli("doctor")

    assert "autotrain-advanced 0.8.36" in done.stdout
