"""Where the training rows come from and how to read them."""

from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ftsdk.spec.base import Place, SpecSection

Format = Literal[
    "auto",
    "messages",
    "prompt_completion",
    "prompt",
    "text",
    "preference",
    "unpaired_preference",
    "alpaca",
    "sharegpt",
]


class Dataset(SpecSection):
    """Rows to train on, or to hold out. A plain string in a spec is short for ``Dataset(path=...)``."""

    path: Place | Annotated[tuple[Place, ...], Field(min_length=1)]
    """A local file, several files, a Hub dataset id (``org/name``), or an ``https://`` or ``s3://`` address."""
    split: str = "train"
    """The split to take, for Hub datasets; local files are read in full."""
    revision: str | None = None
    """The Hub revision: a branch, a tag or a commit. None: the newest commit, which the plan pins."""
    format: Format = "auto"
    """The format of the rows; ``auto`` recognises it from the keys of the first row."""
    columns: dict[str, str] = {}
    """From a format's own key to the key in the file, for example ``{"prompt": "question"}``."""
    max_samples: Annotated[int, Field(ge=1)] | None = None
    """Take only the first rows, this many. None: all."""
    chat_template: str | None = None
    """A Jinja file that renders messages. None: the tokenizer's own, or a plain one where it has none."""

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: object) -> object:
        return {"path": value} if isinstance(value, str | PurePath | list | tuple) else value

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths, also where only one was given."""
        return (self.path,) if isinstance(self.path, str) else self.path
