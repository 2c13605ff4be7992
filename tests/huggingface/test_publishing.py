"""Upload an artifact to the Hub, with the Hub's real client."""

import json

import pytest
from hub_service import READ_KEY, Fault

from ftsdk.artifact import (
    Artifact,
    Comparison,
    Evaluation,
    EvaluationSettings,
    HeldOut,
    Manifest,
    Sample,
    TaskResult,
    seal,
)
from ftsdk.artifact.template import template_hash
from ftsdk.errors import ArtifactError, AuthError, InputError
from ftsdk.testing.weights import safetensors

TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


@pytest.fixture
def artifact(tmp_path):
    """An adapter with a model card, a plot, and the chat template that it was trained with."""
    folder = tmp_path / "artifact"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlibrary_name: peft\n---\n# Tuned\n")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (folder / "adapter_model.safetensors").write_bytes(safetensors({"lora_A": (2, 2)}))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    (folder / "loss.png").write_bytes(b"\x89PNG")
    data = {"/home/me/secret place/rows.jsonl": "ab" * 32}
    manifest = Manifest(
        kind="adapter",
        base_model="org/base",
        method="sft",
        job="local:sft-1",
        data=data,
        chat_template=template_hash(TEMPLATE),
    )
    return seal(folder, manifest)


@pytest.fixture
def evaluation(artifact):
    """An evaluation of it."""
    loss = Comparison(metric="loss", base=2.0, artifact=1.5, higher_is_better=False)
    accuracy = Comparison(metric="acc", base=0.25, artifact=0.5, base_stderr=0.1, artifact_stderr=0.2)
    return Evaluation(
        base_model="org/base",
        base_model_revision=None,
        job="local:sft-1",
        weights=artifact.manifest.weights(),
        method="sft",
        settings=EvaluationSettings(),
        held_out=HeldOut(origin="job", files={}, rows=7, tokens=70, metrics=(loss,)),
        tasks=(TaskResult(task="colours", version="3", rows=4, shots=0, metrics=(accuracy,)),),
        samples=(Sample(prompt="a secret question", expected="yes", base="no", artifact="yes"),),
        dtype="float32",
        quantization="nf4",
        versions={"lm-eval": "0.4.13"},
    )


def test_push(service, artifact):
    """It is in a private repository, created where it is missing, in one commit, as it was sealed."""
    address = artifact.push_to_hub("me/tuned")
    repo = service.repos["model", "me/tuned"]

    assert (True, 1) == (repo.private, len(repo.commits))
    assert {path.name: path.read_bytes() for path in artifact.path.iterdir()} == service.tree("me/tuned")
    assert "me/tuned/commit/" in address


def test_only_what_was_sealed(service, artifact):
    """Other files in the folder are not uploaded."""
    (artifact.path / "my notes.txt").write_text("private")

    artifact.push_to_hub("me/tuned")

    assert "my notes.txt" not in service.tree("me/tuned")


def test_push_again(service, artifact, evaluation):
    """Repeated, it changes nothing; a request that fails once is sent again."""
    artifact.push_to_hub("me/tuned", evaluation=evaluation)
    service.fail("POST", "/api/models/me/tuned/preupload/main", Fault("status", 503))
    artifact.push_to_hub("me/tuned", evaluation=evaluation)

    assert 1 == len(service.repos["model", "me/tuned"].commits)


def test_push_without_the_right(service, artifact, monkeypatch):
    """A token that may only read is an error that says so."""
    monkeypatch.setenv("HF_TOKEN", READ_KEY)
    with pytest.raises(AuthError, match="lacks the right"):
        artifact.push_to_hub("me/tuned")


def test_a_bare_name(service, artifact):
    """A name without an owner is the user's own."""
    artifact.push_to_hub("tuned")

    assert "README.md" in service.tree("me/tuned")


def test_public(service, artifact):
    """A repository is public where the user says so."""
    artifact.push_to_hub("me/tuned", private=False)

    assert not service.repos["model", "me/tuned"].private


def test_an_evaluation_on_the_card(service, artifact, evaluation):
    """Both columns are on the card, with plot and data hash; samples are not uploaded."""
    artifact.push_to_hub("me/tuned", evaluation=evaluation)
    tree = service.tree("me/tuned")
    card = tree["README.md"].decode()

    assert "| held-out rows | loss | 2.0000 | 1.5000 | 7 |" in card
    assert "| colours (version 3), 0-shot | acc | 0.2500 ± 0.1000 | 0.5000 ± 0.2000 | 4 |" in card
    assert "(loss.png)" in card
    assert f"| `rows.jsonl` | `{'ab' * 32}` |" in card
    assert "secret place" not in card
    assert 2.0 == json.loads(tree["evaluation.json"])["held_out"]["metrics"][0]["base"]
    assert b"secret question" not in tree["evaluation.json"]


def test_a_published_artifact_verifies(service, artifact, evaluation, tmp_path):
    """Downloaded again, it is the same artifact; the local one has not changed."""
    before = artifact.manifest
    artifact.push_to_hub("me/tuned", evaluation=evaluation)
    for name, content in service.tree("me/tuned").items():
        (tmp_path / "back").mkdir(exist_ok=True)
        (tmp_path / "back" / name).write_bytes(content)

    downloaded = Artifact.open(tmp_path / "back")

    downloaded.verify()
    assert before.weights() == downloaded.manifest.weights()
    assert before == artifact.manifest


def test_a_card_is_written_where_there_is_none(service, artifact):
    """An artifact of a hosted job has no card: it gets one, with the numbers of its plan."""
    (artifact.path / "README.md").unlink()
    hosted = seal(artifact.path, artifact.manifest.model_copy(update={"plan": {"n_epochs": 3, "file": "file-1"}}))

    hosted.push_to_hub("me/tuned")

    card = service.tree("me/tuned")["README.md"].decode()
    assert '"n_epochs": 3' in card
    assert "file-1" not in card


def test_an_evaluation_of_another_artifact(service, artifact, evaluation):
    """Numbers of other weights are refused."""
    foreign = evaluation.model_copy(update={"weights": {"adapter_model.safetensors": "0" * 64}})

    with pytest.raises(InputError, match="of another artifact"):
        artifact.push_to_hub("me/tuned", evaluation=foreign)
    assert {} == service.repos


def test_another_chat_template(service, artifact):
    """An artifact whose chat template differs from the trained one is not published, and does not verify."""
    (artifact.path / "chat_template.jinja").write_text("{{ messages }}")
    resealed = seal(artifact.path, artifact.manifest)

    with pytest.raises(ArtifactError, match="not the one that it was trained with"):
        resealed.push_to_hub("me/tuned")
    with pytest.raises(ArtifactError, match="chat template"):
        resealed.verify()
    assert {} == service.repos


@pytest.mark.parametrize("name", ["me/too/much", "me/../you", ""])
def test_a_name_that_is_none(service, artifact, name):
    """A repository is org/name."""
    with pytest.raises(InputError, match="no repository"):
        artifact.push_to_hub(name)
