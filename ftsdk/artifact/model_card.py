"""The model card: what was trained, how, and how to use it."""

import json
from collections.abc import Mapping
from pathlib import Path

from ftsdk.artifact import Evaluation, Manifest, TaskResult

_METRIC_LABELS = {
    "eval_loss_before": "held-out loss before",
    "eval_loss": "held-out loss after",
    "eval_accuracy": "held-out pairs ranked correctly",
    "eval_margin": "held-out margin of the better score",
    "loss": "last training loss",
    "eval_reward_before": "held-out reward before",
    "eval_reward": "held-out reward after",
    "reward": "last training reward",
}
"""Metrics on the card, in their order; losses only where there is no reward."""

_TRAINING = ("lora", "arguments", "config")
"""Parts of native requests that say how the model was trained."""

_TASKS = {"reward_modeling": "text-classification"}
"""From a method to the Hub's name of what its models do, where it is not text-generation."""

_SCORE = """
It computes one number for a conversation, higher for a better answer at its end; only differences are meaningful. The
text must end with the token that ends the answer, and with nothing behind it. A model of plain text reads
`prompt + answer + tokenizer.eos_token`, with special tokens added.

```python
conversation = [{"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": "4."}]
text = tokenizer.apply_chat_template(conversation, tokenize=False).rstrip()
inputs = tokenizer([text], padding=True, add_special_tokens=False, return_token_type_ids=False, return_tensors="pt")
score = model(**inputs).logits.squeeze(-1)
```"""

_USE = {
    ("text-generation", "adapter"): """\
```python
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
```""",
    ("text-generation", "model"): """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
```""",
    ("text-classification", "adapter"): """\
```python
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
base = AutoModelForSequenceClassification.from_pretrained("BASE", num_labels=1, pad_token_id=tokenizer.pad_token_id)
model = PeftModel.from_pretrained(base, "FOLDER").eval()
```
"""
    + _SCORE,
    ("text-classification", "model"): """\
```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForSequenceClassification.from_pretrained("FOLDER").eval()
```
"""
    + _SCORE,
}


def model_card(manifest: Manifest, *, plot: str = "", evaluation: Evaluation | None = None) -> str:
    """The README of an artifact, in the Hub's format.

    Args:
        manifest: Of the artifact; its files need not be filled in yet.
        plot: The file name of the plot of its losses; empty: there is none.
        evaluation: Its evaluation.
    """
    return "\n".join(
        [
            "---",
            *_front_matter(manifest),
            "---",
            "",
            f"# {manifest.spec.get('name') or manifest.job or _public(manifest.base_model)}",
            "",
            *(
                [f"Fine-tuned from `{_public(manifest.base_model)}` with ftsdk ({manifest.method})."]
                * _is_trained(manifest)
            ),
            *(f"{note}." for note in manifest.plan.get("notes", ())),
            "",
            "| | |",
            "|---|---|",
            *(
                f"| {label} | {manifest.metrics[name]:.4f} |"
                for name, label in _METRIC_LABELS.items()
                if name in manifest.metrics and not ("loss" in name and "reward" in manifest.metrics)
            ),
            "",
            *([f"![Loss over the steps of the training]({plot})", ""] if plot else []),
            *(_evaluation(evaluation) if evaluation else []),
            "## Use",
            "",
            _USE[_task(manifest), manifest.kind].replace("BASE", _public(manifest.base_model)),
            "",
            *(_training(manifest) if _is_trained(manifest) else ()),
            *_data(manifest),
            f"Versions: {', '.join(f'{name} {version}' for name, version in sorted(manifest.versions.items()))}.",
            "Hashes, the spec and the provenance are in `ftsdk.json`.",
            "",
        ]
    )


def _front_matter(manifest: Manifest) -> list[str]:
    library = "peft" if manifest.kind == "adapter" else "transformers"
    tags = ", ".join(filter(None, ("ftsdk", manifest.method)))
    lines = [f"library_name: {library}", f"pipeline_tag: {_task(manifest)}", f"tags: [{tags}]"]
    is_hub_id = not Path(manifest.base_model).is_absolute()
    return [f"base_model: {manifest.base_model}", *lines] if is_hub_id else lines


def _task(manifest: Manifest) -> str:
    return _TASKS.get(manifest.method, "text-generation")


def _public(model: str) -> str:
    """A Hub id as it is; of a local folder only its name, because its path is private."""
    return Path(model).name if Path(model).is_absolute() else model


def _is_trained(manifest: Manifest) -> bool:
    """Whether ftsdk has trained it; a quantized base model, for example, has no method."""
    return manifest.method != ""


def _training(manifest: Manifest) -> list[str]:
    """The training's settings from the native request; of a hosted service's request, its numbers."""
    # A merged or quantized model has the plan of its training inside its own.
    plan: Mapping[str, object] = manifest.plan.get("training", manifest.plan)
    settings = {key: plan[key] for key in _TRAINING if plan.get(key)}
    numbers = {key: value for key, value in plan.items() if isinstance(value, int | float)}
    return ["## Training", "", "```json", json.dumps(settings or numbers, indent=2, ensure_ascii=False), "```", ""]


def _data(manifest: Manifest) -> list[str]:
    """The name and hash of each data file; their paths are private."""
    if not manifest.data:
        return []
    rows = [f"| `{Path(name).name}` | `{digest}` |" for name, digest in sorted(manifest.data.items())]
    return ["| data | sha256 |", "|---|---|", *rows, ""]


def _evaluation(evaluation: Evaluation) -> list[str]:
    """The metrics of the base and of this model, with standard errors where there are any."""
    held_out = evaluation.held_out
    groups = [("held-out rows", held_out.rows, held_out.metrics)] if held_out else []
    groups += [(_task_label(task), task.rows, task.metrics) for task in evaluation.tasks]
    rows = [
        f"| {name} | {metric.metric} | {metric.base_text} | {metric.artifact_text} | {count} |"
        for name, count, metrics in groups
        for metric in metrics
    ]
    number_formats = [evaluation.dtype, *([evaluation.quantization] if evaluation.quantization else [])]
    return [
        "## Evaluation",
        "",
        "| | metric | base | this model | rows |",
        "|---|---|---|---|---|",
        *rows,
        "",
        f"Both by the same code, in {', '.join(number_formats)}"
        + (f"; tasks of lm-evaluation-harness {version}." if (version := evaluation.versions.get("lm-eval")) else "."),
        "",
    ]


def _task_label(task: TaskResult) -> str:
    version = f" (version {task.version})" if task.version else ""
    shots = f", {task.shots}-shot" if task.shots is not None else ""
    return f"{task.task}{version}{shots}"
