"""Write the artifact: weights, tokenizer, model card, metrics and loss curve, sealed and then renamed into place."""

import shutil
from pathlib import Path
from typing import Any

from ftsdk.artifact import Kind, Manifest, seal
from ftsdk.artifact.model_card import model_card
from ftsdk.artifact.template import template_hash
from ftsdk.backend import Plan
from ftsdk.job_folder import JobFolder
from ftsdk.job_types import JobRef
from ftsdk.modeling.loading import stored_dtype, versions
from ftsdk.modeling.settings import TRAINING_DTYPE
from ftsdk.workers.metrics import as_lines, last_values, metrics_by_step
from ftsdk_local.settings import Settings
from ftsdk_local.sources import NAME
from ftsdk_local.train.common.loss_plot import draw_losses


def export(folder: JobFolder, plan: Plan, settings: Settings, model: Any, tokenizer: Any) -> Path:
    """Write the artifact into a folder aside and rename it; an earlier one, of a resumed job, is replaced.

    Returns:
        The artifact's folder.
    """
    aside = folder.path / "artifact.partial"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    kind: Kind = "adapter" if settings.lora is not None else "model"
    _save_weights(model, settings, aside)
    tokenizer.save_pretrained(aside)
    metrics = metrics_by_step(folder)
    (aside / "metrics.jsonl").write_text(as_lines(metrics), "utf-8")
    if folder.samples.is_file():
        shutil.copyfile(folder.samples, aside / folder.samples.name)
    draw_losses(metrics, aside / "loss.png", settings.method)
    manifest = Manifest(
        kind=kind,
        base_model=settings.model.name,
        base_model_revision=settings.model.revision,
        method=settings.method,
        spec=plan.spec.as_written(),
        plan={**plan.native, **_training_dtype(settings, model)},
        data=plan.data.sha256 if plan.data else {},
        versions=versions(),
        metrics=last_values(metrics),
        chat_template=template_hash(tokenizer.chat_template),
        job=str(JobRef(NAME, folder.path.name)),
    )
    (aside / "README.md").write_text(model_card(manifest, plot="loss.png"), "utf-8")
    seal(aside, manifest)
    shutil.rmtree(folder.artifact, ignore_errors=True)
    return aside.rename(folder.artifact)


def _training_dtype(settings: Settings, model: Any) -> dict[str, str]:
    """The precision that a quantization-aware training has rounded from: the final quantization must start from it."""
    if settings.quantization_aware is None:
        return {}
    return {TRAINING_DTYPE: str(model.get_input_embeddings().weight.dtype).removeprefix("torch.")}


def _save_weights(model: Any, settings: Settings, target: Path) -> None:
    """Write safetensors; a full model in its base's precision, or in that of quantization-aware training."""
    model.config.use_cache = True
    if settings.lora is None:
        if settings.quantization_aware is None:
            model.to(dtype=stored_dtype(settings.model))
        model.save_pretrained(target, safe_serialization=True)
        return
    model.save_pretrained(target, selected_adapters=["default"])  # PPO's value and reference stay out
    (target / "README.md").unlink(missing_ok=True)  # PEFT's card; export writes its own
