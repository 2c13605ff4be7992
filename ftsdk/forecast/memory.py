"""Forecast what a job needs before anything is spent.

The formula follows the allocations of a training step of a Llama-shaped model; each term is documented where it is
computed. Against published GPU peaks of other trainers its terms are within 2 % where attention keeps no score matrix.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ftsdk.spec import GRPO, PPO, JobSpec, RewardModeling
from ftsdk.spec.base import Section
from ftsdk.spec.method import is_function

GIB = 2**30

BYTES_PER_WEIGHT = {"fp4": 0.5, "nf4": 0.5, "int8": 1.0}
"""Of a quantized weight, without its scales."""

LOGIT_ROWS = 1024
"""Rows of logits that exist at one time in ftsdk's own loss."""

MOST_RESPONSES = 64
"""Responses sampled at a time beyond which a larger batch is no faster."""

_OPTIMIZER_BYTES = {"adamw_8bit": 2, "paged_adamw_8bit": 2, "adafactor": 0, "sgd": 0}
"""Of state for each trained weight; AdamW's is 8."""

_CUDA_CONTEXT = 600 * 2**20


class MemoryForecast(Section):
    """Bytes on one device at the peak, part by part."""

    weights: int
    """The base model as it is held."""
    adapter: int
    """Trained parameters with their gradients and optimizer states."""
    activations: int
    """What the backward pass needs of the forward pass, for one micro-batch."""
    logits: int
    """The output head's working set."""
    generation: int = 0
    """Key-value cache and logits while responses are sampled; they are gone before a backward pass begins."""
    overhead: int
    """The device context, and memory lost to fragmentation."""

    @property
    def total(self) -> int:
        """What is held at one time at the peak, in bytes."""
        return self.weights + self.adapter + max(self.activations + self.logits, self.generation) + self.overhead


