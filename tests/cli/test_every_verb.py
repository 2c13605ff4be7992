"""What every verb promises: one JSON document when asked, errors with a next step, and a place in help and docs."""

import json

import pytest
from typer.main import get_command

from ftsdk.artifact import Comparison, Evaluation, EvaluationSettings, HeldOut, Sample
from ftsdk.cli import app

VERBS = sorted(get_command(app).commands)

GOOD = {
    "backends": (),
    "cancel": ("{ref}",),
    "chat": ("out", "--prompt", "hello"),
    "demo": (),
    "doctor": (),
    "evaluate": ("out", "--tasks", "colours", "--output", "found.json"),
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
"""For each verb, arguments with which it works."""

BAD = {
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
"""For each verb that can fail, arguments with which it does."""


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
def given(cli, write_spec, submitted, monkeypatch, tmp_path):
    """Fills in the arguments of a verb, and puts in place what it needs."""
    from ftsdk import Artifact

    def fill(verb, arguments):
        script = {"outcome": "oom"} if verb == "resume" else {}
        ref = submitted(**script) if "{ref}" in arguments or verb in (*ON_AN_ARTIFACT, "jobs") else "fake:"
        if verb in ON_AN_ARTIFACT and "out" in arguments:
            cli("fetch", ref, "out")
            monkeypatch.setattr("ftsdk.merge", lambda folder, output: Artifact.open(folder))
            monkeypatch.setattr("ftsdk.quantize", lambda model, kind, output: Artifact.open(model))
        return [verb, *(argument.format(ref=ref, spec=write_spec()) for argument in arguments)]

    (tmp_path / "foreign.yaml").write_text(FOREIGN)
    (tmp_path / "evaluation.json").write_text(EVALUATION.model_dump_json())
    monkeypatch.setattr(Artifact, "evaluate", lambda self, **how: EVALUATION)
    monkeypatch.setattr(Artifact, "push_to_hub", lambda self, name, **how: f"https://hub.test/{name}/commit/1")
    monkeypatch.setattr(Artifact, "generate", lambda self, prompts, **how: ["hello yourself"] * len(prompts))
    monkeypatch.setattr("ftsdk.demo.run", lambda console, **how: console.print("chatter") or {"ok": True})
    return fill


@pytest.fixture
def broken(ftsdk_home, monkeypatch, tmp_path):
    """A state folder that is a file, a file in the way of ``init``, and a demo that fails."""

    def fail(console, **how):
        raise OSError("no space left on device")

    def break_for(verb):
        if verb in ("doctor", "jobs"):
            monkeypatch.setenv("FTSDK_HOME", str(tmp_path / "rows.jsonl"))
        if verb == "init":
            (tmp_path / "job.yaml").touch()
        monkeypatch.setattr("ftsdk.demo.run", fail)

    return break_for


def test_no_verb_is_left_out():
    """The tables above know every verb."""
    assert VERBS == sorted(GOOD)


@pytest.mark.parametrize("verb", VERBS)
def test_json_is_one_document(cli, given, verb):
    """With ``--json``, stdout holds one JSON document, whatever else a verb has to tell."""
    result = cli(*given(verb, GOOD[verb]), "--json")

    assert 0 == result.exit_code, result.stderr
    assert json.loads(result.stdout) is not None


@pytest.mark.parametrize("verb", VERBS)
def test_people_get_a_page(cli, given, verb):
    """Without ``--json``, a verb says something, and shows no Python."""
    result = cli(*given(verb, GOOD[verb]))

    assert 0 == result.exit_code, result.stderr
    assert result.stdout.strip()
    assert "object at 0x" not in result.output


@pytest.mark.parametrize("verb", sorted(BAD))
def test_a_json_error_is_one_document(cli, given, broken, verb):
    """With ``--json``, an error is the one document, and stderr says it to people; the exit code is 1."""
    arguments = given(verb, BAD[verb])
    broken(verb)

    result = cli(*arguments, "--json")

    assert 1 == result.exit_code
    assert isinstance(json.loads(result.stdout), dict)


@pytest.mark.parametrize("verb", sorted(BAD))
def test_an_error_is_no_traceback(cli, given, broken, verb):
    """An error goes to stderr, with the next step and without a traceback."""
    arguments = given(verb, BAD[verb])
    broken(verb)

    result = cli(*arguments)

    assert 1 == result.exit_code
    assert "Traceback" not in result.output
    assert result.stderr.strip()


@pytest.mark.parametrize("verb", VERBS)
def test_wrong_usage_is_exit_code_2(cli, verb):
    """An option that does not exist is a mistake in usage, in JSON as well."""
    result = cli(verb, "--no-such-option", "--json")

    assert 2 == result.exit_code
    assert "UsageError" == json.loads(result.stdout)["error"]
    assert f"Next: {verb} --help" in result.stderr.replace("ftsdk ", "").replace("root ", "")


@pytest.mark.parametrize("verb", VERBS)
def test_help_and_docs_name_the_verb(cli, root, verb):
    """Each verb is in ``ftsdk --help`` and has its command in the docs."""
    assert verb in cli("--help").stdout
    assert f"ftsdk {verb}" in (root / "docs" / "cli.md").read_text(encoding="utf-8")
