"""Upload an artifact to the Hugging Face Hub."""

from pathlib import Path

from huggingface_hub import HfApi


def push(artifact: Path, repository: str) -> str:
    """Upload a folder to a model repository, made private where it does not exist; safe to repeat.

    Returns:
        The commit's address.
    """
    hub = HfApi()
    hub.create_repo(repository, private=True, exist_ok=True)
    commit = hub.upload_folder(
        repo_id=repository, folder_path=artifact, commit_message="Upload a fine-tune made with ftsdk"
    )
    return str(commit)
