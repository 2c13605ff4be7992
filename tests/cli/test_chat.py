"""Talking to what a job made."""

import json
import sys

import pytest

import ftsdk


@pytest.fixture
def artifact(cli, submitted, monkeypatch) -> str:
    """A fetched artifact that says everything in capitals."""
    monkeypatch.setattr(
        ftsdk.Artifact, "generate", lambda self, prompts, **how: [prompt[0]["content"].upper() for prompt in prompts]
    )
    cli("fetch", submitted(), "out")
    return "out"


def test_one_prompt_one_answer(cli, artifact):
    """With ``--prompt``, stdout holds the answer alone."""
    assert "HELLO\n" == cli("chat", artifact, "--prompt", "hello").stdout


def test_a_talk_ends_with_an_empty_line(cli, artifact):
    """Each line is answered until an empty one comes."""
    result = cli("chat", artifact, input="one\ntwo\n\nthree\n")

    assert "ONE\nTWO\n" == result.stdout


def test_a_talk_ends_with_the_input(cli, artifact):
    """The end of a pipe is the end of the talk, and no error."""
    result = cli("chat", artifact, input="one\n")

    assert (0, "ONE\n") == (result.exit_code, result.stdout)


def test_json_needs_a_prompt(cli, artifact):
    """With ``--json`` nobody can be asked, so a missing prompt is wrong usage."""
    result = cli("chat", artifact, "--json")

    assert (2, "UsageError") == (result.exit_code, json.loads(result.stdout)["error"])


def test_a_library_that_prints_does_not_spoil_the_document(cli, artifact, monkeypatch):
    """What a library prints while a model is loaded goes to stderr."""

    def chatter(self, prompts, **how):
        sys.stdout.write("loading")
        return ["hi"]

    monkeypatch.setattr(ftsdk.Artifact, "generate", chatter)

    result = cli("chat", artifact, "-p", "hello", "--json")

    assert "hi" == json.loads(result.stdout)["answer"]
    assert "loading" in result.stderr
