"""AutoTrain as an engine: its environment, its options, and the fields of a spec that it does not support.

Read in its source, version 0.8.36. The lock file was resolved by uv for Python 3.11; see docs/backends/autotrain.md.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ftsdk.engines.backend import EngineOptions
from ftsdk.engines.environment import EngineEnvironment
from ftsdk.huggingface.pricing import HostedOptions
from ftsdk.translation.ledger import RequiredValue

ENGINE_ENVIRONMENT = EngineEnvironment(
    name="autotrain",
    package="autotrain-advanced",
    lock=Path(__file__).with_name("lock.txt"),
    python="3.11",
    size=3_000_000_000,
)

IMAGE = "huggingface/autotrain-advanced:latest"
"""AutoTrain's own image. It floats; where it has another version of AutoTrain, ours is installed from the lock file."""

FLAVOR = "l4x1"
"""The default machine: the cheapest with 24 GB."""


class AutoTrainOptions(EngineOptions, HostedOptions):
    """``backend_options.autotrain`` in the spec: where AutoTrain runs, and its settings that no spec has."""

    executor: Literal["local", "jobs", "spaces"] = "local"
    """Where AutoTrain runs: this machine, a Hugging Face Job, or a Docker Space (the older way; see its warnings)."""
    image: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$")] = IMAGE
    """The Docker image of a Job or a Space."""
    merge_adapter: bool = False
    """Merge the adapter into the base, in float16; the adapter alone is not kept."""
    padding: Literal["left", "right"] = "right"
    """The side on which rows are padded."""


_NO_EVALUATION = "AutoTrain drops held-out rows of language models without a warning"

REQUIRED_VALUES = {
    "eval_dataset": RequiredValue(None, _NO_EVALUATION, "leave it out, and evaluate the artifact"),
    "val_size": RequiredValue(0.0, _NO_EVALUATION, "leave it out, and evaluate the artifact"),
    "method.train_on": RequiredValue("all", "AutoTrain's SFT learns every token of a row", "all"),
    "method.loss_type": RequiredValue("sigmoid", "AutoTrain's DPO has this loss alone", "sigmoid"),
    "method.label_smoothing": RequiredValue(0.0, "AutoTrain's DPO does not smooth labels", "leave it out"),
    "method.center_rewards_coefficient": RequiredValue(
        0.0, "AutoTrain's reward models are not centered", "leave it out"
    ),
    "adapter.use_dora": RequiredValue(False, "AutoTrain has no DoRA", "plain LoRA"),
    "adapter.use_rslora": RequiredValue(False, "AutoTrain has no rsLoRA", "plain LoRA, with alpha scaled by hand"),
    "adapter.init": RequiredValue("default", "AutoTrain has no choice of an adapter's initial weights", "default"),
    "training.max_steps": RequiredValue(None, "AutoTrain counts epochs, not steps", "set training.num_train_epochs"),
    "training.warmup_steps": RequiredValue(
        None, "AutoTrain warms up over a share of all steps", "set training.warmup_ratio"
    ),
    "training.adam_beta1": RequiredValue(0.9, "AutoTrain keeps the AdamW settings of Transformers"),
    "training.adam_beta2": RequiredValue(0.999, "AutoTrain keeps the AdamW settings of Transformers"),
    "training.adam_epsilon": RequiredValue(1e-8, "AutoTrain keeps the AdamW settings of Transformers"),
    "training.seed": RequiredValue(42, "AutoTrain ignores its field seed: the seed is always 42", "42"),
    "training.neftune_noise_alpha": RequiredValue(None, "AutoTrain has no NEFTune"),
    "training.quantization_aware": RequiredValue(None, "AutoTrain does not train quantization-aware"),
    "training.eval_steps": RequiredValue(None, _NO_EVALUATION),
    "training.save_steps": RequiredValue(None, "AutoTrain saves no checkpoints of language models"),
    "training.early_stopping_patience": RequiredValue(None, _NO_EVALUATION),
}
"""Fields with a single supported value."""

PACKING_OF_SFT = {
    "training.packing": RequiredValue(
        True,
        "AutoTrain's SFT always joins rows end to end and cuts them into blocks of max_length, in which they attend to "
        "each other; the incomplete last block is dropped",
        "true",
    ),
}
"""For SFT, which always packs."""

NO_PACKING = {"training.packing": RequiredValue(False, "only AutoTrain's SFT packs", "leave it out")}
"""For the other trainers."""

BACKEND_DEFAULTS = {
    "training.save_total_limit": "AutoTrain saves no checkpoints of language models",
    "training.early_stopping_threshold": _NO_EVALUATION,
}
"""Fields that AutoTrain has no setting for; left blank, its own default applies."""

IGNORED_ADVICE = {
    "compute.double_quantization": "AutoTrain's 4-bit base has single quantization",
    "compute.memory_limit": "AutoTrain uses all memory of the device",
    "compute.devices": "a job on this machine has one device",
    "compute.nodes": "a job on this machine has one device",
    "compute.attention": "AutoTrain chooses between flash attention and Transformers' own",
}
"""Advice that AutoTrain ignores, and why."""
