"""The memory of one device at the peak of a training step, term by term: one copy of each.

Each term is documented where it is computed. docs/forecast.md compares their sum with every published and measured
point that we know.
"""

from ftsdk.forecast.architecture import Architecture, Linear
from ftsdk.forecast.trainer_profile import TrainerProfile
from ftsdk.spec import DPO, GRPO, KTO, PPO, JobSpec, RewardModeling
from ftsdk.spec.base import Section
from ftsdk.spec.method import is_function

BYTES_PER_WEIGHT = {"fp4": 0.5, "nf4": 0.5, "int8": 1.0}
"""Of a quantized weight, without its scales."""

MOST_RESPONSES = 64
"""Responses sampled at a time beyond which a larger batch is no faster."""

PAIRED = frozenset({"dpo", "orpo", "reward_modeling"})
"""Methods whose rows hold two answers, which are computed together."""

_OPTIMIZER_BYTES = {"adamw_8bit": 2, "paged_adamw_8bit": 2, "adafactor": 0, "sgd": 0}
"""Of state for each trained weight; AdamW's is 8."""

_CUDA_CONTEXT = 600 * 2**20
_EIGHTHS_LOST = {False: 1, True: 4}
"""From whether attention keeps its scores to the share of a step's bytes that the CUDA allocator's blocks lose: at the
worst published point."""


_SLOPES = {2: (3, 2), 4: (2, -1)}
"""From the width to the slopes of the inner and of the hidden width that exist at one time: measured.

In 16 bits adapters make float32 of them; in float32 a layer's first norm keeps the very input that checkpointing keeps.
"""

_SCORE_BYTES = {2: 15, 4: 18}
"""From the width to the bytes of each of eager attention's scores, with its softmax and its slope: measured."""
_LEFT = 2
"""Times the hidden width: measured, from the second micro-batch of a step on."""


class MemoryForecast(Section):
    """Bytes on one device at the peak, part by part."""

    weights: int
    """The base model as it is held."""
    adapter: int
    """Weights that were added to train."""
    gradients: int
    """Of all weights that train."""
    optimizer: int
    """The optimizer's states."""
    activations: int
    """What is kept of the forward pass of one micro-batch until the backward pass needs it."""
    layer: int
    """The working set of one layer in the backward pass."""
    logits: int
    """The output head's working set; it is gone before the layers' backward pass begins."""
    generation: int = 0
    """Key-value cache and logits while responses are sampled; they are gone before a backward pass begins."""
    overhead: int
    """The device context, and memory lost to fragmentation."""

    @property
    def step(self) -> int:
        """What comes and goes with each step, in bytes: of what excludes each other in time, the larger."""
        return max(self.activations + max(self.layer, self.logits), self.generation)

    @property
    def allocated(self) -> int:
        """What is held at one time at the peak, in bytes, as a trainer's own counter shows it."""
        return self.weights + self.adapter + self.gradients + self.optimizer + self.step

    @property
    def total(self) -> int:
        """What the process takes of the device at the peak, in bytes."""
        return self.allocated + self.overhead


def forecast(spec: JobSpec, shape: Architecture, computing: TrainerProfile, *, tokens: int) -> MemoryForecast:
    """Bytes at the peak of one training step.

    Args:
        spec: What to train.
        shape: Of the base model.
        computing: How the trainer computes.
        tokens: In one micro-batch.
    """
    trained = _trained_weights(spec, shape)
    added = 0 if spec.adapter is None else trained
    found = MemoryForecast(
        weights=_weights(spec, shape, computing),
        adapter=4 * (added + _frozen_adapter(spec, shape)),
        gradients=4 * trained,
        optimizer=_OPTIMIZER_BYTES.get(spec.training.optim, 8) * trained,
        activations=_kept(spec, shape, computing, tokens),
        layer=_layer(spec, shape, computing, tokens),
        logits=_logits(spec, shape, computing, tokens),
        generation=_generation(spec, shape, computing),
        overhead=0,
    )
    lost = found.step * _EIGHTHS_LOST[computing.score_matrix] // 8
    return found.model_copy(update={"overhead": _CUDA_CONTEXT + lost if computing.cuda else 0})


