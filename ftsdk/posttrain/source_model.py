"""What a step starts from: a folder on this disk, or a model of the Hub, told apart from others by hashes."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.artifact import MANIFEST, Manifest, verify
from ftsdk.artifact.model_files import ADAPTER_CONFIG, is_model_file
from ftsdk.data.paths import HUB_ID
from ftsdk.errors import ArtifactError, RejectedError, UnreachableError
from ftsdk.files import sha256
from ftsdk.huggingface.connection import connected
from ftsdk.remote.retries import Timeouts
from ftsdk.translation.model_source import is_reward_model, read_object

CONFIG = "config.json"

_BLOB = re.compile(r"[0-9a-f]{64}")
"""How the Hub's cache names a large file: by its sha256."""


class SourceModel(NamedTuple):
    """A model or an adapter to start from; it is only read."""

    folder: Path
    manifest: Manifest | None
    """Where it comes from, if it is an artifact."""
    files: dict[str, str]
    """From each file that belongs to it to its sha256; of an artifact, the manifest, which holds the others."""
    name: str
    """A Hub id, or the folder."""
    revision: str | None = None
    """The commit, of a Hub model."""

    @property
    def is_adapter(self) -> bool:
        """Whether it needs a base."""
        return (self.folder / ADAPTER_CONFIG).is_file()

    @property
    def scores(self) -> bool:
        """Whether it is a reward model."""
        return is_reward_model(self.folder)

    def config(self) -> dict[str, Any]:
        """The model's ``config.json``."""
        found: dict[str, Any] = json.loads((self.folder / CONFIG).read_text("utf-8"))
        return found

    def told(self) -> dict[str, Any]:
        """For the manifest of what is made of it."""
        job = {"job": self.manifest.job} if self.manifest and self.manifest.job else {}
        return {"name": self.name, "revision": self.revision, "files": self.files, **job}


def origin_of(name: str | Path, revision: str | None = None) -> SourceModel:
    """What a name stands for, verified where it is an artifact.

    Args:
        name: A folder, or the Hub id of a model, which is brought into the Hub's cache.
        revision: Of a Hub model; None: the newest.

    Raises:
        ArtifactError: There is nothing, it is damaged, or it is neither a model nor an adapter.
        AuthError, BackendError, UnreachableError: The Hub does not give it.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _in_folder(folder.resolve())
    if isinstance(name, Path) or not HUB_ID.fullmatch(name):
        raise ArtifactError(f"there is no folder {folder}", hint="give a folder with a model, or the Hub id of one")
    return _from_hub(name, revision)


def _in_folder(folder: Path) -> SourceModel:
    if (folder / MANIFEST).is_file():
        manifest = verify(folder)
        return SourceModel(folder, manifest, {MANIFEST: sha256(folder / MANIFEST)}, str(folder))
    return SourceModel(folder, None, _hashes(folder), str(folder))


def _from_hub(name: str, revision: str | None) -> SourceModel:
    try:
        folder = _cached(name, revision) or _brought(name, revision)
    except (RejectedError, UnreachableError) as error:
        raise type(error)(f"there is no folder {name} here, and {error.message}", hint=error.hint) from error
    return SourceModel(folder, None, _hashes(folder), name, folder.name)


_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def _cached(name: str, revision: str | None) -> Path | None:
    """A snapshot that is in the cache already: of a commit it cannot be another one; else only while offline."""
    from huggingface_hub import constants, snapshot_download  # noqa: PLC0415 - only for Hub models
    from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415 - same

    if not constants.HF_HUB_OFFLINE and not (revision and re.fullmatch(r"[0-9a-f]{40}", revision)):
        return None
    try:
        found = Path(snapshot_download(name, revision=revision, allow_patterns=_WANTED, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return found if any(found.glob("*.safetensors")) else None


def _brought(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only for Hub models

    with connected("local", Timeouts(), anonymous=True) as hub:
        token = hub.api.token
        return Path(
            hub.ask(
                lambda: snapshot_download(name, revision=revision, allow_patterns=_WANTED, token=token),
                f"send {name}",
            )
        )


def _hashes(folder: Path) -> dict[str, str]:
    """The sha256 of each file of a model, taken from the Hub's cache where it says it."""
    found = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file() and is_model_file(path.name)):
        blob = path.resolve()
        known = path.is_symlink() and blob.parent.name == "blobs" and _BLOB.fullmatch(blob.name)
        found[path.name] = blob.name if known else sha256(path)
    if not {CONFIG, ADAPTER_CONFIG} & found.keys():
        raise ArtifactError(f"{folder} holds no model: there is no {CONFIG}", hint="give the folder of a model")
    for name in {CONFIG, ADAPTER_CONFIG} & found.keys():
        if read_object(folder / name) is None:
            raise ArtifactError(f"{folder / name} is no valid JSON object", hint="bring the folder here anew")
    return found
