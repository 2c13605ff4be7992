import json

import pytest

import ftsdk
from ftsdk.kit.engines.house import build
from ftsdk_unsloth.installation import HOUSE

ANSWER = "Arr, it be the number that ye count to, matey!"


@pytest.fixture
def unsloth_spec(tiny_model, tmp_path):
    """Makes a small spec for Unsloth."""

    def make(rows=None, **changes):
        path = tmp_path / "rows.jsonl"
        rows = rows or [{"prompt": f"What is {n} plus one?", "completion": ANSWER} for n in range(48)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        training = {"max_steps": 6, "global_batch_size": 8, "max_length": 128}
        given = {"model": str(tiny_model), "dataset": str(path), "training": training, "backend": "unsloth"}
        return ftsdk.JobSpec.model_validate({**given, **changes})

    return make


@pytest.fixture(scope="session")
def unsloth_python():
    """Unsloth's own Python, installed where it is missing: two gigabytes, once for all tests."""
    build(HOUSE, print)
    return HOUSE.interpreter
