"""Judge an artifact from the command line: what is asked reaches it, and both columns come out."""

import pytest

from ftsdk import Artifact
from ftsdk.artifact import Comparison, Evaluation, EvaluationSettings, HeldOut, Sample, TaskResult


@pytest.fixture
def found():
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
def told(cli, submitted, monkeypatch, found):
    """Fetches an artifact; gives what is asked of it."""
    calls = {}
    cli("fetch", submitted(), "out")
    monkeypatch.setattr(Artifact, "evaluate", lambda self, **how: calls.update(how) or found)
    monkeypatch.setattr(Artifact, "push_to_hub", lambda self, name, **how: calls.update(how, name=name) or "address")
    return calls


def test_options_reach_the_artifact(cli, told):
    """Every option is passed on, tasks as a list."""
    options = ("--tasks", "mmlu, my.yaml", "--limit", 5, "--num-fewshot", 2, "--chat", "--no-held-out", "--samples", 0)
    more = ("--dataset", "held.jsonl", "--seed", 7, "--batch-size", 3, "--trust-task-code")

    cli("evaluate", "out", *options, *more)

    assert ["mmlu", "my.yaml"] == told["tasks"]
    assert (5, 2, True, False, 0) == tuple(
        told[name] for name in ("limit", "num_fewshot", "chat", "held_out", "samples")
    )
    assert ("held.jsonl", 7, 3, True) == (
        str(told["dataset"]),
        told["seed"],
        told["batch_size"],
        told["trust_task_code"],
    )


def test_both_columns(cli, told):
    """Base and artifact stand side by side, with standard errors where there are any, and the answers below."""
    page = cli("evaluate", "out").stdout.split()

    assert ["held-out", "loss", "2.0000", "1.5000", "7"] == page[4:9]
    assert ["colours", "acc", "0.2500", "±", "0.1000", "-", "4"] == page[9:16]
    assert ["2", "+", "2?", "base", "5", "artifact", "four", "expected", "4"] == page[16:]


def test_from_evaluate_to_publish(cli, told, found, tmp_path):
    """What one verb writes the other reads."""
    cli("evaluate", "out", "--output", "found.json")

    said = cli("publish", "out", "me/tuned", "--evaluation", "found.json", "--public")

    assert ("address\n", found, False, "me/tuned") == (
        said.stdout,
        told["evaluation"],
        told["private"],
        told["name"],
    )


def test_a_file_that_is_no_evaluation(cli, told, tmp_path):
    """Another file is refused, with what to give instead."""
    (tmp_path / "other.json").write_text("{}")

    said = cli("publish", "out", "me/tuned", "--evaluation", "other.json")

    assert 1 == said.exit_code
    assert "ftsdk evaluate --output" in said.stderr


def test_no_place_to_write(cli, told):
    """Where the numbers cannot be written, that is an error of ours."""
    said = cli("evaluate", "out", "--output", "no/such/folder/found.json")

    assert 1 == said.exit_code
    assert "cannot write" in said.stderr