def row_tokens(spec: JobSpec) -> int:
    """Tokens of one row of full length; of both answers where a row holds two."""
    return spec.training.max_length * (2 if spec.method.type in PAIRED else 1)


def _scores(spec: JobSpec) -> bool:
    """Whether the model gives a number in place of tokens, and has no output head."""
    return isinstance(spec.method, RewardModeling)


def _weights(spec: JobSpec, shape: Architecture, computing: TrainerProfile) -> int:
    """The base: packed linears with their scales, the rest as computed; all float32 where the base itself trains."""
    plain = shape.others + (0 if _scores(spec) else shape.head)
    if spec.adapter is None:
        casts = computing.width * shape.linear_weights if computing.width == 2 else 0  # autocast keeps its copies
        return 4 * (shape.linear_weights + plain) * (2 if _has_copy(spec) else 1) + casts
    quantization = spec.compute.quantization
    if quantization is None:
        return computing.width * (shape.linear_weights + plain)
    # one float32 scale for 64 weights, or one byte and a 256th of a float32 where scales are quantized too
    scales = 0.0 if quantization == "int8" else (1 + 4 / 256) / 64 if spec.compute.double_quantization else 4 / 64
    packed = (BYTES_PER_WEIGHT[quantization] + scales) * shape.linear_weights
    return int(packed) + (computing.plain_width or computing.width) * plain


def _has_copy(spec: JobSpec) -> bool:
    """Whether a full fine-tune is held to a frozen copy of the whole model; an adapter is only switched off."""
    method = spec.method
    return isinstance(method, DPO | KTO) or (isinstance(method, GRPO) and method.beta > 0)


def _adapted(spec: JobSpec, shape: Architecture) -> tuple[Linear, ...]:
    """The layers of one block that an adapter stands beside."""
    if spec.adapter is None:
        return ()
    names = spec.adapter.target_modules
    return shape.linears if names == "all-linear" else tuple(each for each in shape.linears if each.name in names)


def _adapter_weights(spec: JobSpec, shape: Architecture) -> int:
    """Of one adapter: two matrices beside each adapted layer, and with DoRA a magnitude for each of its outputs."""
    if (lora := spec.adapter) is None:
        return 0
    adapted = _adapted(spec, shape)
    return shape.layers * sum(lora.r * (each.inputs + each.outputs) + each.outputs * lora.use_dora for each in adapted)


def _trained_weights(spec: JobSpec, shape: Architecture) -> int:
    """All that the optimizer moves; PPO moves two adapters, policy and value."""
    if spec.adapter is None:
        return shape.weights - (shape.head if _scores(spec) else 0)
    return _adapter_weights(spec, shape) * (2 if isinstance(spec.method, PPO) else 1)


def _frozen_adapter(spec: JobSpec, shape: Architecture) -> int:
    """Of PPO's reward model, taken to be of the same rank."""
    return 0 if not isinstance(spec.method, PPO) or is_function(spec.method.reward) else _adapter_weights(spec, shape)


def _kept(spec: JobSpec, shape: Architecture, computing: TrainerProfile, tokens: int) -> int:
    """The inputs of layers and what the micro-batch before has left, or all that each layer's backward pass needs."""
    if computing.checkpointing:
        width = 4 if spec.adapter is None else computing.width  # hidden states are as wide as the weights
        kept = (shape.layers + _LEFT) * shape.hidden * width
    else:
        kept = shape.layers * _saved(spec, shape, computing)
    rounded = 0 if computing.checkpointing else shape.layers * _rounded(spec, shape, computing)
    return tokens * (kept + shape.layers * _kept_by_int8(spec, shape, computing)) + rounded


def _rounded(spec: JobSpec, shape: Architecture, computing: TrainerProfile) -> int:
    """What autograd keeps of one layer's weights where they are rounded while they learn, whatever the tokens.

    The merged weight and the rounded one, and the scales of groups of 32: counted in what it saves.
    """
    if spec.training.quantization_aware is None:
        return 0
    return int((2 * computing.width + 0.28) * sum(each.inputs * each.outputs for each in shape.linears))


