"""How a trainer computes a step: the differences between engines and machines that change its memory."""

from ftsdk.spec.base import Section

LOGIT_ROWS = 1024
"""Rows of logits that exist at one time in ftsdk's own loss."""


class TrainerProfile(Section):
    """How one step is computed."""

    width: int = 2
    """Bytes of a computed number: 2 for bfloat16 and float16, 4 for float32."""
    checkpointing: bool = True
    """Whether activations are recomputed in the backward pass."""
    cuda: bool = True
    """Whether it runs on an NVIDIA device, which has a context, and an allocator that rounds up."""
    logit_rows: int | None = None
    """Rows of logits that exist at one time. None: those of the whole micro-batch, as in Transformers' own loss."""
    plain_width: int | None = None
    """Bytes of each weight that is not quantized. None: ``width``; 4 where a trainer converts them to float32."""
    score_matrix: bool = False
    """Whether attention keeps its scores (``eager``): their number grows with the square of the length."""
    autocast: bool = True
    """Whether 16-bit numbers come from mixed precision, and not from a model whose weights are 16-bit."""
