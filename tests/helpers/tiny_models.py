"""Plain helpers of the engine's tests."""

import torch
import transformers

from ftsdk.job_folder import JobFolder
from ftsdk.workers.event_writer import read_events


def metrics_of(folder: JobFolder, name: str) -> list[float]:
    """The values of one metric, in order."""
    return [e.metrics[name] for e in read_events(folder.events) if e.kind == "metrics" and name in e.metrics]


TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
    "max_position_embeddings": 256,
    "head_dim": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def tiny(architecture: str, **changes):
    """A random model of an architecture of Transformers, such as ``Llama``, in float32."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{architecture}Config")(**{**TINY, **changes})
    return getattr(transformers, f"{architecture}ForCausalLM")(config).eval()


class RecordingReporter:
    """A reporter that keeps its messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, text: str) -> None:
        self.lines.append(text)

    warning = stage = log