def _kept_by_int8(spec: JobSpec, shape: Architecture, computing: TrainerProfile) -> int:
    """What bitsandbytes' layers of 8 bits hold of their own for each token, out of checkpointing's sight: measured."""
    if spec.compute.quantization != "int8" or spec.adapter is None:
        return 0
    if computing.checkpointing:
        return computing.width * sum(each.inputs for each in shape.linears)
    inputs = 0 if computing.width == 4 else sum({each.reads: each.inputs for each in shape.linears}.values())
    return computing.width * (inputs + 2 * shape.intermediate)


def _saved(spec: JobSpec, shape: Architecture, computing: TrainerProfile) -> int:
    """Bytes that autograd keeps of one layer for each token.

    Both norms keep their input in float32. Attention keeps queries, keys, values and what it gives, and not its scores
    unless it is eager; the feed-forward part keeps both branches and the activation between them.
    """
    width = computing.width
    attention = 2 * shape.queries + 2 * shape.keys
    inside = shape.intermediate * (3 if shape.gated else 1)
    scores = _SCORE_BYTES[width] * shape.heads * spec.training.max_length if computing.score_matrix else 0
    return 8 * shape.hidden + width * (attention + inside) + scores + _saved_inputs(spec, shape, computing)


def _saved_inputs(spec: JobSpec, shape: Architecture, computing: TrainerProfile) -> int:
    """Bytes of the inputs that trained weights need for their gradient.

    Layers that read the same share it, but not where weights in float32 have each a copy of it made in another width.
    """
    width = computing.width
    trained = shape.linears if spec.adapter is None else _adapted(spec, shape)
    rank = 0 if spec.adapter is None else spec.adapter.r
    norms = 8 * shape.hidden if spec.adapter is None else 0  # their weights train, too
    if width == 4:
        shared = sum({each.reads: each.inputs for each in trained}.values())
        return norms + 4 * (shared + rank * len(trained))
    copy = 2 if computing.autocast or spec.adapter is None else 4
    return norms + copy * sum(each.inputs + rank for each in trained)


def _layer(spec: JobSpec, shape: Architecture, computing: TrainerProfile, tokens: int) -> int:
    """The slopes in the backward pass; with checkpointing beside all that one layer keeps.

    Beside a weight that is made out of few bits, there is only one slope of the inner width.
    """
    inner, hidden = (count * computing.width for count in (shape.intermediate, shape.hidden))
    inner_slopes, hidden_slopes = _SLOPES[computing.width]
    slopes = max(tokens * (inner_slopes * inner + hidden_slopes * hidden), inner * (tokens + shape.hidden))
    again = tokens * _saved(spec, shape, computing) + _rounded(spec, shape, computing)
    return slopes + (again if computing.checkpointing else 0)


def _logits(spec: JobSpec, shape: Architecture, computing: TrainerProfile, tokens: int) -> int:
    """Logits as computed, and in float32: a copy, their logarithm, their slope. Or a chunk of them.

    A chunk is in float32, with a copy while its logarithm is taken, and beside the slope of the chunk before it.
    """
    if _scores(spec):
        return 0
    if computing.logit_rows is None or not shape.bare_head:
        return tokens * shape.vocabulary * (computing.width + 12)
    rows, further = min(tokens, computing.logit_rows), tokens > computing.logit_rows
    head = (4 + computing.width) * shape.vocabulary * shape.hidden if spec.adapter is None else 0  # slope and copy
    return rows * shape.vocabulary * (12 if further else 8) + 4 * tokens * shape.hidden * computing.width + head


def _generation(spec: JobSpec, shape: Architecture, computing: TrainerProfile) -> int:
    """Of all responses of one batch together; 0 for methods that sample none."""
    if not isinstance(spec.method, PPO | GRPO):
        return 0
    return min(spec.training.global_batch_size, MOST_RESPONSES) * one_response(spec, shape, computing)


def one_response(spec: JobSpec, shape: Architecture, computing: TrainerProfile) -> int:
    """Of one response of full length: its cache, the pass over its prompt, and its row of logits in float64."""
    width = computing.width
    cache = 2 * shape.layers * shape.keys * width * spec.training.max_length
    prompt = spec.training.max_length - getattr(spec.method, "max_new_tokens", 0)
    working = prompt * width * (4 * shape.hidden + 3 * shape.intermediate + shape.queries + 2 * shape.keys)
    return cache + working + shape.vocabulary * (3 * 8 + width)
