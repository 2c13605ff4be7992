"""The local engine on Hugging Face's machines, from the spec to the artifact: the Hub on this machine runs the Job."""

import pytest

import ftsdk

pytestmark = pytest.mark.engine


def test_from_spec_to_artifact(service, backend, spec, tmp_path):
    """A job is submitted, runs in a container, and its artifact comes back as if it had been made here."""
    given = spec()
    job = ftsdk.submit(given)
    status = job.wait(timeout=240)
    artifact = job.fetch(tmp_path / "out")

    assert (4, 4, 1.0) == (status.step, status.total_steps, status.progress)
    assert given.as_written() == artifact.manifest.spec
    assert {given.dataset.path} == set(artifact.manifest.data)
    assert service.repos["model", "org/tiny"].commits[-1][0] == artifact.manifest.base_model_revision
