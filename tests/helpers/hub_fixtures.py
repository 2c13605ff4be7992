"""A Hub on this machine, and a user with a token for it."""

import json

import pytest
from hub_client import SHORT_TIMEOUTS, use_hub
from hub_service import serving

import ftsdk
from ftsdk_hfjobs import HfJobsBackend

MODEL = "org/tiny"
ANSWER = "Arr, it be the number that ye count to, matey!"


@pytest.fixture
def service(monkeypatch, tmp_path):
    """The Hub, with its address and token in the environment, and an empty cache."""
    with serving() as running:
        use_hub(running, monkeypatch, tmp_path)
        yield running


@pytest.fixture
def backend(service, monkeypatch):
    """The backend with short timeouts, also where the client loads it by its name."""
    hfjobs = HfJobsBackend(SHORT_TIMEOUTS)
    monkeypatch.setattr("ftsdk.registry.load_backend", lambda name: hfjobs)
    return hfjobs


@pytest.fixture
def rows(tmp_path):
    """A file of questions and answers."""
    path = tmp_path / "rows.jsonl"
    examples = ({"prompt": f"What is {n} plus one?", "completion": ANSWER} for n in range(32))
    path.write_text("".join(json.dumps(row) + "\n" for row in examples))
    return path


@pytest.fixture
def spec(service, rows, tiny_model):
    """Creates a spec for a model of the Hub, with ``hfjobs`` among its options."""
    service.add(MODEL, tiny_model)

    def make(*, hfjobs=None, **changes):
        options = {"hfjobs": {"settle_seconds": 0.2, **(hfjobs or {})}}
        training = {"max_steps": 4, "global_batch_size": 8, "max_length": 512}
        defaults = {"model": MODEL, "dataset": str(rows), "backend": "hfjobs", "training": training}
        return ftsdk.JobSpec.model_validate({**defaults, "backend_options": options, **changes})

    return make
