"""Settings of Hugging Face Jobs: ``backend_options.hfjobs`` in the spec."""

from typing import Annotated

from pydantic import Field

from ftsdk.huggingface.pricing import HostedOptions

IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"
"""Python and uv; the Hub's own client runs scripts in it. The packages come from our lock file."""


class HfJobsOptions(HostedOptions):
    """Where and how a Job runs. Without a flavor, it is the cheapest machine with enough memory by forecast."""

    image: Annotated[str, Field(min_length=1)] = IMAGE
    """A Docker image with Python 3.11 or newer. What it lacks is installed when the job starts."""
