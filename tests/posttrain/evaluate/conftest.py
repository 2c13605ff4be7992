"""Artifacts of short jobs on the CPU, each with rows that it held out; and tasks of our own."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from in_process import trained
from preference_rows import pairs, said, written

import ftsdk


def asked(number: int) -> dict[str, Any]:
    """A question about a number, and its answer."""
    return {"messages": [*said("user", f"What is {number}?"), *said("assistant", f"Arr, it be {number}, matey!")]}


KINDS: dict[str, dict[str, Any]] = {
    "lora": {},
    "nf4": {"compute": {"quantization": "nf4"}},
    "pissa": {"adapter": {"init": "pissa"}},
    "whole": {"adapter": None},
    "second": {"val_size": 0, "eval_dataset": "held.jsonl"},
    "dpo": {"method": "dpo"},
    "reward_modeling": {"method": "reward_modeling"},
}
"""What is special about a job."""

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


class Made(NamedTuple):
    """What a job made, and the rows that it had."""

    artifact: ftsdk.Artifact
    rows: Path


@pytest.fixture(scope="session")
def made(tmp_path_factory, tiny_model):
    """Gives the artifact of a kind of job, made when it is first asked for. Not to be changed."""
    done: dict[str, Made] = {}

    def make(kind: str) -> Made:
        if kind not in done:
            done[kind] = _make(kind, tmp_path_factory.mktemp(kind), tiny_model)
        return done[kind]

    return make


def _make(kind: str, folder: Path, model: Path) -> Made:
    preferred = kind in ("dpo", "reward_modeling")
    rows = Path(written(folder / "rows.jsonl", pairs()[:24] if preferred else map(asked, range(24))))
    written(folder / "held.jsonl", [asked(77)] * 3)
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
    return Made(ftsdk.Artifact.open(trained(ftsdk.JobSpec.model_validate(fields), folder / "job")), rows)


@pytest.fixture
def copied(made, tmp_path):
    """Gives a copy of an artifact, to be changed."""

    def copy(kind: str) -> ftsdk.Artifact:
        shutil.copytree(made(kind).artifact.path, tmp_path / kind)
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
