"""The artifact of a fake job: a small folder like a PEFT adapter, or a full model, written without PEFT."""

import json
import math
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ftsdk.artifact import Artifact, Kind, Manifest, seal
from ftsdk.artifact.model_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CONFIG, WEIGHTS
from ftsdk.testing.service import RemoteJob

_WIDTH = 8  # of the one layer

Shapes = Mapping[str, tuple[int, ...]]


def write(job: RemoteJob, folder: Path) -> Artifact:
    """Write the job's artifact into an empty folder, and seal it."""
    parameters = job.request["parameters"]
    kind: Kind = "adapter" if "lora_rank" in parameters else "model"
    measured = [entry for entry in job.all_events() if entry.kind == "metrics"]
    lines = (json.dumps({"step": entry.step, **entry.metrics}) + "\n" for entry in measured)
    files = _adapter(parameters) if kind == "adapter" else _model()
    for name, content in {**files, "metrics.jsonl": "".join(lines).encode()}.items():
        (folder / name).write_bytes(content)
    manifest = Manifest(
        kind=kind,
        base_model=parameters["model"],
        base_model_revision=parameters["model_revision"],
        method=parameters["method.type"],
        spec=job.request["labels"],
        metrics=measured[-1].metrics,
        created=datetime.fromtimestamp(job.all_events()[-1].at, UTC),
        job=f"fake:{job.native_id}",
    )
    return seal(folder, manifest)


def _adapter(parameters: Mapping[str, Any]) -> dict[str, bytes]:
    rank = parameters["lora_rank"]
    layer = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": parameters["model"],
        "r": rank,
        "lora_alpha": parameters["adapter.alpha"],
        "target_modules": ["q_proj"],
    }
    weights = safetensors({layer.format("A"): (rank, _WIDTH), layer.format("B"): (_WIDTH, rank)})
    return {ADAPTER_CONFIG: json.dumps(config, indent=2).encode(), ADAPTER_WEIGHTS: weights}


def _model() -> dict[str, bytes]:
    config = {"model_type": "llama", "hidden_size": _WIDTH, "num_hidden_layers": 1}
    weights = safetensors({"model.layers.0.self_attn.q_proj.weight": (_WIDTH, _WIDTH)})
    return {CONFIG: json.dumps(config, indent=2).encode(), WEIGHTS: weights}


def safetensors(shapes: Shapes) -> bytes:
    """A safetensors file of float32 zeros: the length of the header, the header, the tensors."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)
