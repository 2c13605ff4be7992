"""Upload an artifact to the Hugging Face Hub, with a model card that has its evaluation."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ftsdk.artifact import MANIFEST, Artifact, Evaluation, FileRecord, Manifest
from ftsdk.artifact.model_card import model_card
from ftsdk.artifact.template import check_template
from ftsdk.data.paths import HUB_ID
from ftsdk.errors import InputError
from ftsdk.huggingface.connection import connected
from ftsdk.remote.retries import Timeouts

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

CARD, PLOT, EVALUATION = "README.md", "loss.png", "evaluation.json"


def publish(
    folder: Path,
    repository: str,
    *,
    private: bool = True,
    evaluation: Evaluation | None = None,
    timing: Timeouts | None = None,
) -> str:
    """Upload an artifact to a model repository, in one commit; safe to repeat.

    Only files of the manifest are uploaded. The folder itself does not change.

    Args:
        folder: The artifact.
        repository: ``org/name``, or a name of the user's own; created where it does not exist.
        private: Whether it is created as private. An existing one does not change.
        evaluation: Of this artifact; its numbers are added to the card and to a file beside it, without the samples,
            which contain rows of the data.
        timing: The time limits.

    Returns:
        The commit's address.

    Raises:
        ArtifactError: The artifact is damaged, or its chat template differs from the trained one.
        InputError: The evaluation is of another artifact, or the repository's name is not valid.
        AuthError: There is no token, or it may not write there.
        RejectedError: The Hub refused it.
        UnreachableError: The Hub does not answer.
    """
    if not HUB_ID.fullmatch(repository):
        raise InputError(f"{repository!r} is no repository of the Hub", hint="give org/name")
    manifest = Artifact.open(folder).manifest
    check_template(folder, manifest)
    if evaluation is not None and evaluation.weights != manifest.weights():
        raise InputError("the evaluation is of another artifact", hint="evaluate this one: ftsdk evaluate")
    additions = _write_card(manifest, evaluation)
    with connected("hf", timing or Timeouts()) as hub:
        created = hub.ask(
            lambda: hub.api.create_repo(repository, private=private, exist_ok=True), f"create {repository}"
        )
        commit = hub.ask(
            lambda: hub.api.create_commit(
                created.repo_id,
                operations=_operations(folder, manifest, additions),
                commit_message="Upload a fine-tune made with ftsdk",
            ),
            f"commit the artifact to {repository}",
        )
    return str(commit)


def _write_card(manifest: Manifest, evaluation: Evaluation | None) -> dict[str, bytes]:
    """The files that are written for the Hub: model card, evaluation, and the manifest with their hashes."""
    if evaluation is None and CARD in manifest.files:
        return {}  # the artifact's own card is complete
    contents = {CARD: model_card(manifest, plot=PLOT if PLOT in manifest.files else "", evaluation=evaluation).encode()}
    if evaluation is not None:
        contents[EVALUATION] = evaluation.model_dump_json(indent=2, exclude={"samples"}).encode() + b"\n"
    records = {
        name: FileRecord(size=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    }
    resealed = manifest.model_copy(update={"files": {**manifest.files, **records}})
    return {**contents, MANIFEST: resealed.model_dump_json(indent=2).encode() + b"\n"}


def _operations(folder: Path, manifest: Manifest, additions: Mapping[str, bytes]) -> "list[CommitOperationAdd]":
    from huggingface_hub import CommitOperationAdd  # noqa: PLC0415 - slow to import

    sources = {name: folder / name for name in (*manifest.files, MANIFEST)} | dict(additions)
    return [CommitOperationAdd(name, source) for name, source in sorted(sources.items())]
