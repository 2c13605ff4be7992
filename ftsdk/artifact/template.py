"""Check that an artifact's chat template is the one that rendered its training rows."""

import hashlib
import json
from pathlib import Path

from ftsdk.artifact.manifest import Manifest
from ftsdk.artifact.model_files import CHAT_TEMPLATE, TOKENIZER_CONFIG
from ftsdk.errors import ArtifactError


def template_hash(template: object) -> str:
    """The sha256 of a template's text; empty for None, and for a set of several templates."""
    return hashlib.sha256(template.encode()).hexdigest() if isinstance(template, str) else ""


def saved_template(folder: Path) -> str | None:
    """The chat template of a folder's tokenizer; None: it has none, or a set of several."""
    # Transformers reads the file of its own first, and so do servers that know it.
    if (folder / CHAT_TEMPLATE).is_file():
        return (folder / CHAT_TEMPLATE).read_text("utf-8")
    if not (folder / TOKENIZER_CONFIG).is_file():
        return None
    template = json.loads((folder / TOKENIZER_CONFIG).read_text("utf-8")).get("chat_template")
    return template if isinstance(template, str) else None


def check_template(folder: Path, manifest: Manifest) -> None:
    """Check that a server of the artifact renders prompts as its training did.

    Raises:
        ArtifactError: The template is another one. A manifest without the trained one's hash passes.
    """
    # The files' hashes do not replace this check: an engine may have saved the tokenizer with the base's
    # template, though the rows were rendered with another one, and the folder was sealed with that.
    if manifest.chat_template and template_hash(saved_template(folder)) != manifest.chat_template:
        raise ArtifactError(
            f"{folder}: its chat template is not the one that it was trained with",
            hint="serve it with the trained one: dataset.chat_template of the spec, or the base model's own",
        )
