"""How far two models agree: the difference of what they compute for the same few texts."""

import gc
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
"""Plain prose, code and a letter: enough tokens that a wrong layer shows."""

TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""The largest difference of a merged model, by the type of its weights: rounding them is all that may differ."""

Load = Callable[[], Any]


@torch.inference_mode()
def outputs_of(load: Load, tokenizer: Any) -> list[Tensor]:
    """What a model computes for the texts: logits of every token, or a score for each; the model is let go."""
    model = load()
    outputs = []
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt")["input_ids"].to(model.device)
        outputs.append(model(input_ids=ids, use_cache=False).logits.float().cpu().flatten())
    del model
    gc.collect()
    return outputs


def difference(wanted: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """The root mean square of the difference, relative to that of what is wanted; below 1, absolute.

    Raises:
        ArtifactError: It is no number.
    """
    a, b = torch.cat(list(wanted)), torch.cat(list(found))
    result = float((a - b).square().mean().sqrt() / a.square().mean().sqrt().clamp(min=1.0))
    if result != result:  # noqa: PLR0124 - not a number
        raise ArtifactError("the model computes no numbers", hint="its training has diverged; see its losses")
    return result
