"""Settings that Hugging Face Jobs alone have: ``backend_options.hfjobs`` in the spec."""

from typing import Annotated, Literal

from pydantic import Field

from ftsdk.backend import Options

IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"
"""Python and uv, which the Hub's own client runs scripts in; the packages come from our lock file."""


class HfJobsOptions(Options):
    """What a spec does not say, because only Hugging Face Jobs have it."""

    flavor: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")] | None = None
    """The machine, such as ``l4x1``; ``hf jobs hardware`` lists them. None: the cheapest one that the job fits on."""
    namespace: Annotated[str, Field(min_length=1)] | None = None
    """The user or organization that the job and its repository belong to, and that pays. None: you."""
    image: Annotated[str, Field(min_length=1)] = IMAGE
    """A Docker image with Python 3.11 or newer. What it lacks is installed when the job starts."""
    price_limit: Annotated[float, Field(gt=0)] | None = None
    """The most that the job may cost, in US dollars: its machine's price times its longest time to run."""
    on_ambiguous: Literal["park", "recreate"] = "park"
    """When no answer came and no Job shows up: ``park`` it, or create again, which may be paid twice."""
    settle_seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """How long to look for a Job whose creation got no answer."""
