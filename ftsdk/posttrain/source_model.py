"""The model or adapter that a step reads: a folder on this disk or a model of the Hub, identified by hashes."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.artifact import MANIFEST, Manifest, verify
from ftsdk.artifact.model_files import ADAPTER_CONFIG, CONFIG, artifact_kind, is_model_file
from ftsdk.data.paths import HUB_ID
from ftsdk.errors import ArtifactError, RejectedError, UnreachableError
from ftsdk.files import sha256
from ftsdk.huggingface.connection import connected
from ftsdk.remote.retries import Timeouts
from ftsdk.translation.config_files import read_object
from ftsdk.translation.model_source import is_reward_model

_BLOB = re.compile(r"[0-9a-f]{64}")
"""The Hub's cache names a large file by its sha256."""


class SourceModel(NamedTuple):
    """A model or an adapter that a step reads and does not change."""

    folder: Path
    manifest: Manifest | None
    """None: the folder is no artifact."""
    files: dict[str, str]
    """From each file of the model to its sha256. Of an artifact only the manifest, which holds all other hashes."""
    name: str
    """A Hub id, or the folder."""
    revision: str | None = None
    """The commit, of a Hub model."""

    @property
    def is_adapter(self) -> bool:
        """Whether it needs a base."""
        return artifact_kind(self.folder) == "adapter"

    @property
    def scores(self) -> bool:
        """Whether it is a reward model."""
        return is_reward_model(self.folder)

    def config(self) -> dict[str, Any]:
        """The model's ``config.json``."""
        model_config: dict[str, Any] = json.loads((self.folder / CONFIG).read_text("utf-8"))
        return model_config

    def describe(self) -> dict[str, Any]:
        """For the manifest of the output."""
        job = {"job": self.manifest.job} if self.manifest and self.manifest.job else {}
        return {"name": self.name, "revision": self.revision, "files": self.files, **job}


def open_source_model(name: str | Path, revision: str | None = None) -> SourceModel:
    """The model of a name; an artifact is verified.

    Args:
        name: A folder, or the Hub id of a model, which is downloaded into the Hub's cache.
        revision: Of a Hub model; None: the newest.

    Raises:
        ArtifactError: The folder is missing or damaged, or holds neither a model nor an adapter.
        AuthError, BackendError, UnreachableError: The model cannot be downloaded.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _from_folder(folder.resolve())
    if isinstance(name, Path) or not HUB_ID.fullmatch(name):
        raise ArtifactError(f"there is no folder {folder}", hint="give a folder with a model, or the Hub id of one")
    return _from_hub(name, revision)


def _from_folder(folder: Path) -> SourceModel:
    if (folder / MANIFEST).is_file():
        manifest = verify(folder)
        return SourceModel(folder, manifest, {MANIFEST: sha256(folder / MANIFEST)}, str(folder))
    return SourceModel(folder, None, _hashes(folder), str(folder))


def _from_hub(name: str, revision: str | None) -> SourceModel:
    try:
        folder = _cached_snapshot(name, revision) or _download_snapshot(name, revision)
    except (RejectedError, UnreachableError) as error:
        raise type(error)(f"there is no folder {name} here, and {error.message}", hint=error.hint) from error
    return SourceModel(folder, None, _hashes(folder), name, folder.name)


# Weights in safetensors only: a pickle is not even downloaded.
_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def _cached_snapshot(name: str, revision: str | None) -> Path | None:
    """A snapshot from the Hub's cache; None where the Hub must be asked."""
    from huggingface_hub import constants, snapshot_download  # noqa: PLC0415 - only for Hub models
    from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415 - same

    # A commit never changes, but a branch may have moved since: that one is taken from the cache only while offline.
    if not constants.HF_HUB_OFFLINE and not (revision and re.fullmatch(r"[0-9a-f]{40}", revision)):
        return None
    try:
        snapshot = Path(snapshot_download(name, revision=revision, allow_patterns=_PATTERNS, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    # Other programs may have put only the configuration or the tokenizer into the cache.
    return snapshot if any(snapshot.glob("*.safetensors")) else None


def _download_snapshot(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only for Hub models

    with connected("local", Timeouts(), anonymous=True) as hub:
        token = hub.api.token
        return Path(
            hub.ask(
                lambda: snapshot_download(name, revision=revision, allow_patterns=_PATTERNS, token=token),
                f"send {name}",
            )
        )


def _hashes(folder: Path) -> dict[str, str]:
    """The sha256 of each file of a model."""
    hashes = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file() and is_model_file(path.name)):
        blob = path.resolve()
        # In the Hub's cache a large file is a link to one named by its sha256: reading gigabytes again is not needed.
        has_hash = path.is_symlink() and blob.parent.name == "blobs" and _BLOB.fullmatch(blob.name)
        hashes[path.name] = blob.name if has_hash else sha256(path)
    if not {CONFIG, ADAPTER_CONFIG} & hashes.keys():
        raise ArtifactError(f"{folder} holds no model: there is no {CONFIG}", hint="give the folder of a model")
    for name in {CONFIG, ADAPTER_CONFIG} & hashes.keys():
        if read_object(folder / name) is None:
            raise ArtifactError(f"{folder / name} is no valid JSON object", hint="download or copy the folder again")
    return hashes
