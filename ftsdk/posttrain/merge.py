"""The step ``merge``: put an adapter into its base, so that a whole model stands alone.

Weights are read, merged in float32 and written one at a time, in the base's own files and precision. Then the merged
model and the unmerged one compute the same texts, from files that are mapped into memory.
"""

import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ftsdk.artifact import Artifact, Manifest, seal
from ftsdk.artifact.model_card import model_card
from ftsdk.errors import ArtifactError, InputError
from ftsdk.modeling.loading import versions
from ftsdk.posttrain.atomic_output import make_once
from ftsdk.posttrain.base_model import base_of
from ftsdk.posttrain.loading import load_model, quietly, told
from ftsdk.posttrain.logit_check import TOLERANCE, difference, outputs_of
from ftsdk.posttrain.merge_weights import Merger, ready, write_weights
from ftsdk.posttrain.ollama import modelfile
from ftsdk.posttrain.sidecar_files import copy_companions, has_tokenizer, settle_tokenizer, write_generation
from ftsdk.posttrain.source_model import CONFIG, SourceModel, origin_of


def merge(folder: Path | str, target: Path) -> Artifact:
    """Merge an adapter into the base that it was trained on, or find it merged by an earlier call.

    Args:
        folder: The adapter: an artifact, or any folder with a LoRA adapter of PEFT's.
        target: Where the whole model shall be.

    Raises:
        InputError: It is no adapter.
        ArtifactError: Adapter or base are missing, damaged, or do not fit; or merged and unmerged disagree.
        AuthError, BackendError, UnreachableError: The base is on the Hub, which does not give it.
    """
    origin = origin_of(Path(folder))
    if not origin.is_adapter:
        raise InputError(f"{folder} holds no adapter: it is a whole model already", hint="use it as it is")
    base = _base_of(origin)
    asked = {"step": "merge", "from": origin.told(), "base": base.told()}
    fill = partial(_fill, origin, base, asked)
    return make_once(target, asked, fill, reads=(origin.folder, base.folder))


def _base_of(origin: SourceModel) -> SourceModel:
    held = base_of(origin.folder)
    try:
        base = origin_of(held.name, held.revision)
    except ArtifactError as error:
        raise ArtifactError(
            f"the base of {origin.folder} cannot be had: {error.message}",
            hint=f"bring {held.name} back as it was in training",
        ) from error
    if base.is_adapter:
        raise ArtifactError(f"{base.folder}, the base of {origin.folder}, is an adapter itself", hint="merge it first")
    if "quantization_config" in base.config():
        raise ArtifactError(
            f"{held.name}, the base of {origin.folder}, is saved in few bits, and merging needs full precision",
            hint="name the full-precision model as base_model_name_or_path in adapter_config.json",
        )
    return base


def _fill(origin: SourceModel, base: SourceModel, asked: dict[str, Any], aside: Path) -> None:
    """Make the merged model in an empty folder, check it, and seal it."""
    merger = ready(origin, base)
    write_weights(merger, aside)
    if not has_tokenizer(origin):
        copy_companions(base, aside)
    copy_companions(origin, aside)
    tokenizer = settle_tokenizer(aside, (origin if has_tokenizer(origin) else base).folder)
    _write_config(merger, aside, tokenizer)
    check = _checked(merger, aside, tokenizer)
    notes = _notes(merger, check)
    manifest = _manifest(origin, base, {**asked, "check": check, "notes": notes})
    (aside / "README.md").write_text(model_card(manifest), "utf-8")
    seal(aside, manifest)


def _write_config(merger: Merger, aside: Path, tokenizer: Any) -> None:
    if not merger.origin.scores:
        if merger.wide:
            told = {name: value for name, value in merger.base.config().items() if name != "torch_dtype"}
            (aside / CONFIG).write_text(json.dumps({**told, "dtype": "float32"}, indent=2) + "\n", "utf-8")
        else:
            shutil.copyfile(merger.base.folder / CONFIG, aside / CONFIG)
        stops = write_generation(merger.base.folder, aside, tokenizer)
        (aside / "Modelfile").write_text(modelfile(tokenizer, stops), "utf-8")
        return
    config: Any = merger.skeleton.config
    config.architectures = [type(merger.skeleton).__name__]
    config.get_text_config().pad_token_id = tokenizer.pad_token_id
    config.save_pretrained(aside)


def _checked(merger: Merger, aside: Path, tokenizer: Any) -> dict[str, Any]:
    """Compare what the merged and the unmerged model compute.

    Raises:
        ArtifactError: They disagree.
    """
    unmerged = outputs_of(partial(_unmerged, merger), tokenizer)
    together = outputs_of(partial(load_model, aside, scores=merger.origin.scores), tokenizer)
    off, tolerance = difference(unmerged, together), TOLERANCE[merger.dtype]
    if off > tolerance:
        raise ArtifactError(
            f"merged and unmerged model disagree: their outputs differ by {off:.2g}, and {tolerance:.2g} is allowed",
            hint="see that the base is the one that was trained on; else report this",
        )
    return {"difference": off, "tolerance": tolerance, "texts": len(unmerged)}


def _unmerged(merger: Merger) -> Any:
    from peft import PeftModel  # noqa: PLC0415 - it patches what it imports; only the check needs it

    options = {"num_labels": merger.skeleton.config.num_labels} if merger.origin.scores else {}  # type: ignore[union-attr]
    base = load_model(
        merger.base.folder,
        scores=merger.origin.scores,
        **options,
        **({"dtype": torch.float32} if merger.wide else {}),
    )
    with told(merger.origin.folder), quietly():
        return PeftModel.from_pretrained(base, merger.origin.folder).eval()


def _notes(merger: Merger, check: Mapping[str, Any]) -> list[str]:
    """What the user should know, in sentences without their final stop."""
    origin, base = merger.origin, merger.base
    off, allowed = check["difference"], check["tolerance"]
    notes = [f"Merged and unmerged outputs differ by {off:.1g} (relative; {allowed:.0g} is allowed)"]
    spec = origin.manifest.spec if origin.manifest else {}
    if merger.wide:
        notes.append("It is held in float32, which the training has learned to round from; quantize it before any cast")
    bits = (spec.get("compute") or {}).get("quantization")
    if bits:
        notes.append(
            f"The base was held in {bits} during training; the adapter is merged into the full-precision base, so "
            "answers may differ a little from those of the adapter on a quantized base"
        )
    if base.manifest is None and base.revision is None:
        notes.append("The base is a folder of this machine, which the training did not pin; its hashes are noted now")
    return notes


def _manifest(origin: SourceModel, base: SourceModel, plan: dict[str, Any]) -> Manifest:
    parent = origin.manifest
    if parent is None:
        return Manifest(
            kind="model",
            base_model=base.name,
            base_model_revision=base.revision,
            method="",
            plan=plan,
            versions=versions(),
        )
    return Manifest(
        kind="model",
        base_model=parent.base_model,
        base_model_revision=parent.base_model_revision or base.revision,
        method=parent.method,
        spec=parent.spec,
        plan={**plan, "training": parent.plan},
        data=parent.data,
        versions=versions(),
        metrics=parent.metrics,
        job=parent.job,
    )
