"""How a base model is loaded, and what of its rows carries loss; no torch is needed to say it."""

from typing import Any, Literal

from ftsdk.spec import Section

TrainOn = Literal["assistant", "completion", "all"]


HELD = "held_dtype"
"""In a manifest's plan, after a quantization-aware training: the precision that its weights were held in."""


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
