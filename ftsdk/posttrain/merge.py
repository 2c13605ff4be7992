"""The step ``merge``: merge an adapter into its base, which gives a whole model.

Weights are read, merged in float32 and written one at a time, into files of the base's names and precision. Then the
outputs of the merged and the unmerged model are compared for the same texts, both from memory-mapped files.
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
from ftsdk.artifact.model_files import CONFIG
from ftsdk.errors import ArtifactError, InputError
from ftsdk.modeling.loading import versions
from ftsdk.posttrain.atomic_output import create_output
from ftsdk.posttrain.base_model import base_of
from ftsdk.posttrain.loading import artifact_errors, load_model, quiet_libraries
from ftsdk.posttrain.logit_check import TOLERANCE, difference, outputs_of
from ftsdk.posttrain.merge_weights import MergeInputs, merge_inputs, write_weights
from ftsdk.posttrain.ollama import modelfile
from ftsdk.posttrain.sidecar_files import (
    copy_sidecar_files,
    has_tokenizer,
    install_chat_template,
    write_generation_config,
)
from ftsdk.posttrain.source_model import SourceModel, open_source_model


def merge(folder: Path | str, target: Path) -> Artifact:
    """Merge an adapter into the base that it was trained on, or return the output of an earlier call.

    Args:
        folder: The adapter: an artifact, or any folder with a LoRA adapter of PEFT's.
        target: The folder of the merged model.

    Raises:
        InputError: The folder holds no adapter.
        ArtifactError: Adapter or base are missing, damaged, or do not fit; or merged and unmerged disagree.
        AuthError, BackendError, UnreachableError: The base is on the Hub and cannot be downloaded.
    """
    source = open_source_model(Path(folder))
    if not source.is_adapter:
        raise InputError(f"{folder} holds no adapter: it is a whole model already", hint="use it as it is")
    base = _open_base(source)
    request = {"step": "merge", "from": source.describe(), "base": base.describe()}
    fill = partial(_fill, source, base, request)
    return create_output(target, request, fill, inputs=(source.folder, base.folder))


def _open_base(source: SourceModel) -> SourceModel:
    # Only name and revision count: an adapter that was trained on a 4-bit base is merged into the full-precision one,
    # and quantized afterwards. Merged into 4 bits, most of its small changes would be rounded away.
    settings = base_of(source.folder)
    try:
        base = open_source_model(settings.name, settings.revision)
    except ArtifactError as error:
        raise ArtifactError(
            f"the base of {source.folder} cannot be opened: {error.message}",
            hint=f"restore {settings.name} as it was in training",
        ) from error
    if base.is_adapter:
        raise ArtifactError(f"{base.folder}, the base of {source.folder}, is an adapter itself", hint="merge it first")
    if "quantization_config" in base.config():
        raise ArtifactError(
            f"{settings.name}, the base of {source.folder}, is saved quantized, and merging needs full precision",
            hint="name the full-precision model as base_model_name_or_path in adapter_config.json",
        )
    return base


def _fill(source: SourceModel, base: SourceModel, request: dict[str, Any], output: Path) -> None:
    """Write the merged model into an empty folder, check it, and seal it."""
    inputs = merge_inputs(source, base)
    write_weights(inputs, output)
    # The adapter's tokenizer is the trained one. Files of two tokenizers must not mix, so the base's are left out then.
    if not has_tokenizer(source):
        copy_sidecar_files(base, output)
    copy_sidecar_files(source, output)
    tokenizer = install_chat_template(output, (source if has_tokenizer(source) else base).folder)
    _write_config(inputs, output, tokenizer)
    check = _check_outputs(inputs, output, tokenizer)
    notes = _notes(inputs, check)
    manifest = _manifest(source, base, {**request, "check": check, "notes": notes})
    (output / "README.md").write_text(model_card(manifest), "utf-8")
    seal(output, manifest)


def _write_config(inputs: MergeInputs, output: Path, tokenizer: Any) -> None:
    if not inputs.source.scores:
        if inputs.in_float32:
            # torch_dtype is the older name of dtype: readers that know only that one must not find the base's type.
            base_config = {name: value for name, value in inputs.base.config().items() if name != "torch_dtype"}
            (output / CONFIG).write_text(json.dumps({**base_config, "dtype": "float32"}, indent=2) + "\n", "utf-8")
        else:
            shutil.copyfile(inputs.base.folder / CONFIG, output / CONFIG)
        stops = write_generation_config(inputs.base.folder, output, tokenizer)
        (output / "Modelfile").write_text(modelfile(tokenizer, stops), "utf-8")
        return
    config: Any = inputs.skeleton.config
    # Transformers writes neither by itself for a model that it has not loaded; a classifier finds the end of a row by
    # the padding token.
    config.architectures = [type(inputs.skeleton).__name__]
    config.get_text_config().pad_token_id = tokenizer.pad_token_id
    config.save_pretrained(output)


def _check_outputs(inputs: MergeInputs, output: Path, tokenizer: Any) -> dict[str, Any]:
    """Compare the outputs of the merged and the unmerged model.

    Raises:
        ArtifactError: They differ by more than rounding.
    """
    # One after the other: memory need not hold both models.
    unmerged = outputs_of(partial(_load_unmerged, inputs), tokenizer)
    merged = outputs_of(partial(load_model, output, scores=inputs.source.scores), tokenizer)
    deviation, tolerance = difference(unmerged, merged), TOLERANCE[inputs.dtype]
    if deviation > tolerance:
        raise ArtifactError(
            f"merged and unmerged model disagree: outputs differ by {deviation:.2g}, and {tolerance:.2g} is allowed",
            hint="check that the base is the one that was trained on; if it is, report this",
        )
    return {"difference": deviation, "tolerance": tolerance, "texts": len(unmerged)}


def _load_unmerged(inputs: MergeInputs) -> Any:
    from peft import PeftModel  # noqa: PLC0415 - it patches what it imports; only the check needs it

    options = {"num_labels": inputs.skeleton.config.num_labels} if inputs.source.scores else {}  # type: ignore[union-attr]
    base = load_model(
        inputs.base.folder,
        scores=inputs.source.scores,
        **options,
        **({"dtype": torch.float32} if inputs.in_float32 else {}),
    )
    with artifact_errors(inputs.source.folder), quiet_libraries():
        return PeftModel.from_pretrained(base, inputs.source.folder).eval()


def _notes(inputs: MergeInputs, check: Mapping[str, Any]) -> list[str]:
    """Notes for the user: sentences without their full stop."""
    source, base = inputs.source, inputs.base
    deviation, tolerance = check["difference"], check["tolerance"]
    notes = [f"Merged and unmerged outputs differ by {deviation:.1g} (relative; {tolerance:.0g} is allowed)"]
    spec = source.manifest.spec if source.manifest else {}
    if inputs.in_float32:
        notes.append(
            "Its weights are float32, which quantization-aware training rounded from; quantize it before any cast"
        )
    bits = (spec.get("compute") or {}).get("quantization")
    if bits:
        notes.append(
            f"The base was quantized to {bits} during training; the adapter is merged into the full-precision base, so "
            "answers may differ a little from those of the adapter on a quantized base"
        )
    if base.manifest is None and base.revision is None:
        notes.append(
            "The base is a folder of this machine, which the training did not pin; its hashes are recorded now"
        )
    return notes


def _manifest(source: SourceModel, base: SourceModel, plan: dict[str, Any]) -> Manifest:
    parent = source.manifest
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
