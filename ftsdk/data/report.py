"""What a dataset is like, before anything is trained on it."""

from ftsdk.spec.base import Section


class DataReport(Section):
    """Counts of one dataset, taken while every row was checked."""

    format: str
    """The recognised format."""
    rows: int
    """Rows that can be used."""
    sha256: dict[str, str]
    """From each local file's absolute path to the hash of its bytes."""
    characters: int = 0
    """Characters of text in all, calls and tools included."""
    warnings: tuple[str, ...] = ()
    """What is legal but worth a look, with counts."""
