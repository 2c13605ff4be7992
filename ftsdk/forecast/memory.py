"""The memory of one device at the peak of a training step, term by term.

Each term is documented where it is computed. Most follow from what PyTorch, PEFT and the optimizers allocate. Those
marked as measured were fitted on the CPU points of benchmarks/memory.py; those of eager attention and of fragmentation,
on published points of a Tesla T4 (both in benchmarks/points.csv). docs/forecast.md compares the sum with every point.
"""

from ftsdk.data.formats import PAIRED
from ftsdk.forecast.architecture import Architecture, Linear
from ftsdk.forecast.trainer_profile import TrainerProfile
from ftsdk.spec import DPO, GRPO, KTO, PPO, JobSpec, RewardModeling
from ftsdk.spec.base import Section
from ftsdk.spec.method import is_function

BYTES_PER_WEIGHT = {"fp4": 0.5, "nf4": 0.5, "int8": 1.0}
"""Of a quantized weight, without its scales; 4-bit weights are packed two to a byte."""

MOST_RESPONSES = 64
"""The most responses that are sampled at a time; a larger batch is no faster."""

_OPTIMIZER_BYTES = {"adamw_8bit": 2, "paged_adamw_8bit": 2, "adafactor": 0, "sgd": 0}
"""Of state for each trained weight; all others, AdamW and its like, have 8: two moments in float32.

Adafactor keeps a row and a column of each matrix, which is next to nothing; plain SGD keeps no state.
"""

# Kernels, libraries and their workspaces. Chosen, with the shares below, so that the total is never 5 % less than what
# the process took on a published point; a test of docs/forecast.md checks that.
_CUDA_CONTEXT = 600 * 2**20
"""Bytes."""

_FRAGMENTATION_EIGHTHS = {False: 1, True: 4}
"""From whether attention keeps its scores to the eighths of a step's bytes that are lost between the CUDA allocator's
blocks, at the worst published point."""

# In 16 bits, adapters convert gradients to float32, which takes twice the bytes. In float32 nothing is converted, and a
# layer's first norm keeps the same tensor as checkpointing: it is counted twice elsewhere, hence the minus one here.
_LAYER_GRADIENTS = {2: (3, 2), 4: (2, -1)}
"""From the width to the number of gradients, of the inner and of the hidden width, that exist at one time: measured."""

_SCORE_BYTES = {2: 15, 4: 18}
"""From the width to the bytes of each of eager attention's scores, with its softmax and its gradient: measured."""

_PREVIOUS_STATES = 2
"""Tensors of the hidden width that are left from the micro-batch before: measured, from a step's second one on."""


class MemoryForecast(Section):
    """Bytes on one device at the peak, term by term."""

    weights: int
    """The base model, quantized or not."""
    adapter: int
    """Weights that the adapter adds."""
    gradients: int
    """Of all weights that train."""
    optimizer: int
    """The optimizer's states."""
    activations: int
    """Tensors of one micro-batch's forward pass that are kept for the backward pass."""
    layer: int
    """The working set of one layer in the backward pass."""
    logits: int
    """The output head's working set; it is freed before the layers' backward pass begins."""
    generation: int = 0
    """Key-value cache and logits while responses are sampled; they are freed before a training step begins."""
    overhead: int
    """The CUDA context, and memory lost to fragmentation."""

    @property
    def step(self) -> int:
        """Bytes that are allocated and freed in each step: of terms that never exist at one time, the larger."""
        return max(self.activations + max(self.layer, self.logits), self.generation)

    @property
    def allocated(self) -> int:
        """Bytes allocated at the peak, as PyTorch's allocator counts them."""
        return self.weights + self.adapter + self.gradients + self.optimizer + self.step

    @property
    def total(self) -> int:
        """Bytes that the process takes of the device at the peak."""
        return self.allocated + self.overhead


def forecast(spec: JobSpec, architecture: Architecture, trainer: TrainerProfile, *, tokens: int) -> MemoryForecast:
    """Bytes at the peak of one training step.

    Args:
        spec: What to train.
        architecture: Of the base model.
        trainer: How the trainer computes.
        tokens: In one micro-batch.
    """
    trained = _trained_weights(spec, architecture)
    adapter = 0 if spec.adapter is None else trained
    allocated = MemoryForecast(
        weights=_weights(spec, architecture, trainer),
        adapter=4 * (adapter + _frozen_adapter(spec, architecture)),
        gradients=4 * trained,
        optimizer=_OPTIMIZER_BYTES.get(spec.training.optim, 8) * trained,
        activations=_activations(spec, architecture, trainer, tokens),
        layer=_layer(spec, architecture, trainer, tokens),
        logits=_logits(spec, architecture, trainer, tokens),
        generation=_generation(spec, architecture, trainer),
        overhead=0,
    )
    fragmentation = allocated.step * _FRAGMENTATION_EIGHTHS[trainer.score_matrix] // 8
    return allocated.model_copy(update={"overhead": _CUDA_CONTEXT + fragmentation if trainer.cuda else 0})


