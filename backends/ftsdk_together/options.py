"""Settings that Together AI alone has: ``backend_options.together`` in the spec."""

from typing import Annotated

from pydantic import Field

from ftsdk.remote.backend import RemoteOptions

Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]


class TogetherOptions(RemoteOptions):
    """What a spec does not say, because only Together AI has it."""

    model: Annotated[str, Field(min_length=1)] | None = None
    """Together's own name for the base model, where it differs from the Hub's. Blank: the spec's ``model``."""
    suffix: Annotated[str, Field(pattern=r"^[a-z0-9](-?[a-z0-9]){0,12}$", max_length=13)] = "ftsdk"
    """Begins the end of the output model's name; the job's token follows."""
    n_checkpoints: Count = 1
    """Checkpoints to save, the last one included; not more than epochs."""
    n_evals: Annotated[int, Field(ge=0)] | None = None
    """Evaluations on the held-out rows. Blank: one for each epoch; none where no rows are held out."""
    early_stopping_warmup_evals: Annotated[int, Field(ge=0)] = 0
    """First evaluations that early stopping ignores."""
    from_checkpoint: Annotated[str, Field(pattern=r"^ft-[A-Za-z0-9-]{1,80}(:\d{1,9})?$")] | None = None
    """Start from an earlier job's weights: its id, or ``id:step``. The spec's ``model`` must be its base model."""
    min_lr_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Final learning rate, as a share of the peak."""
    dpo_normalize_logratios_by_length: bool = False
    """DPO: divide log-ratios by the length of the answer."""
    rpo_alpha: NonNegative | None = None
    """DPO: weight of the chosen answer's own loss beside it (RPO, arXiv 2404.19733)."""
    simpo_gamma: NonNegative | None = None
    """DPO: margin without a reference model (SimPO, arXiv 2405.14734)."""
    wandb_project: str | None = None
    """The Weights & Biases project; the key is ``WANDB_API_KEY``, which is sent to Together."""
    wandb_entity: str | None = None
    """The Weights & Biases team or user."""
    wandb_base_url: str | None = None
    """The address of a Weights & Biases server of your own."""
    price_limit: Annotated[float, Field(gt=0)] | None = None
    """The most that Together may estimate for the job, in US dollars. Above it, nothing is created."""
    processing_seconds: Annotated[float, Field(gt=0, le=86400)] = 3600.0
    """How long to wait until Together has checked the uploaded rows."""
