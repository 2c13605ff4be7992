"""Artifacts of short jobs on the CPU, each with held-out rows; and task files."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from in_process import trained
from preference_rows import pairs, turn, write_rows

import ftsdk


def question(number: int) -> dict[str, Any]:
    """A question about a number, and its answer."""
    return {"messages": [*turn("user", f"What is {number}?"), *turn("assistant", f"Arr, it be {number}, matey!")]}


KINDS: dict[str, dict[str, Any]] = {
    "lora": {},
    "nf4": {"compute": {"quantization": "nf4"}},
    "pissa": {"adapter": {"init": "pissa"}},
    "whole": {"adapter": None},
    "second": {"val_size": 0, "eval_dataset": "held.jsonl"},
    "dpo": {"method": "dpo"},
    "reward_modeling": {"method": "reward_modeling"},
}
"""From a kind of job to its changes to the spec."""

QUESTIONS = [
    {"question": "What colour is the sky?", "choices": ["blue", "green"], "answer": 0},
    {"question": "What colour is grass?", "choices": ["red", "green", "white"], "answer": 1},
    {"question": "What is 2 + 2?", "choices": ["5", "four"], "answer": 1},
    {"question": "What is 1 + 1?", "choices": ["two", "three"], "answer": 0},
]

TASK = """\
task: colours
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list: [{{metric: acc}}]
metadata: {{version: 3.0}}
"""


class JobOutput(NamedTuple):
    """The artifact of a job, and its rows."""

    artifact: ftsdk.Artifact
    rows: Path


@pytest.fixture(scope="session")
def job_of(tmp_path_factory, tiny_model):
    """Returns the output of a kind of job, which runs at the first call. Tests must not change it."""
    outputs: dict[str, JobOutput] = {}

    def make(kind: str) -> JobOutput:
        if kind not in outputs:
            outputs[kind] = _make(kind, tmp_path_factory.mktemp(kind), tiny_model)
        return outputs[kind]

    return make


def _make(kind: str, folder: Path, model: Path) -> JobOutput:
    preferred = kind in ("dpo", "reward_modeling")
    rows = Path(write_rows(folder / "rows.jsonl", pairs()[:24] if preferred else map(question, range(24))))
    write_rows(folder / "held.jsonl", [question(77)] * 3)
    changes = {
        name: value.replace("held", f"{folder}/held") if name == "eval_dataset" else value
        for name, value in KINDS[kind].items()
    }
    fields = {
        "model": str(model),
        "dataset": str(rows),
        "val_size": 0.25,
        "training": {"max_steps": 3, "global_batch_size": 8, "learning_rate": 1e-3},
        "backend_options": {"local": {"device": "cpu"}},
        **changes,
    }
    return JobOutput(ftsdk.Artifact.open(trained(ftsdk.JobSpec.model_validate(fields), folder / "job")), rows)


@pytest.fixture
def copied(job_of, tmp_path):
    """Returns a copy of an artifact, which a test may change."""

    def copy(kind: str) -> ftsdk.Artifact:
        shutil.copytree(job_of(kind).artifact.path, tmp_path / kind)
        return ftsdk.Artifact.open(tmp_path / kind)

    return copy


@pytest.fixture
def questions():
    """The rows of the task."""
    return QUESTIONS


@pytest.fixture
def write_task(tmp_path, monkeypatch):
    """Writes a task file, with changes to its text, and its questions; datasets are kept in a folder of the test."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")

    def write(*changes: tuple[str, str], name: str = "colours.yaml") -> str:
        rows = tmp_path / "questions.jsonl"
        rows.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS), "utf-8")
        text = TASK.format(rows=rows)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / name).write_text(text, "utf-8")
        return str(tmp_path / name)

    return write
