"""The step ``quantize``: quantize a whole model into a folder that plain Transformers loads.

Transformers quantizes each weight as it reads it from the memory-mapped files. On saving, it splits the tensor
subclasses of torchao and the packed tensors of bitsandbytes into plain tensors (quantized numbers, scales, offsets),
which safetensors can hold; nothing is pickled.
"""

import shutil
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ftsdk.artifact import Artifact, Manifest, seal
from ftsdk.artifact.model_card import model_card
from ftsdk.artifact.model_files import CONFIG
from ftsdk.errors import ArtifactError, InputError
from ftsdk.modeling.loading import versions
from ftsdk.posttrain.atomic_output import create_output
from ftsdk.posttrain.loading import artifact_errors, build_skeleton, load_model, quiet_libraries
from ftsdk.posttrain.logit_check import difference, outputs_of
from ftsdk.posttrain.quantization_kinds import QuantizationKind, quantization_kind
from ftsdk.posttrain.sidecar_files import copy_sidecar_files, has_tokenizer, install_chat_template
from ftsdk.posttrain.source_model import SourceModel, open_source_model
from ftsdk.posttrain.weights import shards_of

_LARGEST_DIFFERENCE = 0.5
"""Of the outputs, relative: a quarter of their power would be noise, which no sound quantization causes."""


def quantize(model: Path | str, kind: str, target: Path) -> Artifact:
    """Quantize a whole model, or return the output of an earlier call.

    Args:
        model: A merged or base model: an artifact, any folder, or the id of a model on the Hub.
        kind: One of :data:`ftsdk.posttrain.quantization_kinds.KINDS`.
        target: The folder of the quantized model.

    Raises:
        InputError: There is no such kind, this machine does not support it, or the model is an adapter, or quantized.
        MissingExtra: The kind's library is not installed.
        ArtifactError: The model is damaged, or computes something else once it is quantized.
        AuthError, BackendError, UnreachableError: The model is on the Hub and cannot be downloaded.
    """
    quantization = quantization_kind(kind)
    source = open_source_model(model)
    if source.is_adapter:
        raise InputError(
            f"{model} holds an adapter, and only a whole model can be quantized",
            hint=f"ftsdk merge {model} --output merged/",
        )
    if "quantization_config" in source.config():
        raise InputError(f"{model} is quantized already", hint="give the model that it was quantized from")
    if not has_tokenizer(source):
        raise ArtifactError(f"{model} holds no tokenizer", hint="copy the tokenizer's files into it")
    request = {"step": "quantize", "kind": kind, "from": source.describe()}
    fill = partial(_fill, source, quantization, request)
    return create_output(target, request, fill, inputs=(source.folder,))


def _fill(source: SourceModel, kind: QuantizationKind, request: dict[str, Any], output: Path) -> None:
    """Write the quantized model into an empty folder, check it, and seal it."""
    shards_of(source.folder)  # for the error that names a damaged file; Transformers' own does not
    _check_rows(source, kind)
    copy_sidecar_files(source, output)
    _write_quantized(source, kind, output)
    tokenizer = install_chat_template(output, source.folder)
    before = outputs_of(partial(load_model, source.folder, scores=source.scores), tokenizer)
    after = outputs_of(partial(_load, source, kind, output), tokenizer)
    deviation = difference(before, after)
    if deviation > _LARGEST_DIFFERENCE:
        raise ArtifactError(
            f"quantized to {request['kind']}, the outputs of {source.name} differ by {deviation:.2g} (relative)",
            hint="take more bits, such as int8",
        )
    manifest = _manifest(source, kind, {**request, "check": {"difference": deviation, "texts": len(after)}})
    (output / "README.md").write_text(model_card(manifest), "utf-8")
    seal(output, manifest)


def _check_rows(source: SourceModel, kind: QuantizationKind) -> None:
    """Check that groups of weights divide the rows of each layer.

    Raises:
        ArtifactError: With the first layer whose rows they do not divide.
    """
    # torchao would leave such a layer unquantized without a word.
    model = build_skeleton(source.folder, scores=source.scores)
    for name, layer in model.named_modules():
        is_layer = isinstance(layer, nn.Linear) and layer is not model.get_output_embeddings()
        if is_layer and layer.in_features % kind.group:
            raise ArtifactError(
                f"{name} has rows of {layer.in_features} weights, which groups of {kind.group} do not divide",
                hint="take int8, which has a scale for each row, or nf4",
            )


def _write_quantized(source: SourceModel, kind: QuantizationKind, output: Path) -> None:
    model = _load(source, kind, source.folder, quantization_config=kind.config())
    with artifact_errors(source.folder), quiet_libraries():
        model.save_pretrained(output, max_shard_size="5GB")
    for path in output.glob("*.safetensors"):
        # safetensors makes files that only their owner can read, but a server may run as another user.
        shutil.copymode(output / CONFIG, path)


def _load(source: SourceModel, kind: QuantizationKind, folder: Path, **options: Any) -> Any:
    device = {"device_map": {"": torch.device("cuda", 0)}} if kind.on_gpu else {}
    precision = {"dtype": kind.dtype} if kind.dtype else {}
    return load_model(
        folder,
        scores=source.scores,
        **device,
        **precision,
        **options,
    )


def _manifest(source: SourceModel, kind: QuantizationKind, plan: dict[str, Any]) -> Manifest:
    parent = source.manifest or Manifest(kind="model", base_model=source.name, method="")
    deviation = plan["check"]["difference"]
    note = (
        f"Quantized to {plan['kind']}: {kind.description}. "
        f"Its outputs differ by {deviation:.1g} (relative) from those before"
    )
    notes = [*parent.plan.get("notes", ()), note]
    return Manifest(
        kind="model",
        base_model=parent.base_model or source.name,
        base_model_revision=parent.base_model_revision or source.revision,
        method=parent.method,
        spec=parent.spec,
        plan={**plan, "notes": notes, "training": parent.plan.get("training", parent.plan)},
        data=parent.data,
        versions={**versions(), kind.library: version(kind.library)},
        metrics=parent.metrics,
        job=parent.job,
    )
