"""Settings that Hugging Face Jobs alone have: ``backend_options.hfjobs`` in the spec."""

from typing import Annotated

from pydantic import Field

from ftsdk.huggingface.pricing import HostedOptions

IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"
"""Python and uv, which the Hub's own client runs scripts in; the packages come from our lock file."""


class HfJobsOptions(HostedOptions):
    """What a spec does not say. Without a flavor, the cheapest machine is taken that the job fits on by forecast."""

    image: Annotated[str, Field(min_length=1)] = IMAGE
    """A Docker image with Python 3.11 or newer. What it lacks is installed when the job starts."""
