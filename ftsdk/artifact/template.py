"""The chat template of an artifact: is it the one that its rows were written with when it was trained?"""

import hashlib
import json
from pathlib import Path

from ftsdk.artifact.manifest import Manifest
from ftsdk.errors import ArtifactError

_FILE, _CONFIG = "chat_template.jinja", "tokenizer_config.json"


def template_hash(template: object) -> str:
    """The sha256 of a template's text; empty for none, and for one that is a set of several."""
    return hashlib.sha256(template.encode()).hexdigest() if isinstance(template, str) else ""


def saved_template(folder: Path) -> str | None:
    """The chat template that a folder's tokenizer has; None: it has none, or a set of several."""
    if (folder / _FILE).is_file():
        return (folder / _FILE).read_text("utf-8")
    if not (folder / _CONFIG).is_file():
        return None
    found = json.loads((folder / _CONFIG).read_text("utf-8")).get("chat_template")
    return found if isinstance(found, str) else None


def check_template(folder: Path, manifest: Manifest) -> None:
    """See that whoever serves the artifact writes prompts as its training did.

    Raises:
        ArtifactError: The template is another one. Where the manifest does not know the trained one, nothing is said.
    """
    if manifest.chat_template and template_hash(saved_template(folder)) != manifest.chat_template:
        raise ArtifactError(
            f"{folder}: its chat template is not the one that it was trained with",
            hint="serve it with the trained one: dataset.chat_template of the spec, or the base model's own",
        )