def row_tokens(spec: JobSpec) -> int:
    """Tokens of one row of full length; of both answers where a row has two."""
    return spec.training.max_length * (2 if spec.method.type in PAIRED else 1)


def _scores(spec: JobSpec) -> bool:
    """Whether the model outputs a score and has no head for tokens."""
    return isinstance(spec.method, RewardModeling)


def _weights(spec: JobSpec, architecture: Architecture, trainer: TrainerProfile) -> int:
    """The base: quantized linear layers with their scales, and the rest unquantized; float32 if all weights train."""
    plain = architecture.remaining_weights + (0 if _scores(spec) else architecture.head)
    if spec.adapter is None:
        # Autocast caches a 16-bit copy of each linear weight.
        casts = trainer.width * architecture.linear_weights if trainer.width == 2 else 0
        return 4 * (architecture.linear_weights + plain) * (2 if _has_copy(spec) else 1) + casts
    quantization = spec.compute.quantization
    if quantization is None:
        return trainer.width * (architecture.linear_weights + plain)
    # bitsandbytes: one float32 scale for 64 weights; with double quantization one byte, and a float32 for 256 of these.
    scales = 0.0 if quantization == "int8" else (1 + 4 / 256) / 64 if spec.compute.double_quantization else 4 / 64
    packed = (BYTES_PER_WEIGHT[quantization] + scales) * architecture.linear_weights
    return int(packed) + (trainer.plain_width or trainer.width) * plain


def _has_copy(spec: JobSpec) -> bool:
    """Whether a full fine-tune needs a frozen copy of the model as reference; with an adapter, the base is it."""
    method = spec.method
    return isinstance(method, DPO | KTO) or (isinstance(method, GRPO) and method.beta > 0)


def _adapted(spec: JobSpec, architecture: Architecture) -> tuple[Linear, ...]:
    """The layers of one block that have an adapter."""
    if spec.adapter is None:
        return ()
    names = spec.adapter.target_modules
    if names == "all-linear":
        return architecture.linears
    return tuple(linear for linear in architecture.linears if linear.name in names)


def _adapter_weights(spec: JobSpec, architecture: Architecture) -> int:
    """Of one adapter: two matrices for each adapted layer, and with DoRA a magnitude for each of its outputs."""
    if (lora := spec.adapter) is None:
        return 0
    adapted = _adapted(spec, architecture)
    return architecture.layers * sum(
        lora.r * (linear.inputs + linear.outputs) + linear.outputs * lora.use_dora for linear in adapted
    )


def _trained_weights(spec: JobSpec, architecture: Architecture) -> int:
    """All that the optimizer updates; PPO trains two adapters, policy and value."""
    if spec.adapter is None:
        return architecture.weights - (architecture.head if _scores(spec) else 0)
    return _adapter_weights(spec, architecture) * (2 if isinstance(spec.method, PPO) else 1)


def _frozen_adapter(spec: JobSpec, architecture: Architecture) -> int:
    """Of PPO's reward model, assumed to have the same rank."""
    if not isinstance(spec.method, PPO) or is_function(spec.method.reward):
        return 0
    return _adapter_weights(spec, architecture)


def _activations(spec: JobSpec, architecture: Architecture, trainer: TrainerProfile, tokens: int) -> int:
    """With checkpointing the input of each layer, without it all tensors that autograd keeps of each layer."""
    if trainer.checkpointing:
        width = 4 if spec.adapter is None else trainer.width  # hidden states are as wide as the weights
        saved = (architecture.layers + _PREVIOUS_STATES) * architecture.hidden * width
    else:
        saved = architecture.layers * _saved_tensors(spec, architecture, trainer)
    rounded = 0 if trainer.checkpointing else architecture.layers * _rounded_weights(spec, architecture, trainer)
    return tokens * (saved + architecture.layers * _int8_inputs(spec, architecture, trainer)) + rounded


def _rounded_weights(spec: JobSpec, architecture: Architecture, trainer: TrainerProfile) -> int:
    """Bytes that autograd keeps of one layer's weights in quantization-aware training, for any number of tokens.

    The merged weight and the rounded one, and some 9 bytes for the scales of each group of 32 weights (0.28 each):
    counted from the tensors that autograd saves.
    """
    if spec.training.quantization_aware is None:
        return 0
    return int((2 * trainer.width + 0.28) * sum(linear.inputs * linear.outputs for linear in architecture.linears))


def _int8_inputs(spec: JobSpec, architecture: Architecture, trainer: TrainerProfile) -> int:
    """Bytes that the 8-bit layers of bitsandbytes keep for each token on their own, despite checkpointing: measured."""
    if spec.compute.quantization != "int8" or spec.adapter is None:
        return 0
    # They keep inputs as attributes of the autograd context. Checkpointing frees only what goes by save_for_backward.
    if trainer.checkpointing:
        return trainer.width * sum(linear.inputs for linear in architecture.linears)
    inputs = 0 if trainer.width == 4 else _shared_inputs(architecture.linears)
    return trainer.width * (inputs + 2 * architecture.intermediate)


