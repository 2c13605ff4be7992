"""Settings of AutoTrain: ``backend_options.autotrain`` in the spec."""

from typing import Annotated, Literal

from pydantic import Field

from ftsdk.engines.backend import EngineOptions
from ftsdk.huggingface.pricing import HostedOptions

IMAGE = "huggingface/autotrain-advanced:latest"
"""AutoTrain's own image. It floats; where it has another version of AutoTrain, ours is installed from the lock file."""

FLAVOR = "l4x1"
"""The default machine: the cheapest with 24 GB."""


class AutoTrainOptions(EngineOptions, HostedOptions):
    """Where AutoTrain runs, and its settings that no spec has."""

    executor: Literal["local", "jobs", "spaces"] = "local"
    """Where AutoTrain runs: this machine, a Hugging Face Job, or a Docker Space (the older way; see its warnings)."""
    image: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$")] = IMAGE
    """The Docker image of a Job or a Space."""
    merge_adapter: bool = False
    """Merge the adapter into the base, in float16; the adapter alone is not kept."""
    padding: Literal["left", "right"] = "right"
    """The side on which rows are padded."""
