"""Upload an artifact to the Hugging Face Hub, with a card that says what it is and how good it is."""

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

    What was sealed goes up and nothing else that lies beside it. The folder itself stays as it is.

    Args:
        folder: The artifact.
        repository: ``org/name``, or a name of the user's own; made where it does not exist.
        private: Whether it is made private. One that exists stays as it is.
        evaluation: Of this artifact: its numbers go onto the card, and into a file beside it, without samples, which
            hold rows of yours.
        timing: How long things may take.

    Returns:
        The commit's address.

    Raises:
        ArtifactError: The artifact is damaged, or its chat template is not the trained one.
        InputError: The evaluation is of another artifact, or the repository's name is none.
        AuthError: There is no token, or it may not write there.
        RejectedError: The Hub does not take it.
        UnreachableError: The Hub does not answer.
    """
    if not HUB_ID.fullmatch(repository):
        raise InputError(f"{repository!r} is no repository of the Hub", hint="give org/name")
    manifest = Artifact.open(folder).manifest
    check_template(folder, manifest)
    if evaluation is not None and evaluation.weights != manifest.weights():
        raise InputError("the evaluation is of another artifact", hint="evaluate this one: ftsdk evaluate")
    written = _written(manifest, evaluation)
    with connected("hf", timing or Timeouts()) as hub:
        made = hub.ask(lambda: hub.api.create_repo(repository, private=private, exist_ok=True), f"make {repository}")
        commit = hub.ask(
            lambda: hub.api.create_commit(
                made.repo_id,
                operations=_additions(folder, manifest, written),
                commit_message="Upload a fine-tune made with ftsdk",
            ),
            f"take the artifact into {repository}",
        )
    return str(commit)


def _written(manifest: Manifest, evaluation: Evaluation | None) -> dict[str, bytes]:
    """The files that are written for the Hub: card, numbers, and the manifest that knows both."""
    if evaluation is None and CARD in manifest.files:
        return {}  # the artifact's own card says all that is known
    made = {CARD: model_card(manifest, plot=PLOT if PLOT in manifest.files else "", evaluation=evaluation).encode()}
    if evaluation is not None:
        made[EVALUATION] = evaluation.model_dump_json(indent=2, exclude={"samples"}).encode() + b"\n"
    records = {
        name: FileRecord(size=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in made.items()
    }
    resealed = manifest.model_copy(update={"files": {**manifest.files, **records}})
    return {**made, MANIFEST: resealed.model_dump_json(indent=2).encode() + b"\n"}


def _additions(folder: Path, manifest: Manifest, written: Mapping[str, bytes]) -> "list[CommitOperationAdd]":
    from huggingface_hub import CommitOperationAdd  # noqa: PLC0415 - slow to import

    sources = {name: folder / name for name in (*manifest.files, MANIFEST)} | dict(written)
    return [CommitOperationAdd(name, source) for name, source in sorted(sources.items())]
