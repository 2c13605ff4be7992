"""How long, how fast and on how much at a time the model is trained."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ftsdk.errors import Problem, SpecError
from ftsdk.spec.base import SpecSection

Steps = Annotated[int, Field(ge=1)]

BLANK_SAVE_SHARE = 0.1
"""A blank ``save_steps`` as a share of all steps, which is how Transformers and the tools on it write it."""

EITHER_OR = {"num_train_epochs": "max_steps", "warmup_ratio": "warmup_steps"}
"""Pairs of fields for one quantity: the second, where it is set, replaces the first."""


class Training(SpecSection):
    """Intent: each of these changes what is learned, so a backend honours it or refuses the spec."""

    num_train_epochs: Annotated[float, Field(gt=0)] = 3.0
    """Passes over the rows. Give this or ``max_steps``."""
    max_steps: Steps | None = None
    """Optimizer steps in all, instead of epochs."""
    learning_rate: Annotated[float, Field(ge=1e-9, le=1)] | None = None
    """Peak learning rate. Blank: resolved by method and adapter, see ``ftsdk explain training.learning_rate``."""
    lr_scheduler_type: Literal[
        "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"
    ] = "cosine"
    """Shape of the learning rate after warm-up."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Share of all steps in which the learning rate climbs to its peak. Give this or ``warmup_steps``."""
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    """Steps of warm-up, instead of a share."""
    global_batch_size: Annotated[int, Field(ge=1)] = 16
    """Sequences in each optimizer step, over all devices and accumulation."""
    max_length: Annotated[int, Field(ge=2)] = 1024
    """Longest sequence in tokens; longer rows are cut at the end, counted and reported."""
    packing: bool = False
    """Fill each sequence up to ``max_length`` with complete rows, which do not attend to each other."""
    optim: Literal["adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor", "sgd"] = (
        "adamw_torch"
    )
    """The optimizer, by its Transformers name."""
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the mean gradient (AdamW)."""
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the mean squared gradient (AdamW)."""
    adam_epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """Added to the denominator (AdamW)."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay."""
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    """Gradients are scaled down to this norm; 0 turns it off."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    """Decides the order of rows, dropout and initial weights: the same seed gives the same run."""
    neftune_noise_alpha: Annotated[float, Field(gt=0)] | None = None
    """Strength of noise on the embeddings in training (NEFTune, arXiv 2310.05914). None: no noise."""
    quantization_aware: Literal["int8", "int4", "int8-dynamic-int4-weight"] | None = None
    """Train with weights rounded as they will be served (QAT); the last rounds activations, too. None: no rounding."""
    logging_steps: Steps = 1
    """Optimizer steps between two metrics events."""
    eval_steps: Steps | None = None
    """Optimizer steps between two evaluations on the held-out rows. Blank: at the end of each epoch."""
    save_steps: Steps | None = None
    """Optimizer steps between two checkpoints. Blank: ten over the whole run."""
    save_total_limit: Annotated[int, Field(ge=2)] = 2
    """Checkpoints to keep, besides the best one."""
    early_stopping_patience: Steps | None = None
    """Stop after this many evaluations without a better held-out loss, and keep the best. None: never stop early."""
    early_stopping_threshold: Annotated[float, Field(ge=0)] = 0.0
    """How much lower the held-out loss must be to count as better."""

    @model_serializer(mode="wrap")
    def _write_one_of_two(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Where the second of two fields is set, the first is left out: read back, its default would contradict it."""
        written: dict[str, Any] = serialize(self)
        for default, alternative in EITHER_OR.items():
            if default not in self.model_fields_set and getattr(self, alternative) is not None:
                written.pop(default, None)
        return written

    @model_validator(mode="after")
    def _refuse_both(self) -> "Training":
        clashes = [
            Problem(second, f"contradicts {first}", "give one of the two")
            for first, second in EITHER_OR.items()
            if {first, second} <= self.model_fields_set and getattr(self, second) is not None
        ]
        if clashes:
            raise SpecError("two fields for one quantity", problems=clashes)
        return self
