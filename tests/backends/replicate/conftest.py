"""A service of Replicate's kind on this machine, and a user with a token to it."""

import json

import pytest
from replicate_service import KEY, TRAINER, serving

import ftsdk
from ftsdk.remote.retries import RetryPolicy, Timeouts
from ftsdk_replicate import ReplicateBackend

HASTY = Timeouts(
    call=0.5, connect=0.5, retry_policy=RetryPolicy(attempts=3, first_pause=0.01, total_seconds=5), poll_interval=0.02
)
"""A patience for tests."""


@pytest.fixture
def service(monkeypatch):
    """The service, with its address and token in the environment."""
    with serving() as running:
        monkeypatch.setenv("REPLICATE_BASE_URL", running.url)
        monkeypatch.setenv("REPLICATE_API_TOKEN", KEY)
        yield running


@pytest.fixture
def backend(service, monkeypatch):
    """The backend in a hurry, also where the client looks it up by its name."""
    hasty = ReplicateBackend(HASTY)
    monkeypatch.setattr("ftsdk.registry.load_backend", lambda name: hasty)
    return hasty


@pytest.fixture
def rows(tmp_path):
    """A file of questions and answers."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{n} + 1 =", "completion": f" {n + 1}"}) + "\n" for n in range(20)))
    return path


@pytest.fixture
def spec(rows):
    """Makes a spec that the modern trainer can run; what ``replicate`` is given goes into the options."""

    def make(*, replicate=None, **changes):
        options = {
            "trainer": TRAINER,
            "destination": "me/tuned",
            "data_format": "prompt_completion",
            "settle_seconds": 0.2,
            **(replicate or {}),
        }
        fields = {"model": "org/base", "dataset": str(rows), "backend": "replicate", **changes}
        return ftsdk.JobSpec.model_validate({**fields, "backend_options": {"replicate": options}})

    return make
