"""What a job made: one layout, whatever the backend.

A folder with a PEFT adapter or a whole model in safetensors, and ``ftsdk.json``, the manifest that says where it comes
from and holds a hash of every other file.
"""

from ftsdk.artifact.artifact import Artifact, merge, quantize, seal, verify
from ftsdk.artifact.evaluation import Comparison, Evaluation, EvaluationSettings, HeldOut, Sample, TaskResult
from ftsdk.artifact.manifest import MANIFEST, FileRecord, Kind, Manifest
from ftsdk.artifact.placement import place
from ftsdk.artifact.safetensors import tensors_in

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