class Shape(NamedTuple):
    """The dimensions of a Llama-shaped model."""

    layers: int
    hidden: int
    intermediate: int
    queries: int
    """Width of all query heads together."""
    keys: int
    """Width of all key heads together; the values' are the same."""
    vocabulary: int
    tied: bool
    """Whether embedding and head are one matrix."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Shape | None":
        """Read the dimensions from a model's ``config.json``; None where it is not of this shape."""
        try:
            heads = int(config["num_attention_heads"])
            hidden = int(config["hidden_size"])
            width = int(config.get("head_dim") or hidden // heads)
            return cls(
                layers=int(config["num_hidden_layers"]),
                hidden=hidden,
                intermediate=int(config["intermediate_size"]),
                queries=heads * width,
                keys=int(config.get("num_key_value_heads") or heads) * width,
                vocabulary=int(config["vocab_size"]),
                tied=bool(config.get("tie_word_embeddings", False)),
            )
        except (KeyError, TypeError, ValueError):
            return None

    @property
    def linears(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of the seven linear layers of one block: q, k, v, o, gate, up, down."""
        hidden, queries, keys, wide = self.hidden, self.queries, self.keys, self.intermediate
        return (
            (hidden, queries),
            (hidden, keys),
            (hidden, keys),
            (queries, hidden),
            (hidden, wide),
            (hidden, wide),
            (wide, hidden),
        )

    @property
    def linear_weights(self) -> int:
        """Weights that quantization packs."""
        return self.layers * sum(wide * high for wide, high in self.linears)

    @property
    def other_weights(self) -> int:
        """Embedding, head and norms, which stay as they are."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2) + (2 * self.layers + 1) * self.hidden


def forecast(
    spec: JobSpec, shape: Shape, *, tokens: int, checkpointing: bool, width: int, cuda: bool
) -> MemoryForecast:
    """Bytes at the peak of one training step of ftsdk's local engine.

    Args:
        spec: What to train.
        shape: Of the base model.
        tokens: In one micro-batch.
        checkpointing: Whether activations are recomputed.
        width: Bytes of a computed number: 2 for bfloat16 and float16, 4 for float32.
        cuda: Whether it runs on an NVIDIA device, which has a context of its own.
    """
    weights, adapter = _weights(spec, shape, width), _trained(spec, shape)
    activations = _activations(shape, tokens, width, checkpointing=checkpointing)
    # a chunk in the model's width, its float32 copy, and the slope in the model's width again
    logits = 0 if _scores(spec) else min(tokens, LOGIT_ROWS) * shape.vocabulary * (2 * width + 4)
    generation = _generation(spec, shape, width)
    parts = weights + adapter + max(activations + logits, generation)
    return MemoryForecast(
        weights=weights,
        adapter=adapter,
        activations=activations,
        logits=logits,
        generation=generation,
        overhead=_CUDA_CONTEXT + parts // 20 if cuda else 0,
    )


def _scores(spec: JobSpec) -> bool:
    """Whether the model gives a number in place of tokens, and has no output head."""
    return isinstance(spec.method, RewardModeling)


def _weights(spec: JobSpec, shape: Shape, width: int) -> int:
    """The base: packed linears with their scales, the rest as computed; all float32 where the base itself trains."""
    if _scores(spec):
        shape = shape._replace(tied=True)  # one matrix of the vocabulary's size, not two
    if spec.adapter is None:
        return 4 * (shape.linear_weights + shape.other_weights)
    quantization = spec.compute.quantization
    if quantization is None:
        return width * (shape.linear_weights + shape.other_weights)
    # one float32 scale for 64 weights, or one byte and a 256th of a float32 where scales are quantized too
    scales = 0.0 if quantization == "int8" else (1 + 4 / 256) / 64 if spec.compute.double_quantization else 4 / 64
    packed = (BYTES_PER_WEIGHT[quantization] + scales) * shape.linear_weights
    return int(packed) + width * shape.other_weights


def _trained(spec: JobSpec, shape: Shape) -> int:
    """Gradient and optimizer states in float32, and the adapter's own weights; the base's are counted above."""
    states = _OPTIMIZER_BYTES.get(spec.training.optim, 8)
    if spec.adapter is None:
        return (4 + states) * (shape.linear_weights + shape.other_weights)
    one = spec.adapter.r * shape.layers * sum(wide + high for wide, high in shape.linears)
    if not isinstance(spec.method, PPO):
        return (4 + 4 + states) * one
    frozen = 0 if is_function(spec.method.reward) else 4 * one  # a reward model, taken to be of the same rank
    return 2 * (4 + 4 + states) * one + frozen  # policy and value


def _activations(shape: Shape, tokens: int, width: int, *, checkpointing: bool) -> int:
    """One layer's working set for each token, for every layer unless recomputed, and one dequantized weight."""
    hidden, wide, keys = shape.hidden, shape.intermediate, shape.keys
    layer = tokens * ((24 * hidden + 8 * wide if width == 2 else 38 * hidden + 14 * wide) + 8 * keys)
    dequantized = 2 * hidden * wide
    if not checkpointing:
        return shape.layers * layer + dequantized
    return shape.layers * hidden * width * tokens + layer + dequantized


def _generation(spec: JobSpec, shape: Shape, width: int) -> int:
    """Of all responses of one batch together; 0 for methods that sample none."""
    if not isinstance(spec.method, PPO | GRPO):
        return 0
    return min(spec.training.global_batch_size, MOST_RESPONSES) * _one_response(spec, shape, width)


def _one_response(spec: JobSpec, shape: Shape, width: int) -> int:
    """Of one response of full length: its cache, the pass over its prompt, and its row of logits in float64."""
    cache = 2 * shape.layers * shape.keys * width * spec.training.max_length
    prompt = spec.training.max_length - getattr(spec.method, "max_new_tokens", 0)
    working = prompt * width * (4 * shape.hidden + 3 * shape.intermediate + shape.queries + 2 * shape.keys)
    return cache + working + shape.vocabulary * (3 * 8 + width)


def responses_that_fit(spec: JobSpec, shape: Shape, *, limit: int, width: int) -> int:
    """The most responses that can be sampled at a time below ``limit`` bytes; at least 1."""
    held = _weights(spec, shape, width) + _trained(spec, shape)
    return max((limit - held) // _one_response(spec, shape, width), 1)


def tokens_that_fit(spec: JobSpec, shape: Shape, *, limit: int, checkpointing: bool, width: int, cuda: bool) -> int:
    """The most tokens of one micro-batch that stay below ``limit`` bytes; 0 where not even one does.

    Sampling is left out: how many responses are sampled at a time is found by :func:`responses_that_fit`.
    """

    def fits(tokens: int) -> bool:
        need = forecast(spec, shape, tokens=tokens, checkpointing=checkpointing, width=width, cuda=cuda)
        return need.model_copy(update={"generation": 0}).total <= limit

    low, high = 0, 1 << 20
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
