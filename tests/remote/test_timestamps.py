"""Timestamps of remote services mean the same in every time zone, in summer, too."""

import time
from datetime import UTC, datetime

import pytest

from ftsdk.huggingface import log
from ftsdk.remote.timestamps import epoch_seconds, parse_timestamp
from ftsdk_replicate import fetch as replicate_fetch
from ftsdk_replicate import monitor as replicate
from ftsdk_together import fetch as together_fetch
from ftsdk_together import monitor as together

JULY = datetime(2026, 7, 15, 12, 30, tzinfo=UTC)
TEXTS = ["2026-07-15T12:30:00", "2026-07-15T12:30:00Z", "2026-07-15T14:30:00+02:00", "2026-07-15 12:30:00.000000"]


@pytest.fixture(params=["Europe/Berlin", "America/New_York", "UTC"], autouse=True)
def _zone(request, monkeypatch):
    """A machine in another place, where clocks are an hour ahead in July."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


class Api:
    """A connection that answers every request with one record."""

    def __init__(self, record):
        self.record = record

    def job(self, job_id):
        return self.record

    training = job

    def events(self, job_id):
        return [{"type": "training_start", "created_at": self.record["created_at"]}]

    def metrics(self, job_id):
        return []


@pytest.mark.parametrize("text", TEXTS)
def test_a_missing_zone_is_utc(text):
    """With or without a zone, the moment is the same."""
    assert (JULY, JULY.timestamp()) == (parse_timestamp(text), epoch_seconds(text))


@pytest.mark.parametrize("text", [None, "", "soon", "1764385200"])
def test_other_texts_are_no_timestamps(text):
    """What is no date is no moment."""
    assert (None, 0.0) == (parse_timestamp(text), epoch_seconds(text))


@pytest.mark.parametrize("text", TEXTS)
def test_events_of_together(text):
    """An event has the time that Together wrote."""
    api = Api({"id": "ft-1", "status": "running", "created_at": text})

    assert [JULY.timestamp()] == [event.time for event in together.events(api, "ft-1", None)]


@pytest.mark.parametrize("text", TEXTS)
def test_states_of_replicate(text):
    """A state has the time that Replicate wrote."""
    api = Api({"id": "t1", "status": "starting", "created_at": text})

    assert [JULY.timestamp()] == [event.time for event in replicate.events(api, "t1", None)]


@pytest.mark.parametrize("text", TEXTS)
def test_lines_of_a_log_at_hugging_face(text):
    """A line of log has the time that Hugging Face wrote."""
    assert [(JULY.timestamp(), "step 1")] == list(log._entry_lines({"timestamp": text, "data": "step 1"}))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("service", ["together", "replicate"])
def test_manifests(service, text, tmp_path, monkeypatch):
    """An artifact's manifest has the time at which the job ended."""
    monkeypatch.setattr("importlib.metadata.version", lambda package: "1")
    if service == "together":
        job = {"id": "ft-1", "updated_at": text}
        manifest = together_fetch._manifest(Api(job), "ft-1", job, "model")
    else:
        manifest = replicate_fetch._manifest("t1", {"id": "t1", "completed_at": text}, tmp_path)

    assert JULY == manifest.created
