"""An artifact goes to the Hub, by the Hub's real client."""

import pytest
from hub_service import READ_KEY, Fault

from ftsdk.errors import AuthError
from ftsdk_local.engine.hub import push


@pytest.fixture
def artifact(tmp_path):
    """A folder with a model card and weights."""
    folder = tmp_path / "artifact"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlibrary_name: peft\n---\n# Tuned\n")
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def test_push(service, artifact):
    """It lies in a private repository, made where it is missing, in one commit, with its card."""
    push(artifact, "me/tuned")
    repo = service.repos["model", "me/tuned"]

    assert (True, 1) == (repo.private, len(repo.commits))
    assert {path.name: path.read_bytes() for path in artifact.iterdir()} == service.tree("me/tuned")


def test_push_again(service, artifact):
    """Repeated, it changes nothing; a fault on the way is gone over."""
    push(artifact, "me/tuned")
    service.fail("POST", "/api/models/me/tuned/preupload/main", Fault("status", 503))
    push(artifact, "me/tuned")

    assert 1 == len(service.repos["model", "me/tuned"].commits)


def test_push_without_the_right(service, artifact, monkeypatch):
    """A token that may only read is told as such."""
    monkeypatch.setenv("HF_TOKEN", READ_KEY)
    with pytest.raises(AuthError, match="lacks the right"):
        push(artifact, "me/tuned")
