"""The local engine on Hugging Face's machines, from the spec to the artifact: the Hub on this machine runs the Job."""

import pytest

import ftsdk

pytestmark = pytest.mark.engine


def test_from_spec_to_artifact(service, backend, spec, tmp_path):
    """A job is submitted, runs in a container, and its artifact comes back."""
    job = ftsdk.submit(spec())
    status = job.wait(timeout=240)
    events = list(job.events())
    artifact = job.fetch(tmp_path / "out")

    print(status, status.metrics, status.cost)
    for e in events: print(e)
    print(artifact.manifest)
