"""What a job made: one layout, whatever the backend."""

from pathlib import Path
from typing import Literal

from ftsdk.spec.base import Section

MANIFEST = "ftsdk.json"


class Artifact(Section):
    """A folder with a PEFT adapter or a whole model, and the manifest that says where it comes from."""

    path: Path
    """The folder."""
    kind: Literal["adapter", "model"]
    """A PEFT adapter for ``base_model``, or a model that stands alone."""
    base_model: str
    """The base model's id or folder."""
