"""The manifest ``ftsdk.json``: an artifact's origin, and its exact content."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, ValidationError

from ftsdk.errors import ArtifactError
from ftsdk.spec.base import Section

MANIFEST = "ftsdk.json"

_PART = r"\.?[A-Za-z0-9_-][A-Za-z0-9._-]*"
SAFE_NAME = rf"^{_PART}(/{_PART}){{0,4}}$"
"""Names of files in an artifact: relative, at most five deep, no way out of the folder, no quotes needed in a shell."""

Kind = Literal["adapter", "model"]


def _now() -> datetime:
    return datetime.now(UTC)


class FileRecord(Section):
    """Size and hash of one file."""

    size: Annotated[int, Field(ge=0)]
    """Bytes."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """The hash of its bytes, in hex."""


class Manifest(Section):
    """An artifact's origin, and every file it holds."""

    format: Literal[1] = 1
    """The version of this layout."""
    kind: Kind
    """A PEFT adapter for ``base_model``, or a model that stands alone."""
    base_model: str
    """The base model's id or folder."""
    base_model_revision: str | None = None
    """The commit of the base model that was trained on."""
    method: str
    """The type of method, such as ``sft``."""
    spec: dict[str, Any] = {}
    """The job spec, as the user wrote it."""
    plan: dict[str, Any] = {}
    """The native request of the backend, or of a post-training step."""
    data: dict[str, str] = {}
    """From each data file to the sha256 of its bytes."""
    versions: dict[str, str] = {}
    """From each package that was used to its version."""
    metrics: dict[str, float] = {}
    """The last value of each metric."""
    chat_template: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """The sha256 of the chat template that rendered the training rows. Empty: it is not known."""
    created: AwareDatetime = Field(default_factory=_now)
    """When the job created it."""
    job: str = ""
    """The job's reference."""
    files: dict[Annotated[str, Field(pattern=SAFE_NAME)], FileRecord] = {}
    """Every other file, by its path in the folder; :func:`ftsdk.artifact.seal` fills it in."""

    def weights(self) -> dict[str, str]:
        """From each file of weights to its sha256; they identify an artifact."""
        return {name: record.sha256 for name, record in self.files.items() if name.endswith(".safetensors")}


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an artifact.

    Raises:
        ArtifactError: There is none, or it cannot be read.
    """
    try:
        text = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{folder} is no artifact: {MANIFEST} cannot be read ({error.strerror})",
            hint="give a folder that ftsdk fetch has written",
        ) from error
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise ArtifactError(
            f"{folder / MANIFEST} cannot be used: {field}: {first['msg']}",
            hint="fetch the job again; a newer ftsdk may have written it",
        ) from error
