"""Fixtures of the engine's tests: tokenizers, tiny models of several architectures, training in this process."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from preference_rows import pairs, unpaired, write_rows
from torch_fixtures import one_thread, tokenizer  # noqa: F401 - fixtures

from ftsdk import JobSpec
from ftsdk.data import check
from ftsdk.job_folder import JobFolder
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.hardware import device
from ftsdk.workers.outcome import Stopped
from ftsdk_local import translate
from ftsdk_local.train.run import run


@pytest.fixture
def chat_file(tmp_path) -> Path:
    """Forty short conversations."""
    path = tmp_path / "chat.jsonl"
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What is {a} plus {b}?"},
                {"role": "assistant", "content": f"Arr, {a} plus {b} be {a + b}, matey!" + " Arr!" * (a % 4)},
            ]
        }
        for a in range(8)
        for b in range(5)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def make_spec(tiny_model, chat_file) -> Callable[..., JobSpec]:
    """A short QLoRA job on the tiny model, with changes: sections are given as dicts."""

    def make(**changes) -> JobSpec:
        base = {
            "model": str(tiny_model),
            "dataset": str(chat_file),
            "training": {"max_steps": 4, "global_batch_size": 8, "learning_rate": 1e-3, "save_steps": 2},
            "compute": {"quantization": "nf4"},
        }
        merged = {
            key: {**base[key], **value} if isinstance(value, dict) and isinstance(base.get(key), dict) else value
            for key, value in changes.items()
        }
        return JobSpec.model_validate({**base, **merged})

    return make


@pytest.fixture
def preference_spec(make_spec, tmp_path) -> Callable[..., JobSpec]:
    """A short job that learns from preferences, in float32 without quantization unless changed."""

    def make(method, rows=None, **changes) -> JobSpec:
        name = method if isinstance(method, str) else method["type"]
        preferences = (unpaired() if name == "kto" else pairs()) if rows is None else rows
        compute = {"quantization": None, "dtype": "float32", **changes.pop("compute", {})}
        dataset = write_rows(tmp_path / f"{name}.jsonl", preferences)
        return make_spec(**{"method": method, "dataset": dataset, **changes, "compute": compute})

    return make


class StopAfter:
    """A stop request that comes at a step, or never."""

    def __init__(self, after_checks: int | None = None) -> None:
        self.checks, self.after_checks = 0, after_checks
        self.reason = None

    @property
    def requested(self) -> bool:
        self.checks += 1
        if self.after_checks is not None and self.checks > self.after_checks:
            self.reason = "cancel"
        return self.reason is not None


@pytest.fixture
def train(tmp_path) -> Callable[..., JobFolder]:
    """Runs a spec in this process; the same name resumes where it stopped."""

    def go(spec: JobSpec, name: str = "job", stop_after: int | None = None) -> JobFolder:
        folder = JobFolder(tmp_path / name)
        folder.path.mkdir(exist_ok=True)
        plan = translate.plan(spec, device("cpu"))
        plan = plan.model_copy(update={"data": check(spec.dataset, spec.method.type)})
        reporter = EventWriter(folder)
        try:
            run(folder, plan, reporter, StopAfter(stop_after))
        except Stopped:
            pass  # the test has requested it
        finally:
            reporter.close()
        return folder

    return go
