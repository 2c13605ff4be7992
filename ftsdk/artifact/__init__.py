"""The artifact of a job: one layout for all backends.

An artifact is a folder with a PEFT adapter or a whole model in safetensors, and the manifest ``ftsdk.json``, which
records its origin (spec, plan, data, versions) and a hash of every other file. :func:`seal` writes the manifest of a
finished folder, :func:`verify` checks a folder against it, and :func:`place` moves one to its place atomically. No
pickle is ever accepted.

What needs torch (generate, evaluate, merge, quantize) is not here: these methods load a step by its entry point, from
:mod:`ftsdk.posttrain`.
"""

from ftsdk.artifact.artifact import Artifact, merge, quantize, seal
from ftsdk.artifact.evaluation import Comparison, Evaluation, EvaluationSettings, HeldOut, Sample, TaskResult
from ftsdk.artifact.manifest import MANIFEST, FileRecord, Kind, Manifest
from ftsdk.artifact.placement import place
from ftsdk.artifact.safetensors import tensors_in
from ftsdk.artifact.sealing import verify

__all__ = [
    "MANIFEST",
    "Artifact",
    "Comparison",
    "Evaluation",
    "EvaluationSettings",
    "FileRecord",
    "HeldOut",
    "Kind",
    "Manifest",
    "Sample",
    "TaskResult",
    "merge",
    "place",
    "quantize",
    "seal",
    "tensors_in",
    "verify",
]
