"""A copy of each job record in a file of its own, from which a lost or damaged database is restored."""

from pathlib import Path

from pydantic import ValidationError

from ftsdk.errors import Problem, StoreError
from ftsdk.files import write_atomic
from ftsdk.store.record import JobRecord

_VOLATILE = {"updated", "rev", "status"}
"""Fields that a restored record need not have: the backend reports the status again."""


class Mirror:
    """A folder with ``ID.json`` for each job.

    Args:
        folder: The folder; it is made with the first record.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, record: JobRecord, before: JobRecord | None = None) -> None:
        """Copy the record, durably, unless only its progress has changed.

        Raises:
            StoreError: It cannot be written.
        """
        if before is not None and _durable_part(before) == _durable_part(record):
            return
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            write_atomic(self.folder / f"{record.id}.json", record.model_dump_json(indent=1) + "\n")
        except OSError as error:
            raise StoreError(
                f"the copy of the job record in {self.folder} cannot be written: {error.strerror}",
                hint="check free disk space and permissions, then try again",
            ) from error

    def load(self) -> tuple[list[JobRecord], list[Problem]]:
        """All records that can be read, oldest first, and a problem for each of the others."""
        records, problems = [], []
        for file in self.folder.glob("*.json"):
            try:
                records.append(JobRecord.model_validate_json(file.read_bytes()))
            except (OSError, ValidationError) as error:
                problems.append(Problem(str(file), f"cannot be read ({type(error).__name__})", "left as it is"))
        return sorted(records, key=lambda record: record.created), problems


def _durable_part(record: JobRecord) -> object:
    # The state is kept, although it is a part of the status: a final state must survive the loss of the database.
    return record.state, record.model_copy(update=dict.fromkeys(_VOLATILE))
