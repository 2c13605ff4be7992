"""``ftsdk evaluate`` and ``ftsdk publish``: options reach the artifact, and both columns are shown."""

import pytest

from ftsdk import Artifact
from ftsdk.artifact import Comparison, Evaluation, EvaluationSettings, HeldOut, Sample, TaskResult


@pytest.fixture
def evaluation():
    """A loss, and a task with standard errors."""
    loss = Comparison(metric="loss", base=2.0, artifact=1.5, higher_is_better=False)
    accuracy = Comparison(metric="acc", base=0.25, artifact=None, base_stderr=0.1)
    return Evaluation(
        base_model="org/base",
        base_model_revision=None,
        job="fake:ft-1",
        weights={},
        method="sft",
        settings=EvaluationSettings(),
        held_out=HeldOut(origin="job", files={}, rows=7, tokens=70, metrics=(loss,)),
        tasks=(TaskResult(task="colours", version="3", rows=4, shots=0, metrics=(accuracy,)),),
        samples=(Sample(prompt=[{"role": "user", "content": "2 + 2?"}], expected="4", base="5", artifact="four"),),
        dtype="float32",
        quantization="",
        versions={},
    )


@pytest.fixture
def options(cli, submitted, monkeypatch, evaluation):
    """Fetches an artifact; holds the options of the last call on it."""
    calls = {}
    cli("fetch", submitted(), "out")
    monkeypatch.setattr(Artifact, "evaluate", lambda self, **options: calls.update(options) or evaluation)
    monkeypatch.setattr(
        Artifact, "push_to_hub", lambda self, name, **options: calls.update(options, name=name) or "address"
    )
    return calls


def test_options_reach_the_artifact(cli, options):
    """Every option is passed on, tasks as a list."""
    first = ("--tasks", "mmlu, my.yaml", "--limit", 5, "--num-fewshot", 2, "--chat", "--no-held-out", "--samples", 0)
    more = ("--dataset", "held.jsonl", "--seed", 7, "--batch-size", 3, "--trust-task-code")

    cli("evaluate", "out", *first, *more)

    assert ["mmlu", "my.yaml"] == options["tasks"]
    assert (5, 2, True, False, 0) == tuple(
        options[name] for name in ("limit", "num_fewshot", "chat", "held_out", "samples")
    )
    assert ("held.jsonl", 7, 3, True) == (
        str(options["dataset"]),
        options["seed"],
        options["batch_size"],
        options["trust_task_code"],
    )


def test_both_columns(cli, options):
    """Base and artifact stand side by side, with standard errors where there are any, and the answers below."""
    page = cli("evaluate", "out").stdout.split()

    assert ["held-out", "loss", "2.0000", "1.5000", "7"] == page[4:9]
    assert ["colours", "acc", "0.2500", "±", "0.1000", "-", "4"] == page[9:16]
    assert ["2", "+", "2?", "base", "5", "artifact", "four", "expected", "4"] == page[16:]


def test_from_evaluate_to_publish(cli, options, evaluation, tmp_path):
    """The file that one command writes, the other reads."""
    cli("evaluate", "out", "--output", "scores.json")

    result = cli("publish", "out", "me/tuned", "--evaluation", "scores.json", "--public")

    assert ("address\n", evaluation, False, "me/tuned") == (
        result.stdout,
        options["evaluation"],
        options["private"],
        options["name"],
    )


def test_a_file_that_is_no_evaluation(cli, options, tmp_path):
    """Another file is refused, and the right one is named."""
    (tmp_path / "other.json").write_text("{}")

    result = cli("publish", "out", "me/tuned", "--evaluation", "other.json")

    assert 1 == result.exit_code
    assert "ftsdk evaluate --output" in result.stderr


def test_scores_that_cannot_be_written(cli, options):
    """A file that cannot be written is an error with the reason."""
    result = cli("evaluate", "out", "--output", "no/such/folder/scores.json")

    assert 1 == result.exit_code
    assert "cannot write" in result.stderr
