"""What every command has: one JSON document on request, errors with a next step, and a place in help and docs."""

import json

import pytest
from typer.main import get_command

from ftsdk.artifact import Comparison, Evaluation, EvaluationSettings, HeldOut, Sample
from ftsdk.cli import app

COMMANDS = sorted(get_command(app).commands)

VALID = {
    "backends": (),
    "cancel": ("{ref}",),
    "chat": ("out", "--prompt", "hello"),
    "demo": (),
    "doctor": (),
    "evaluate": ("out", "--tasks", "colours", "--output", "scores.json"),
    "events": ("{ref}",),
    "explain": ("training.learning_rate",),
    "fetch": ("{ref}", "out"),
    "import": ("foreign.yaml",),
    "init": (),
    "jobs": (),
    "logs": ("{ref}", "--follow"),
    "merge": ("out", "--output", "merged"),
    "plan": ("{spec}",),
    "publish": ("out", "me/tuned", "--evaluation", "evaluation.json"),
    "quantize": ("out", "int8", "--output", "small"),
    "resume": ("{ref}",),
    "schema": (),
    "status": ("{ref}",),
    "submit": ("{spec}", "--follow"),
    "wait": ("{ref}",),
}
"""For each command, arguments with which it succeeds."""

INVALID = {
    **dict.fromkeys(("cancel", "events", "logs", "resume", "status", "wait"), ("{ref}nobody",)),
    "backends": ("fakke",),
    "chat": ("nowhere", "--prompt", "hello"),
    "demo": (),
    "doctor": (),
    "evaluate": ("nowhere",),
    "explain": ("training.learning_rat",),
    "fetch": ("{ref}nobody", "out"),
    "import": ("nowhere.yaml",),
    "init": (),
    "jobs": (),
    "merge": ("nowhere", "--output", "merged"),
    "plan": ("nowhere.yaml",),
    "publish": ("out", "me/tuned", "--evaluation", "nowhere.json"),
    "quantize": ("nowhere", "int5", "--output", "small"),
    "submit": ("nowhere.yaml",),
}
"""For each command that can fail, arguments with which it does."""


ON_AN_ARTIFACT = ("chat", "evaluate", "merge", "publish", "quantize")
FOREIGN = "base_model: tiny/model\nlearning_rate: 2e-4\ndatasets: [{path: rows.jsonl, type: chat_template}]\n"

EVALUATION = Evaluation(
    base_model="org/base",
    base_model_revision=None,
    job="fake:ft-1",
    weights={},
    method="sft",
    settings=EvaluationSettings(tasks=("colours",)),
    held_out=HeldOut(
        origin="job",
        files={},
        rows=7,
        tokens=70,
        metrics=(Comparison(metric="loss", base=2.0, artifact=1.5, higher_is_better=False),),
    ),
    samples=(Sample(prompt="two plus two?", expected="four", base="five", artifact="four"),),
    dtype="float32",
    quantization="",
    versions={},
)


@pytest.fixture
def arguments_of(cli, write_spec, submitted, monkeypatch, tmp_path):
    """Fills in the arguments of a command, and prepares what it needs."""
    from ftsdk import Artifact

    def fill(command, arguments):
        script = {"outcome": "oom"} if command == "resume" else {}
        ref = submitted(**script) if "{ref}" in arguments or command in (*ON_AN_ARTIFACT, "jobs") else "fake:"
        if command in ON_AN_ARTIFACT and "out" in arguments:
            cli("fetch", ref, "out")
            monkeypatch.setattr("ftsdk.merge", lambda folder, output: Artifact.open(folder))
            monkeypatch.setattr("ftsdk.quantize", lambda model, kind, output: Artifact.open(model))
        return [command, *(argument.format(ref=ref, spec=write_spec()) for argument in arguments)]

    (tmp_path / "foreign.yaml").write_text(FOREIGN)
    (tmp_path / "evaluation.json").write_text(EVALUATION.model_dump_json())
    monkeypatch.setattr(Artifact, "evaluate", lambda self, **options: EVALUATION)
    monkeypatch.setattr(Artifact, "push_to_hub", lambda self, name, **options: f"https://hub.test/{name}/commit/1")
    monkeypatch.setattr(Artifact, "generate", lambda self, prompts, **options: ["hello yourself"] * len(prompts))
    monkeypatch.setattr("ftsdk.demo.run", lambda console, **options: console.print("a page") or {"ok": True})
    return fill


@pytest.fixture
def break_environment(ftsdk_home, monkeypatch, tmp_path):
    """A state folder that is a file, a file in the way of ``init``, and a demo that fails."""

    def fail(console, **options):
        raise OSError("no space left on device")

    def break_for(command):
        if command in ("doctor", "jobs"):
            monkeypatch.setenv("FTSDK_HOME", str(tmp_path / "rows.jsonl"))
        if command == "init":
            (tmp_path / "job.yaml").touch()
        monkeypatch.setattr("ftsdk.demo.run", fail)

    return break_for


def test_no_command_is_left_out():
    """The tables above have every command."""
    assert COMMANDS == sorted(VALID)


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_one_document(cli, arguments_of, command):
    """With ``--json``, stdout holds one JSON document, whatever else the command reports."""
    result = cli(*arguments_of(command, VALID[command]), "--json")

    assert 0 == result.exit_code, result.stderr
    assert json.loads(result.stdout) is not None


@pytest.mark.parametrize("command", COMMANDS)
def test_people_get_a_page(cli, arguments_of, command):
    """Without ``--json``, a command prints something, and no Python objects."""
    result = cli(*arguments_of(command, VALID[command]))

    assert 0 == result.exit_code, result.stderr
    assert result.stdout.strip()
    assert "object at 0x" not in result.output


@pytest.mark.parametrize("command", sorted(INVALID))
def test_a_json_error_is_one_document(cli, arguments_of, break_environment, command):
    """With ``--json``, an error is the one document, and stderr has it for people; the exit code is 1."""
    arguments = arguments_of(command, INVALID[command])
    break_environment(command)

    result = cli(*arguments, "--json")

    assert 1 == result.exit_code
    assert isinstance(json.loads(result.stdout), dict)


@pytest.mark.parametrize("command", sorted(INVALID))
def test_an_error_is_no_traceback(cli, arguments_of, break_environment, command):
    """An error goes to stderr, with the next step and without a traceback."""
    arguments = arguments_of(command, INVALID[command])
    break_environment(command)

    result = cli(*arguments)

    assert 1 == result.exit_code
    assert "Traceback" not in result.output
    assert result.stderr.strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_wrong_usage_is_exit_code_2(cli, command):
    """An option that does not exist is wrong usage, in JSON as well."""
    result = cli(command, "--no-such-option", "--json")

    assert 2 == result.exit_code
    assert "UsageError" == json.loads(result.stdout)["error"]
    assert f"Next: {command} --help" in result.stderr.replace("ftsdk ", "").replace("root ", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_debug_before_it(cli, arguments_of, command):
    """``ftsdk --debug COMMAND`` works as ``ftsdk COMMAND --debug`` does."""
    result = cli("--debug", *arguments_of(command, VALID[command]))

    assert 0 == result.exit_code, result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_docs_name_the_command(cli, root, command):
    """Each command is in ``ftsdk --help`` and has its command in the docs."""
    assert command in cli("--help").stdout
    assert f"ftsdk {command}" in (root / "docs" / "cli.md").read_text(encoding="utf-8")
