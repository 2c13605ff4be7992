"""Compare two models by their logits for the same few texts."""

import gc
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ftsdk.errors import ArtifactError

TEXTS = (
    "The capital of France is Paris, and the capital of Japan is",
    "def add(a, b):\n    return a +",
    "Dear Ms. Miller,\nthank you for your letter of 3 May.",
)
"""Prose, code and a letter: enough tokens that a wrong layer changes the logits."""

# Merging computes in float32 and rounds each weight once, as the unmerged model does not. What remains is rounding:
# about the precision of the type (6e-8, 5e-4, 2e-3), summed up over some dozen layers.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""The largest difference that is allowed after merging, by the type of the merged weights."""

Load = Callable[[], Any]


@torch.inference_mode()
def outputs_of(load: Load, tokenizer: Any) -> list[Tensor]:
    """A model's outputs for the texts: logits of every token, or one score each. The model is freed afterwards."""
    model = load()
    outputs = []
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt")["input_ids"].to(model.device)
        outputs.append(model(input_ids=ids, use_cache=False).logits.float().cpu().flatten())
    del model
    gc.collect()
    return outputs


def difference(expected: Sequence[Tensor], actual: Sequence[Tensor]) -> float:
    """The root mean square of the difference, relative to that of ``expected``; absolute where that is below 1.

    Raises:
        ArtifactError: The outputs hold NaN.
    """
    a, b = torch.cat(list(expected)), torch.cat(list(actual))
    # Without the clamp, a model whose outputs are nearly zero would fail by noise.
    relative = float((a - b).square().mean().sqrt() / a.square().mean().sqrt().clamp(min=1.0))
    if math.isnan(relative):
        raise ArtifactError("the model's outputs are not numbers (NaN)", hint="its training diverged; see its losses")
    return relative
