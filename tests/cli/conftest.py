"""Run the command line in this process, on the fake backend."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ftsdk.cli import app


@pytest.fixture
def cli(tmp_path, monkeypatch) -> Callable[..., Result]:
    """Runs ``ftsdk`` with some arguments, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    return lambda *arguments, **more: runner.invoke(app, [str(argument) for argument in arguments], **more)


@pytest.fixture
def write_spec(tmp_path) -> Callable[..., Path]:
    """Writes a job spec for the fake backend, with a script, and gives its path."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "two plus two?", "completion": "four"}\n' * 4)

    def write(*, fields: Mapping[str, Any] = {}, **script: Any) -> Path:
        spec = {
            "model": "tiny/model",
            "dataset": str(rows),
            "backend": "fake",
            "backend_options": {"fake": script},
            **fields,
        }
        path = tmp_path / "job.json"
        path.write_text(json.dumps(spec))
        return path

    return write


@pytest.fixture
def submitted(cli, write_spec) -> Callable[..., str]:
    """Submits a job that follows a script, and gives its reference."""
    return lambda **script: cli("submit", write_spec(**script)).stdout.strip()
