"""The dataset of a plan, which must mean the same from any working folder and at any later time."""

from pathlib import Path

from ftsdk.data import is_local
from ftsdk.spec import Dataset


def with_absolute_paths(dataset: Dataset, commit: str | None = None) -> Dataset:
    """The dataset with absolute paths, because a worker, or a resumed submission, runs in another folder.

    Args:
        dataset: Its paths may be local files, Hub ids or addresses; the last two stay as they are.
        commit: The Hub dataset's commit, which pins its revision.
    """
    paths = tuple(_absolute(path) if is_local(path) else path for path in dataset.paths)
    template = dataset.chat_template and _absolute(dataset.chat_template)
    pinned = {"revision": commit} if commit else {}
    return dataset.model_copy(update={"path": paths, "chat_template": template, **pinned})


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())