def _shared_inputs(linears: tuple[Linear, ...]) -> int:
    """The width of all inputs of layers together, where layers with the same input share it."""
    return sum({linear.input_name: linear.inputs for linear in linears}.values())


def _saved_tensors(spec: JobSpec, architecture: Architecture, trainer: TrainerProfile) -> int:
    """Bytes that autograd keeps of one layer for each token.

    Both norms keep their input in float32. Attention keeps queries, keys, values and its output, and its scores only if
    it is eager. The feed-forward part keeps both branches and the activation between them.
    """
    width = trainer.width
    attention = 2 * architecture.queries + 2 * architecture.keys
    feed_forward = architecture.intermediate * (3 if architecture.gated else 1)
    scores = _SCORE_BYTES[width] * architecture.heads * spec.training.max_length if trainer.score_matrix else 0
    norms = 8 * architecture.hidden
    return norms + width * (attention + feed_forward) + scores + _saved_inputs(spec, architecture, trainer)


def _saved_inputs(spec: JobSpec, architecture: Architecture, trainer: TrainerProfile) -> int:
    """Bytes of the inputs that trained weights need for their gradient.

    Layers with the same input share it, except where autocast makes each of them a 16-bit copy.
    """
    width = trainer.width
    trained = architecture.linears if spec.adapter is None else _adapted(spec, architecture)
    rank = 0 if spec.adapter is None else spec.adapter.r
    norms = 8 * architecture.hidden if spec.adapter is None else 0  # their weights train, too
    if width == 4:
        return norms + 4 * (_shared_inputs(trained) + rank * len(trained))
    copy_width = 2 if trainer.autocast or spec.adapter is None else 4
    return norms + copy_width * sum(linear.inputs + rank for linear in trained)


def _layer(spec: JobSpec, architecture: Architecture, trainer: TrainerProfile, tokens: int) -> int:
    """Gradients of activations in a layer's backward pass; with checkpointing, also its recomputed activations."""
    inner, hidden = (count * trainer.width for count in (architecture.intermediate, architecture.hidden))
    inner_count, hidden_count = _LAYER_GRADIENTS[trainer.width]
    # With few tokens, the largest moment is another one: a dequantized weight beside one gradient of the inner width.
    gradients = max(tokens * (inner_count * inner + hidden_count * hidden), inner * (tokens + architecture.hidden))
    recomputed = tokens * _saved_tensors(spec, architecture, trainer) + _rounded_weights(spec, architecture, trainer)
    return gradients + (recomputed if trainer.checkpointing else 0)


def _logits(spec: JobSpec, architecture: Architecture, trainer: TrainerProfile, tokens: int) -> int:
    """Logits of all tokens, or of a chunk in a loss that takes them in chunks.

    All logits exist as computed, and three times in float32: a copy, their log-softmax and their gradient. A chunk
    exists in float32, with a copy while its log-softmax is computed, beside the gradient of the chunk before it.
    """
    if _scores(spec):
        return 0
    if trainer.logit_rows is None or not architecture.bare_head:
        return tokens * architecture.vocabulary * (trainer.width + 12)
    rows, has_several = min(tokens, trainer.logit_rows), tokens > trainer.logit_rows
    chunk = rows * architecture.vocabulary * (12 if has_several else 8)
    states = 4 * tokens * architecture.hidden * trainer.width
    # If the head trains, its gradient is in float32, beside the copy that it computes with.
    head = (4 + trainer.width) * architecture.vocabulary * architecture.hidden if spec.adapter is None else 0
    return chunk + states + head


def _generation(spec: JobSpec, architecture: Architecture, trainer: TrainerProfile) -> int:
    """Bytes of all responses that are sampled at a time; 0 for methods that sample none."""
    if not isinstance(spec.method, PPO | GRPO):
        return 0
    return min(spec.training.global_batch_size, MOST_RESPONSES) * one_response(spec, architecture, trainer)


def one_response(spec: JobSpec, architecture: Architecture, trainer: TrainerProfile) -> int:
    """Bytes of one response of full length: its cache, the pass over its prompt, and its logits.

    Logits of the last position exist as computed and three times in float64, in which tokens are drawn.
    """
    width = trainer.width
    cache = 2 * architecture.layers * architecture.keys * width * spec.training.max_length
    prompt = spec.training.max_length - getattr(spec.method, "max_new_tokens", 0)
    attention = architecture.queries + 2 * architecture.keys
    prompt_pass = prompt * width * (4 * architecture.hidden + 3 * architecture.intermediate + attention)
    return cache + prompt_pass + architecture.vocabulary * (3 * 8 + width)
