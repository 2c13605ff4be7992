"""How a base model is loaded, and which of its tokens carry loss; needs no torch."""

from typing import Any, Literal

from ftsdk.spec import Section

TrainOn = Literal["assistant", "completion", "all"]


TRAINING_DTYPE = "held_dtype"
"""The key in a manifest's plan, after a quantization-aware training: the precision of the weights in training."""


class ModelSettings(Section):
    """For ``AutoModelForCausalLM.from_pretrained``."""

    name: str
    """A Hub id, or a local folder."""
    revision: str | None
    """The Hub revision."""
    dtype: str
    """``auto``, or the name of a torch dtype."""
    quantization: dict[str, Any] | None
    """For ``BitsAndBytesConfig``; None: not quantized."""
    attention: str
    """``auto``, or Transformers' name of an attention."""
    trust_remote_code: bool
    """Whether code that comes with the model may run."""
