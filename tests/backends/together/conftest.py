"""A service of Together's kind on this machine, and a user with a key to it."""

import json

import pytest
from together_service import KEY, MODEL, serving

import ftsdk
from ftsdk.remote.retries import RetryPolicy, Timeouts
from ftsdk_together import TogetherBackend

HASTY = Timeouts(
    call=0.5, connect=0.5, retry_policy=RetryPolicy(attempts=3, first_pause=0.01, total_seconds=5), poll_interval=0.02
)
"""A patience for tests."""


@pytest.fixture
def service(monkeypatch):
    """The service, with its address and key in the environment."""
    with serving() as running:
        monkeypatch.setenv("TOGETHER_BASE_URL", running.url)
        monkeypatch.setenv("TOGETHER_API_KEY", KEY)
        yield running


@pytest.fixture
def backend(service, monkeypatch):
    """The backend in a hurry, also where the client looks it up by its name."""
    hasty = TogetherBackend(HASTY)
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
    """Makes a spec that Together can run; what ``together`` is given goes into its options."""

    def make(*, together=None, **changes):
        options = {"together": {"settle_seconds": 0.2, "processing_seconds": 5, **(together or {})}}
        fields = {"model": MODEL, "dataset": str(rows), "backend": "together", "backend_options": options, **changes}
        return ftsdk.JobSpec.model_validate(fields)

    return make
