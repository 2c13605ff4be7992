"""``ftsdk chat``."""

import json
import sys

import pytest

import ftsdk


@pytest.fixture
def artifact(cli, submitted, monkeypatch) -> str:
    """A fetched artifact that answers with the prompt in capitals."""
    monkeypatch.setattr(
        ftsdk.Artifact,
        "generate",
        lambda self, prompts, **options: [prompt[0]["content"].upper() for prompt in prompts],
    )
    cli("fetch", submitted(), "out")
    return "out"


def test_one_prompt_one_answer(cli, artifact):
    """With ``--prompt``, stdout holds the answer alone."""
    assert "HELLO\n" == cli("chat", artifact, "--prompt", "hello").stdout


def test_a_chat_ends_with_an_empty_line(cli, artifact):
    """Each line is answered, up to an empty one."""
    result = cli("chat", artifact, input="one\ntwo\n\nthree\n")

    assert "ONE\nTWO\n" == result.stdout


def test_a_chat_ends_with_the_input(cli, artifact):
    """The end of a pipe is the end of the chat, and no error."""
    result = cli("chat", artifact, input="one\n")

    assert (0, "ONE\n") == (result.exit_code, result.stdout)


def test_json_needs_a_prompt(cli, artifact):
    """With ``--json`` no prompts are read from the terminal, so a missing one is wrong usage."""
    result = cli("chat", artifact, "--json")

    assert (2, "UsageError") == (result.exit_code, json.loads(result.stdout)["error"])


def test_a_library_that_prints_does_not_spoil_the_document(cli, artifact, monkeypatch):
    """Output of a library while a model is loaded goes to stderr."""

    def reply(self, prompts, **options):
        sys.stdout.write("loading")
        return ["hi"]

    monkeypatch.setattr(ftsdk.Artifact, "generate", reply)

    result = cli("chat", artifact, "-p", "hello", "--json")

    assert "hi" == json.loads(result.stdout)["answer"]
    assert "loading" in result.stderr
