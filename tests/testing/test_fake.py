"""The fake backend passes the contract that it ships with."""

from pathlib import Path

import pytest

import ftsdk
from ftsdk.testing import BackendContract, FakeBackend

ROWS = '{"prompt": "2 + 2 =", "completion": " 4"}\n' * 8


def fake_spec(folder: Path, **script: object) -> ftsdk.JobSpec:
    rows = folder / "rows.jsonl"
    rows.write_text(ROWS, encoding="utf-8")
    return ftsdk.JobSpec(model="org/tiny", dataset=str(rows), backend="fake", backend_options={"fake": script})


class TestFake(BackendContract):
    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls) -> FakeBackend:
        return FakeBackend()

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tmp_path_factory: pytest.TempPathFactory) -> ftsdk.JobSpec:
        return fake_spec(tmp_path_factory.mktemp("data"), queue_seconds=0.1, run_seconds=0.4)

    @pytest.fixture(scope="class")
    @classmethod
    def failing_spec(cls, tmp_path_factory: pytest.TempPathFactory) -> ftsdk.JobSpec:
        return fake_spec(tmp_path_factory.mktemp("data"), outcome="oom")
