"""The step ``quantize``: hold a finished model in few bits, in a folder that plain Transformers loads.

Transformers quantizes each weight as it reads it from the mapped files, and writes tensors of torchao or bitsandbytes
apart into plain ones, in safetensors; nothing is pickled.
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
from ftsdk.errors import ArtifactError, InputError
from ftsdk.modeling.loading import versions
from ftsdk.posttrain.atomic_output import make_once
from ftsdk.posttrain.loading import load_model, quietly, skeleton_of, told
from ftsdk.posttrain.logit_check import difference, outputs_of
from ftsdk.posttrain.quantization_kinds import Kind, kind_of
from ftsdk.posttrain.sidecar_files import copy_companions, has_tokenizer, settle_tokenizer
from ftsdk.posttrain.source_model import CONFIG, SourceModel, origin_of
from ftsdk.posttrain.weights import shards_of

_BROKEN = 0.5
"""A difference that no quantization makes: a quarter of the outputs' power would be noise."""


def quantize(model: Path | str, kind: str, target: Path) -> Artifact:
    """Quantize a whole model, or find it quantized by an earlier call.

    Args:
        model: A merged or base model: an artifact, any folder, or the id of a model on the Hub.
        kind: One of :data:`ftsdk.posttrain.quantization_kinds.KINDS`.
        target: Where the quantized model shall be.

    Raises:
        InputError: There is no such kind, this machine cannot make it, or the model is an adapter, or quantized.
        MissingExtra: The package that makes it is not installed.
        ArtifactError: The model is damaged, or it does not survive.
        AuthError, BackendError, UnreachableError: It is on the Hub, which does not give it.
    """
    how = kind_of(kind)
    origin = origin_of(model)
    if origin.is_adapter:
        raise InputError(
            f"{model} holds an adapter, and only a whole model is quantized",
            hint=f"ftsdk merge {model} --output merged/",
        )
    if "quantization_config" in origin.config():
        raise InputError(f"{model} is quantized already", hint="give the model that it was made from")
    if not has_tokenizer(origin):
        raise ArtifactError(f"{model} holds no tokenizer", hint="copy the tokenizer's files into it")
    asked = {"step": "quantize", "kind": kind, "from": origin.told()}
    return make_once(target, asked, partial(_fill, origin, how, asked), reads=(origin.folder,))


def _fill(origin: SourceModel, kind: Kind, asked: dict[str, Any], aside: Path) -> None:
    """Make the quantized model in an empty folder, check it, and seal it."""
    shards_of(origin.folder)  # damaged files are told as such
    _check_rows(origin, kind)
    copy_companions(origin, aside)
    _write_quantized(origin, kind, aside)
    tokenizer = settle_tokenizer(aside, origin.folder)
    before = outputs_of(partial(load_model, origin.folder, scores=origin.scores), tokenizer)
    after = outputs_of(partial(_loaded, origin, kind, aside), tokenizer)
    off = difference(before, after)
    if off > _BROKEN:
        raise ArtifactError(
            f"{asked['kind']} leaves little of {origin.name}: its outputs differ by {off:.2g} (relative)",
            hint="take more bits, such as int8",
        )
    manifest = _manifest(origin, kind, {**asked, "check": {"difference": off, "texts": len(after)}})
    (aside / "README.md").write_text(model_card(manifest), "utf-8")
    seal(aside, manifest)


def _check_rows(origin: SourceModel, kind: Kind) -> None:
    """See that groups of weights divide the rows: torchao leaves other layers as they are, and says nothing.

    Raises:
        ArtifactError: With the first layer whose rows they do not divide.
    """
    model = skeleton_of(origin.folder, scores=origin.scores)
    for name, layer in model.named_modules():
        is_layer = isinstance(layer, nn.Linear) and layer is not model.get_output_embeddings()
        if is_layer and layer.in_features % kind.group:
            raise ArtifactError(
                f"{name} has rows of {layer.in_features} weights, which groups of {kind.group} do not divide",
                hint="take int8, which has a scale for each row, or nf4",
            )


def _write_quantized(origin: SourceModel, kind: Kind, aside: Path) -> None:
    model = _loaded(origin, kind, origin.folder, quantization_config=kind.config())
    with told(origin.folder), quietly():
        model.save_pretrained(aside, max_shard_size="5GB")
    for path in aside.glob("*.safetensors"):
        shutil.copymode(aside / CONFIG, path)  # its library lets nobody else read them, and a server is somebody else


def _loaded(origin: SourceModel, kind: Kind, folder: Path, **options: Any) -> Any:
    place = {"device_map": {"": torch.device("cuda", 0)}} if kind.on_gpu else {}
    precision = {"dtype": kind.dtype} if kind.dtype else {}
    return load_model(
        folder,
        scores=origin.scores,
        **place,
        **precision,
        **options,
    )


def _manifest(origin: SourceModel, kind: Kind, plan: dict[str, Any]) -> Manifest:
    parent = origin.manifest or Manifest(kind="model", base_model=origin.name, method="")
    off = plan["check"]["difference"]
    note = f"Quantized to {plan['kind']}: {kind.words}. Its outputs differ by {off:.1g} (relative) from those before"
    notes = [*parent.plan.get("notes", ()), note]
    return Manifest(
        kind="model",
        base_model=parent.base_model or origin.name,
        base_model_revision=parent.base_model_revision or origin.revision,
        method=parent.method,
        spec=parent.spec,
        plan={**plan, "notes": notes, "training": parent.plan.get("training", parent.plan)},
        data=parent.data,
        versions={**versions(), kind.library: version(kind.library)},
        metrics=parent.metrics,
        job=parent.job,
    )
