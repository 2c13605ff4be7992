"""The model card: what was trained, how, and how to use it."""

import json
from collections.abc import Mapping
from pathlib import Path

from ftsdk.artifact import Manifest

_SHOWN = ("eval_loss_before", "eval_loss", "loss")
_WORDS = {"eval_loss_before": "held-out loss before", "eval_loss": "held-out loss after", "loss": "last training loss"}

_USE = {
    "adapter": """\
```python
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
```""",
    "model": """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
```""",
}


def model_card(manifest: Manifest) -> str:
    """A README in the Hub's format.

    Args:
        manifest: Of the artifact, its files not yet filled in.
    """
    return "\n".join(
        [
            "---",
            *_front_matter(manifest),
            "---",
            "",
            f"# {manifest.spec.get('name') or manifest.job}",
            "",
            f"Fine-tuned from `{_public(manifest.base_model)}` with ftsdk ({manifest.method}).",
            "",
            "| | |",
            "|---|---|",
            *(f"| {_WORDS[name]} | {manifest.metrics[name]:.4f} |" for name in _SHOWN if name in manifest.metrics),
            "",
            "## Use",
            "",
            _USE[manifest.kind],
            "",
            "## Training",
            "",
            "```json",
            json.dumps(_training(manifest.plan), indent=2),
            "```",
            "",
            f"Versions: {', '.join(f'{name} {version}' for name, version in sorted(manifest.versions.items()))}.",
            "The loss curve is in `loss.png`, all metrics in `metrics.jsonl`, hashes and the spec in `ftsdk.json`.",
            "",
        ]
    )


def _front_matter(manifest: Manifest) -> list[str]:
    library = "peft" if manifest.kind == "adapter" else "transformers"
    lines = [f"library_name: {library}", "pipeline_tag: text-generation", f"tags: [ftsdk, {manifest.method}]"]
    is_hub_id = not Path(manifest.base_model).is_absolute()
    return [f"base_model: {manifest.base_model}", *lines] if is_hub_id else lines


def _public(model: str) -> str:
    """A Hub id as it is; of a local folder only its name: where it lay is nobody's business."""
    return Path(model).name if Path(model).is_absolute() else model


def _training(plan: Mapping[str, object]) -> dict[str, object]:
    return {key: plan[key] for key in ("lora", "arguments") if plan.get(key)}
