"""Upload an artifact to the Hugging Face Hub."""

from pathlib import Path

from ftsdk.kit.http import Timing
from ftsdk.kit.hub.connection import connected


def push(artifact: Path, repository: str) -> str:
    """Upload a folder to a model repository, made private where it does not exist; safe to repeat.

    Returns:
        The commit's address.

    Raises:
        AuthError: There is no token, or it may not write there.
        RejectedError: The Hub does not take it.
        UnreachableError: The Hub does not answer.
    """
    with connected("local", Timing()) as hub:
        hub.ask(lambda: hub.api.create_repo(repository, private=True, exist_ok=True), f"make {repository}")
        commit = hub.ask(
            lambda: hub.api.upload_folder(
                repo_id=repository, folder_path=artifact, commit_message="Upload a fine-tune made with ftsdk"
            ),
            f"take the artifact into {repository}",
        )
    return str(commit)
